"""Checks of settings that need the models, the machine or the data: after `settings.check`, before training."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import WHOLE_LIMIT, replace
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.settings import ModelConfig, UvimSettings
from uvim_fsq.nn.attention import cudnn_refusal
from uvim_fsq.training.settings import StageConfig

RunSettings = TypeVar("RunSettings", bound=UvimSettings)

_log = logging.getLogger(__name__)


def check_buildable(config: UvimSettings, stages: Sequence[int]) -> None:
    """Refuses what only shows where a stage's model is made; nothing is allocated, read or written.

    Raises:
      ConfigError: if its attention cannot be used on this machine, a learning-rate multiplier fits no
        parameter, or the multipliers freeze all of them.
    """
    for number in stages:
        name = f"stage{number}"
        stage = getattr(config, name)
        refusal = _attention_refusal(stage.model)
        if refusal is not None:
            raise ConfigError(
                f"{name}.model.attention cudnn cannot be used, because {refusal}: take "
                f"--{name}.model.attention xla"
            )
        if stage.optimizer.multipliers:
            _check_multipliers(f"{name}.optimizer.multipliers", config, number)


def on_this_machine(config: RunSettings) -> RunSettings:
    """The settings with the attention that runs here, to use a model that was trained elsewhere.

    The kernels of attention give the same result but for rounding.
    """
    for name in ("stage1", "stage2"):
        refusal = _attention_refusal(getattr(config, name).model)
        if refusal is not None:
            _log.warning("%s uses attention xla instead of cudnn: %s", name, refusal)
            config = replace(config, **{f"{name}__model__attention": "xla"})
    return config


def _attention_refusal(model: ModelConfig) -> str | None:
    if model.attention != "cudnn":
        return None
    return cudnn_refusal(model.width // model.num_heads, jnp.dtype(model.dtype))


def _check_multipliers(name: str, config: UvimSettings, number: int) -> None:
    # Not all of it is known yet, and no pattern asks for it.
    config = replace(config, task=config.task.of_any_source())
    key = jax.random.key(0)
    if number == 1:
        task = config.task.build()
        stage1 = build.build_stage1(config, task)
        shapes = jax.eval_shape(lambda key: build.init_stage1(stage1, task, key), key)
    else:
        stage2 = build.build_stage2(config)
        shapes = jax.eval_shape(lambda key: build.init_stage2(stage2, key), key)
    stage = getattr(config, f"stage{number}")
    optimizer, _ = build.build_optimizer(stage, stage.warmup_steps + 1)
    try:
        trainable = optimizer.trainable(shapes["params"])
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    if not any(jax.tree.leaves(trainable)):
        raise ConfigError(
            f"{name} freeze every parameter, and nothing is left to train: leave out a factor of 0"
        )


def check_length(name: str, stage: StageConfig, examples: int) -> None:
    """Refuses a length that only the data tells, of the stage that messages call `name`.

    Raises:
      ConfigError: if its epochs are more steps than can be counted, or fewer than its warm-up.
    """
    steps = stage.total_steps(examples)
    if steps > WHOLE_LIMIT:
        raise ConfigError(
            f"{name}.epochs {stage.epochs:g} over {examples} examples are more than "
            f"{WHOLE_LIMIT:,} steps: train for less long."
        )
    if stage.warmup_steps >= steps:
        raise ConfigError(
            f"{name}.warmup_steps must be less than the {steps} steps that {stage.epochs} epochs of "
            f"{examples} examples make, found {stage.warmup_steps}: shorten the warm-up or train for "
            "longer."
        )
