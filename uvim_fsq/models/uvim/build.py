"""Makes the models and optimizers of a run from its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from uvim_fsq.models.uvim.settings import ModelConfig, UvimSettings
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.transformer import is_stacked
from uvim_fsq.tasks.base import Task
from uvim_fsq.training.optimizer import Optimizer, adafactor, adamw, make_optimizer
from uvim_fsq.training.schedule import Schedule, cosine
from uvim_fsq.training.settings import StageConfig
from uvim_fsq.types import Array, DType, Tree

MEGABYTE = 2**20


def _transformer(config: ModelConfig) -> dict:
    return dict(
        patch_size=config.patch_size,
        width=config.width,
        encoder_depth=config.encoder_depth,
        decoder_depth=config.decoder_depth,
        mlp_width=config.mlp_width,
        num_heads=config.num_heads,
        positions=config.positions,
        dtype=_dtype(config),
        attention=config.attention,
        rematerialize=config.rematerialize,
    )


def _dtype(config: ModelConfig) -> DType:
    return jnp.dtype(config.dtype)


def build_stage1(config: UvimSettings, task: Task) -> Stage1Model:
    """The autoencoder."""
    model = config.stage1.model
    return Stage1Model(
        channels=FrozenDict(
            task.channels
        ),  # Hashable: models are static arguments of jit.
        quantizer=config.quantizer.build(),
        image_size=config.task.image_size,
        code_length=model.code_length,
        encoder_context=model.encoder_context,
        decoder_context=model.decoder_context,
        resize=model.resize,
        code_dropout=model.code_dropout,
        **_transformer(model),
    )


def build_stage2(config: UvimSettings) -> Stage2Model:
    """The model of the guiding code.

    Raises:
      ValueError: if the bottleneck has no codebook to model.
    """
    codebook_size = config.quantizer.build().codebook_size
    if codebook_size is None:
        raise ValueError(
            "stage II models the indices of a codebook, and the identity quantizer has none: "
            "train stage I alone (--stage 1) or choose fsq or vq"
        )
    return Stage2Model(
        codebook_size=codebook_size,
        code_length=config.stage1.model.code_length,
        image_size=config.task.image_size,
        **_transformer(config.stage2.model),
    )


def init_stage1(model: Stage1Model, task: Task, key: Array) -> Tree:
    """Fresh variables: `params` and, for VQ, `codebook`."""
    image = jnp.zeros((1, *model.image_size, 3))
    planes = {}
    for name, classes in task.channels.items():
        continuous = np.issubdtype(task.plane_dtype, np.floating)
        shape = (
            (1, *model.image_size, classes) if continuous else (1, *model.image_size)
        )
        planes[name] = jnp.zeros(shape, task.plane_dtype)
    return model.init(key, planes, image, method="reconstruct")


def init_stage2(model: Stage2Model, key: Array) -> Tree:
    """Fresh variables: `params`."""
    image = jnp.zeros((1, *model.image_size, 3))
    return model.init(key, image, jnp.zeros((1, model.code_length), jnp.int32))


ACCELERATOR_HEAD_MB = 1024
"""Bound on the heads' logits that training takes on an accelerator unless the settings give one."""


def head_chunk_bytes(config: UvimSettings) -> int:
    """Bound on the logits of stage I's heads that are held at once, in bytes.

    Left to itself (0), small enough for a processor's cache, or for an accelerator large enough
    to keep it busy.
    """
    if config.stage1.model.head_memory_mb:
        return config.stage1.model.head_memory_mb * MEGABYTE
    return (4 if jax.default_backend() == "cpu" else ACCELERATOR_HEAD_MB) * MEGABYTE


def build_optimizer(stage: StageConfig, steps: int) -> tuple[Optimizer, Schedule]:
    """The optimizer of a stage and its learning rate by step, for reports."""
    settings = stage.optimizer
    direction = (
        adafactor(stacked=is_stacked) if settings.name == "adafactor" else adamw()
    )
    factor = cosine(steps, stage.warmup_steps)
    optimizer = make_optimizer(
        direction,
        learning_rate=settings.learning_rate,
        schedule=factor,
        weight_decay=settings.weight_decay,
        multipliers=settings.multipliers,
        clip_norm=settings.clip_norm or None,
    )
    return optimizer, lambda step: settings.learning_rate * factor(step)


@dataclass(frozen=True)
class FrozenStage1:
    """A trained stage I: its model, variables, and which checkpoint that is."""

    model: Stage1Model
    variables: Tree
    record: Mapping[str, Any]
