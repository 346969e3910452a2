"""The models of a configuration as shapes: everything built, nothing allocated."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.fields import replace
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.objectives import target_encoder
from uvim_fsq.models.uvim.settings import Stage1Config, Stage2Config
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.tasks.base import Task
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class Stage:
    """A stage as shapes.

    Attributes:
      config: how it is trained.
      model: the Flax module.
      variables: its `params` and, for VQ, its `codebook`.
      frozen: variables of another stage that it only reads.
    """

    config: Stage1Config | Stage2Config
    model: Stage1Model | Stage2Model
    variables: Tree
    frozen: Tree

    @property
    def params(self) -> Tree:
        """What the optimizer moves."""
        return self.variables["params"]

    @property
    def collections(self) -> Tree:
        """What a step changes without gradients."""
        return {name: tree for name, tree in self.variables.items() if name != "params"}


@dataclass(frozen=True)
class Models:
    """All of a configuration; `stage2` is None for a bottleneck without a codebook."""

    config: RunConfig
    task: Task
    stage1: Stage
    stage2: Stage | None
    chunk_bytes: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Those that there are."""
        return (self.stage1,) if self.stage2 is None else (self.stage1, self.stage2)

    @property
    def autoencoder(self) -> Stage1Model:
        """The module of stage I."""
        assert isinstance(self.stage1.model, Stage1Model)
        return self.stage1.model

    @property
    def code_model(self) -> Stage2Model:
        """The module of stage II."""
        assert self.stage2 is not None and isinstance(self.stage2.model, Stage2Model)
        return self.stage2.model

    def loss_function(self, stage: Stage) -> Callable[..., Any]:
        """`(params, collections, frozen, batch, key) -> loss, ...`, as it is trained."""
        if isinstance(stage.model, Stage2Model):
            return stage2_loss(stage.model, target_encoder(self.autoencoder))
        return stage1_loss(stage.model, self.task.loss, chunk_bytes=self.chunk_bytes)

    def batch(self, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of a batch of images and labels, as the loader gives them."""
        channels, dtype = self.autoencoder.channels, np.dtype(self.task.plane_dtype)
        continuous = np.issubdtype(dtype, np.floating)
        planes = sum(channels.values()) if continuous else len(channels)
        shape = (size, *self.autoencoder.image_size)
        return {
            "image": jax.ShapeDtypeStruct((*shape, 3), jnp.uint8),
            "planes": jax.ShapeDtypeStruct((*shape, planes), dtype),
        }


def shape_models(config: RunConfig) -> Models:
    """The models that `build.train` would make on an accelerator, without an array.

    Raises:
      ConfigError: if the settings do not say how many classes there are.
    """
    if not config.stage1.model.head_memory_mb:
        most = build.ACCELERATOR_HEAD_MB
        config = replace(config, stage1__model__head_memory_mb=most)
    task = config.task.build()
    key = jax.eval_shape(lambda: jax.random.key(0))

    def shapes(init):
        return dict(jax.eval_shape(init, key))

    model1 = build.build_stage1(config, task)
    variables1 = shapes(lambda key: build.init_stage1(model1, task, key))
    stage1, stage2 = Stage(config.stage1, model1, variables1, {}), None
    if config.quantizer.size is not None:
        model2 = build.build_stage2(config)
        variables2 = shapes(lambda key: build.init_stage2(model2, key))
        stage2 = Stage(config.stage2, model2, variables2, variables1)
    return Models(config, task, stage1, stage2, build.head_chunk_bytes(config))
