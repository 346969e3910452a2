"""The check of all settings before anything is built, read or written. Needs no JAX."""

from typing import Any

from uvim_fsq.data.registry import SOURCES
from uvim_fsq.fields import REAL_LIMIT, WHOLE_LIMIT, at_least, between, require, seed
from uvim_fsq.models.uvim.settings import check_stages
from uvim_fsq.settings.as_json import from_dict, to_dict
from uvim_fsq.settings.run import RunConfig


def check(config: RunConfig, stages: tuple[int, ...] = (1, 2)) -> None:
    """Raises ConfigError, one sentence, for the first setting that cannot be used.

    Checks types, ranges and what settings demand of one another; not files, not devices.
    `stages` are those to be trained.
    """
    settings = to_dict(config)
    from_dict(settings)
    _check_limits(settings)
    config.task.check()
    _check_labels(config)
    config.data.check()
    config.quantizer.check()
    require(
        2 not in stages or config.quantizer.size is not None,
        f"stage II needs indices, and the {config.quantizer.kind} quantizer has none: train stage I "
        "alone with --stage 1, or choose another variant",
    )
    check_stages(config.stage1, config.stage2, config.task.image_size)
    config.evaluation.check()
    config.output.check()
    seed("seed", config.seed)
    at_least(0, "loader_threads", config.loader_threads)


def _check_limits(value: Any, name: str = "") -> None:
    """No number, whichever setting it belongs to, is too large for arrays; seeds have their own limit."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_limits(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for inner in value:
            _check_limits(inner, name)
    elif type(value) is int and not name.endswith("seed"):
        between(-WHOLE_LIMIT, WHOLE_LIMIT, name, value)
    elif type(value) is float:
        require(
            abs(value) <= REAL_LIMIT,
            f"{name} must be at most {REAL_LIMIT:g}, found {value}",
        )


def _check_labels(config: RunConfig) -> None:
    """The kind of data can have what the task learns from."""
    task, kind = config.task, config.data.kind
    fitting = [k for k, cls in SOURCES.items() if cls.labels.issuperset(task.labels)]
    require(
        kind in fitting,
        f"the {task.kind} task cannot learn from the source {kind!r}: add --source with one "
        f"of {', '.join(fitting)}",
    )
