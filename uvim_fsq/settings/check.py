"""Checks of settings before anything is built, read or written. Needs no JAX."""

import math
import re
from typing import Any

from uvim_fsq.fields import (
    REAL_LIMIT,
    WHOLE_LIMIT,
    at_least,
    between,
    divides,
    positive,
    require,
    seed,
)
from uvim_fsq.settings.as_json import from_dict, to_dict
from uvim_fsq.settings.check_data import check_data, check_task
from uvim_fsq.settings.run import (
    ConfigError,
    EvaluationConfig,
    FSQConfig,
    IdentityConfig,
    OptimizerConfig,
    OutputConfig,
    RunConfig,
    StageConfig,
    VQConfig,
)

_MOST_CODEWORDS = WHOLE_LIMIT - 1
"""Stage II has one token more."""

_FSQ_BOUNDS = ("tan", "atanh")


def check(config: RunConfig, stages: tuple[int, ...] = (1, 2)) -> None:
    """Raises ConfigError, one sentence, for the first setting that cannot be used.

    Checks types, ranges and what settings demand of one another; not files, not devices.
    `stages` are those to be trained.
    """
    settings = to_dict(config)
    from_dict(settings)
    _check_limits(settings)
    check_task(config.task)
    check_data(config.task, config.data)
    _check_quantizer(config.quantizer)
    require(
        2 not in stages or not isinstance(config.quantizer, IdentityConfig),
        "stage II needs indices, and the identity quantizer has none: train stage I alone "
        "with --stage 1, or choose another variant",
    )
    for name in ("stage1", "stage2"):
        _check_stage(name, getattr(config, name))
        _check_model(name, config)
    _check_code_length(config)
    check_evaluation(config.evaluation)
    _check_output(config.output)
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


def _check_quantizer(quantizer: FSQConfig | VQConfig | IdentityConfig) -> None:
    if isinstance(quantizer, FSQConfig):
        levels = quantizer.levels
        shown = " ".join(map(str, levels)) or "none"
        require(
            bool(levels) and min(levels) >= 2,
            "quantizer.levels must be whole numbers of at least 2, one per channel, such as "
            f"8 5 5 5, found {shown}",
        )
        require(
            math.prod(levels) <= _MOST_CODEWORDS,
            f"quantizer.levels {shown} make {math.prod(levels):,} codewords, and indices allow "
            f"{_MOST_CODEWORDS:,}: use fewer channels or levels",
        )
        require(
            quantizer.bound in _FSQ_BOUNDS,
            f"quantizer.bound must be one of {', '.join(_FSQ_BOUNDS)}, found "
            f"{quantizer.bound!r}",
        )
        require(
            quantizer.bound != "atanh" or min(levels) > 2,
            f"quantizer.bound atanh has no value for 2 levels, found levels {shown}: use tan",
        )
        return
    # VQ standardizes a latent over its channels, which leaves nothing of a single one.
    least = 2 if isinstance(quantizer, VQConfig) else 1
    at_least(least, "quantizer.code_dim", quantizer.code_dim)
    if isinstance(quantizer, VQConfig):
        between(2, _MOST_CODEWORDS, "quantizer.codebook_size", quantizer.codebook_size)
        require(
            0 < quantizer.decay < 1,
            f"quantizer.decay must be above 0 and less than 1, found {quantizer.decay}",
        )
        positive("quantizer.min_count", quantizer.min_count)
        at_least(0, "quantizer.commitment_weight", quantizer.commitment_weight)


def _check_stage(name: str, stage: StageConfig) -> None:
    at_least(1, f"{name}.batch_size", stage.batch_size)
    at_least(1, f"{name}.micro_batches", stage.micro_batches)
    divides(
        f"{name}.micro_batches",
        stage.micro_batches,
        f"{name}.batch_size",
        stage.batch_size,
    )
    require(
        (stage.steps is None) != (stage.epochs is None),
        f"give either {name}.steps or {name}.epochs, found {stage.steps} and {stage.epochs}: "
        "set the other one to None",
    )
    if stage.epochs is not None:
        positive(f"{name}.epochs", stage.epochs)
    at_least(0, f"{name}.warmup_steps", stage.warmup_steps)
    require(
        0 <= stage.average_decay < 1,
        f"{name}.average_decay must be at least 0 and less than 1, found {stage.average_decay}",
    )
    if stage.steps is not None:
        at_least(1, f"{name}.steps", stage.steps)
        require(
            stage.warmup_steps < stage.steps,
            f"{name}.warmup_steps must be less than {name}.steps, found {stage.warmup_steps} "
            f"and {stage.steps}: shorten the warm-up or train for longer",
        )
    _check_optimizer(f"{name}.optimizer", stage.optimizer)


def _check_optimizer(name: str, optimizer: OptimizerConfig) -> None:
    positive(f"{name}.learning_rate", optimizer.learning_rate)
    at_least(0, f"{name}.weight_decay", optimizer.weight_decay)
    at_least(0, f"{name}.clip_norm", optimizer.clip_norm)
    for pattern, factor in optimizer.multipliers:
        _check_pattern(f"{name}.multipliers", pattern)
        at_least(0, f"{name}.multipliers, of {pattern!r},", factor)


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
        at_least(1, f"{name}.model.{field}", getattr(model, field))
    divides(
        f"{name}.model.num_heads", model.num_heads, f"{name}.model.width", model.width
    )
    if model.positions == "sincos2d":
        divides(
            "the 4 parts of sincos2d positions", 4, f"{name}.model.width", model.width
        )
        require(
            model.width > 4,
            f"{name}.model.width must be above 4 for sincos2d positions, found {model.width}",
        )
    for side, pixels, patch in zip(
        ("rows", "columns"), config.task.image_size, model.patch_size, strict=True
    ):
        at_least(1, f"{name}.model.patch_size", patch)
        divides(
            f"the {side} of {name}.model.patch_size",
            patch,
            "those of task.image_size",
            pixels,
        )
    head_size = model.width // model.num_heads
    require(
        model.attention != "cudnn" or head_size % 8 == 0,
        f"{name}.model.attention cudnn needs heads with a multiple of 8 channels, found "
        f"{head_size} ({name}.model.width {model.width} over {name}.model.num_heads {model.num_heads})",
    )
    require(
        model.attention != "cudnn" or model.dtype == "bfloat16",
        f"{name}.model.attention cudnn needs {name}.model.dtype bfloat16, found "
        f"{model.dtype}",
    )


def _check_code_length(config: RunConfig) -> None:
    stage = config.stage1
    length, kind = stage.model.code_length, stage.model.resize
    at_least(1, "stage1.model.code_length", length)
    side = math.isqrt(length)
    require(
        kind != "linear" or side * side == length,
        f"stage1.model.code_length must be a square number for stage1.model.resize linear, "
        f"found {length}: take {side * side} or {(side + 1) ** 2}, or the learned resizing",
    )
    at_least(0, "stage1.model.head_memory_mb", stage.model.head_memory_mb)
    for name in ("stage1", "stage2"):
        size = getattr(config, name).batch_size
        require(
            size * length <= WHOLE_LIMIT,
            f"{name}.batch_size times stage1.model.code_length must be at most {WHOLE_LIMIT:,}, "
            f"found {size:,} times {length:,}",
        )


def check_evaluation(evaluation: EvaluationConfig, prefix: str = "evaluation.") -> None:
    """As `check`, of these settings; `prefix` stands before their names in messages."""

    def named(name: str) -> str:
        return prefix + (name.replace("_", "-") if prefix == "--" else name)

    at_least(1, named("batch_size"), evaluation.batch_size)
    if evaluation.examples is not None:
        at_least(1, named("examples"), evaluation.examples)
    at_least(0, named("temperature"), evaluation.temperature)
    at_least(0, named("top_k"), evaluation.top_k)
    require(
        0 < evaluation.top_p <= 1,
        f"{named('top_p')} must be above 0 and at most 1, found {evaluation.top_p}",
    )
    at_least(1, named("samples"), evaluation.samples)
    seed(named("seed"), evaluation.seed)
    require(
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
        at_least(1, f"output.{field}", getattr(output, field))
    at_least(0, "output.pictures", output.pictures)
