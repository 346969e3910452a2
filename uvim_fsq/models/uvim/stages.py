"""The two trainings of a run, each as one description that the loop's caller goes by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax

from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.build import FrozenStage1
from uvim_fsq.models.uvim.objectives import codebook_update, target_encoder
from uvim_fsq.models.uvim.settings import UvimSettings
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.models.uvim.validation import (
    Validation,
    Watched,
    stage1_validation,
    stage2_validation,
)
from uvim_fsq.tasks.base import Task
from uvim_fsq.training.settings import StageConfig
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class StageJob:
    """One training: what differs between the stages, and nothing else.

    Attributes:
      name: for people.
      stage: how it is trained.
      seed: of initialization, data order, augmentation and dropout.
      loss_function, update_collections: as `training.step.make_step` takes them.
      init: fresh variables of a key.
      validation: what is measured on held-out examples.
      frozen: variables that the loss reads and nothing changes.
      record: what the training stands on, kept in its checkpoints.
    """

    name: str
    stage: StageConfig
    seed: int
    loss_function: Callable
    update_collections: Callable
    init: Callable[[jax.Array], Tree]
    validation: Validation
    frozen: Tree
    record: Mapping[str, Any]


def stage1_job(
    config: UvimSettings, task: Task, watched: Watched, seed: int
) -> StageJob:
    """The autoencoder's training."""
    model = build.build_stage1(config, task)
    chunk_bytes = build.head_chunk_bytes(config)
    return StageJob(
        name="stage I",
        stage=config.stage1,
        seed=seed,
        loss_function=stage1_loss(model, task.loss, chunk_bytes=chunk_bytes),
        update_collections=codebook_update(model),
        init=lambda key: build.init_stage1(model, task, key),
        validation=stage1_validation(config, task, model, watched),
        frozen={},
        record={},
    )


def stage2_job(
    config: UvimSettings,
    task: Task,
    watched: Watched,
    seed: int,
    frozen: FrozenStage1,
) -> StageJob:
    """The code model's training."""
    model = build.build_stage2(config)
    encode_target = target_encoder(frozen.model)
    return StageJob(
        name="stage II",
        stage=config.stage2,
        seed=seed,
        loss_function=stage2_loss(model, encode_target),
        update_collections=lambda collections, statistics, key: collections,
        init=lambda key: build.init_stage2(model, key),
        validation=stage2_validation(
            config, task, frozen, model, encode_target, watched
        ),
        frozen=frozen.variables,
        record={"stage1": frozen.record},
    )
