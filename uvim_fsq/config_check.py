"""Checks of settings before anything is built, read or written. Needs no JAX."""

import math
import re

from uvim_fsq.config import (
    ConfigError,
    DataConfig,
    DepthConfig,
    EvaluationConfig,
    FolderConfig,
    FSQConfig,
    IdentityConfig,
    OptimizerConfig,
    OutputConfig,
    PanopticConfig,
    RecordsConfig,
    RunConfig,
    ScenesConfig,
    Stage1Config,
    StageConfig,
    TaskConfig,
    TfdsConfig,
    VQConfig,
)
from uvim_fsq.config_json import from_dict, to_dict

_INDEX_LIMIT = 2**31 - 1
_FSQ_BOUNDS = ("tan", "atanh")


def check(config: RunConfig, stages: tuple[int, ...] = (1, 2)) -> None:
    """Raises ConfigError, one sentence, for the first setting that cannot be used.

    Checks types, ranges and what settings demand of one another; not files, not devices.
    `stages` are those to be trained.
    """
    from_dict(to_dict(config))
    _check_task(config.task)
    _check_data(config.task, config.data)
    _check_quantizer(config.quantizer)
    _require(
        2 not in stages or not isinstance(config.quantizer, IdentityConfig),
        "stage II needs indices, and the identity quantizer has none: train stage I alone "
        "with --stage 1, or choose another variant",
    )
    for name in ("stage1", "stage2"):
        _check_stage(name, getattr(config, name))
        _check_model(name, config)
    _check_code_length(config.stage1)
    check_evaluation(config.evaluation)
    _check_output(config.output)
    _at_least(0, "loader_threads", config.loader_threads)


def _check_task(task: TaskConfig) -> None:
    for size in task.image_size:
        _at_least(1, "task.image_size", size)
    if isinstance(task, DepthConfig):
        _at_least(2, "task.bins", task.bins)
        _require(
            0 <= task.min_depth < task.max_depth,
            f"task.min_depth must be at least 0 and less than task.max_depth, found "
            f"{task.min_depth} and {task.max_depth}",
        )
    elif isinstance(task, PanopticConfig):
        _at_least(2, "task.instances", task.instances)
        _require(
            task.classes == 0 or task.classes >= 2,
            "task.classes must be 0, for as many as the data has, or at least 2, since one is "
            f"void, found {task.classes}",
        )
        _require(
            0 <= task.min_fraction < 1,
            f"task.min_fraction must be at least 0 and less than 1, found {task.min_fraction}",
        )
    low, high = task.crop_area
    _require(
        0 < low <= high <= 1,
        f"task.crop_area must be two shares from above 0 to 1, the smaller first, found "
        f"{low} {high}",
    )


_SOURCES = {
    "depth": ("scenes", "folder", "records", "tfds"),
    "panoptic": ("scenes", "coco", "records", "tfds"),
    "colorization": ("scenes", "folder", "coco", "pictures", "records", "tfds"),
}
"""Sources that have what a task needs."""

_FOLDERS = {
    "folder": "RGB-D frames with rgb/ and depth/",
    "coco": "pictures with panoptic labels in COCO's format",
    "pictures": "pictures",
    "records": "ArrayRecord files, as `python scripts/prepare_data.py pack` writes it",
}


def _check_data(task: TaskConfig, data: DataConfig) -> None:
    _require(
        data.kind in _SOURCES[task.kind],
        f"the {task.kind} task cannot learn from the source {data.kind!r}: add --source with one "
        f"of {', '.join(_SOURCES[task.kind])}",
    )
    if isinstance(data, ScenesConfig):
        for size in data.size:
            _at_least(8, "data.size", size)
        _at_least(1, "data.train_count", data.train_count)
        _at_least(1, "data.validation_count", data.validation_count)
        return
    if isinstance(data, TfdsConfig):
        _require(
            bool(data.name),
            "data.name must name a TFDS dataset such as nyu_depth_v2, found none: add "
            "--data.name NAME",
        )
        _positive("data.units_per_metre", data.units_per_metre)
        return
    _require(
        bool(data.path),
        f"data.path must name a folder of {_FOLDERS[data.kind]}, found none: add "
        "--data.path FOLDER",
    )
    if isinstance(data, FolderConfig):
        _positive("data.units_per_metre", data.units_per_metre)
    if not isinstance(data, RecordsConfig):
        _require(
            0 < data.validation_fraction < 1,
            "data.validation_fraction must lie between 0 and 1, found "
            f"{data.validation_fraction}",
        )


def _check_quantizer(quantizer: FSQConfig | VQConfig | IdentityConfig) -> None:
    if isinstance(quantizer, FSQConfig):
        levels = quantizer.levels
        shown = " ".join(map(str, levels)) or "none"
        _require(
            bool(levels) and min(levels) >= 2,
            "quantizer.levels must be whole numbers of at least 2, one per channel, such as "
            f"8 5 5 5, found {shown}",
        )
        _require(
            math.prod(levels) <= _INDEX_LIMIT,
            f"quantizer.levels {shown} make {math.prod(levels):,} codewords, and indices allow "
            f"{_INDEX_LIMIT:,}: use fewer channels or levels",
        )
        _require(
            quantizer.bound in _FSQ_BOUNDS,
            f"quantizer.bound must be one of {', '.join(_FSQ_BOUNDS)}, found "
            f"{quantizer.bound!r}",
        )
        _require(
            quantizer.bound != "atanh" or min(levels) > 2,
            f"quantizer.bound atanh has no value for 2 levels, found levels {shown}: use tan",
        )
        return
    # VQ standardizes a latent over its channels, which leaves nothing of a single one.
    least = 2 if isinstance(quantizer, VQConfig) else 1
    _at_least(least, "quantizer.code_dim", quantizer.code_dim)
    if isinstance(quantizer, VQConfig):
        _at_least(2, "quantizer.codebook_size", quantizer.codebook_size)
        _require(
            0 <= quantizer.decay < 1,
            f"quantizer.decay must be at least 0 and less than 1, found {quantizer.decay}",
        )
        _positive("quantizer.min_count", quantizer.min_count)
        _at_least(0, "quantizer.commitment_weight", quantizer.commitment_weight)


def _check_stage(name: str, stage: StageConfig) -> None:
    _at_least(1, f"{name}.batch_size", stage.batch_size)
    _at_least(1, f"{name}.micro_batches", stage.micro_batches)
    _divides(
        f"{name}.micro_batches",
        stage.micro_batches,
        f"{name}.batch_size",
        stage.batch_size,
    )
    _require(
        (stage.steps is None) != (stage.epochs is None),
        f"give either {name}.steps or {name}.epochs, found {stage.steps} and {stage.epochs}: "
        "set the other one to None",
    )
    if stage.epochs is not None:
        _positive(f"{name}.epochs", stage.epochs)
    _at_least(0, f"{name}.warmup_steps", stage.warmup_steps)
    if stage.steps is not None:
        _at_least(1, f"{name}.steps", stage.steps)
        _require(
            stage.warmup_steps < stage.steps,
            f"{name}.warmup_steps must be less than {name}.steps, found {stage.warmup_steps} "
            f"and {stage.steps}: shorten the warm-up or train for longer",
        )
    _check_optimizer(f"{name}.optimizer", stage.optimizer)


def _check_optimizer(name: str, optimizer: OptimizerConfig) -> None:
    _positive(f"{name}.learning_rate", optimizer.learning_rate)
    _at_least(0, f"{name}.weight_decay", optimizer.weight_decay)
    _at_least(0, f"{name}.clip_norm", optimizer.clip_norm)
    for pattern, factor in optimizer.multipliers:
        _check_pattern(f"{name}.multipliers", pattern)
        _at_least(0, f"{name}.multipliers, of {pattern!r},", factor)


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{name} must be regular expressions with factors, found {pattern!r}: {error}."
        ) from None


def _check_model(name: str, config: RunConfig) -> None:
    model = getattr(config, name).model
    for field in ("width", "encoder_depth", "decoder_depth", "mlp_width", "num_heads"):
        _at_least(1, f"{name}.model.{field}", getattr(model, field))
    _divides(
        f"{name}.model.num_heads", model.num_heads, f"{name}.model.width", model.width
    )
    if model.positions == "sincos2d":
        _divides(
            "the 4 parts of sincos2d positions", 4, f"{name}.model.width", model.width
        )
    for side, pixels, patch in zip(
        ("rows", "columns"), config.task.image_size, model.patch_size, strict=True
    ):
        _at_least(1, f"{name}.model.patch_size", patch)
        _divides(
            f"the {side} of {name}.model.patch_size",
            patch,
            "those of task.image_size",
            pixels,
        )
    _require(
        model.attention != "cudnn" or model.dtype == "bfloat16",
        f"{name}.model.attention cudnn needs {name}.model.dtype bfloat16, found "
        f"{model.dtype}",
    )


def _check_code_length(stage: Stage1Config) -> None:
    length, kind = stage.model.code_length, stage.model.resize
    _at_least(1, "stage1.model.code_length", length)
    side = math.isqrt(length)
    _require(
        kind != "linear" or side * side == length,
        f"stage1.model.code_length must be a square number for stage1.model.resize linear, "
        f"found {length}: take {side * side} or {(side + 1) ** 2}, or the learned resizing",
    )
    _at_least(0, "stage1.model.head_memory_mb", stage.model.head_memory_mb)


def check_evaluation(evaluation: EvaluationConfig, prefix: str = "evaluation.") -> None:
    """As `check`, of these settings; `prefix` stands before their names in messages."""

    def named(name: str) -> str:
        return prefix + (name.replace("_", "-") if prefix == "--" else name)

    _at_least(1, named("batch_size"), evaluation.batch_size)
    if evaluation.examples is not None:
        _at_least(1, named("examples"), evaluation.examples)
    _at_least(0, named("temperature"), evaluation.temperature)
    _at_least(0, named("top_k"), evaluation.top_k)
    _require(
        0 < evaluation.top_p <= 1,
        f"{named('top_p')} must be above 0 and at most 1, found {evaluation.top_p}",
    )
    _at_least(1, named("samples"), evaluation.samples)
    _require(
        bool(evaluation.inception)
        or not (evaluation.reference_folder or evaluation.reference_list),
        f"{named('reference_folder')} and {named('reference_list')} are for FID, which needs "
        f"{named('inception')}: give the folder of an Inception SavedModel, or leave them out",
    )


def _check_output(output: OutputConfig) -> None:
    for field in (
        "log_every",
        "evaluate_every",
        "evaluate_examples",
        "checkpoint_every",
    ):
        _at_least(1, f"output.{field}", getattr(output, field))
    _at_least(0, "output.pictures", output.pictures)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigError(f"{otherwise}.")


def _at_least(least: int, name: str, value: int | float) -> None:
    _require(value >= least, f"{name} must be at least {least}, found {value}")


def _positive(name: str, value: int | float) -> None:
    _require(value > 0, f"{name} must be above 0, found {value}")


def _divides(part: str, divisor: int, whole: str, dividend: int) -> None:
    _require(
        dividend % divisor == 0,
        f"{part} must divide {whole}, found {divisor} and {dividend}",
    )
