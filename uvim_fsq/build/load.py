"""Brings trained stages back from run directories."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from uvim_fsq import config_json
from uvim_fsq.build import objects
from uvim_fsq.build.inference import Inference
from uvim_fsq.build.run_directory import (
    RunDirectory,
    StageDirectory,
    differences,
    tree_hash,
)
from uvim_fsq.build.tasks import build_task
from uvim_fsq.config import ConfigError, RunConfig, replace
from uvim_fsq.stage1.model import Stage1Model
from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.state import abstract_state
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class FrozenStage1:
    """A trained stage I: its model, variables, and which checkpoint that is."""

    model: Stage1Model
    variables: Tree
    record: Mapping[str, Any]


def load_frozen_stage1(run: RunDirectory, config: RunConfig) -> FrozenStage1:
    """The trained stage I of a run, for a stage II with these settings.

    Raises:
      ConfigError: if the run is of another task, quantizer or stage-I model, or not trained.
    """
    theirs = run.config()
    found = differences(_stage1_identity(theirs), _stage1_identity(config))
    if found:
        raise ConfigError(
            f"stage I in {run.path} has other settings than asked for ({'; '.join(found)}): "
            "give a stage I with the same settings, or its settings"
        )
    task = build_task(config.task)
    model = objects.build_stage1(config, task)
    theirs = replace(theirs, checkpoint=config.checkpoint)
    variables, step = _variables(
        run.stage1, theirs, lambda key: objects.init_stage1(model, task, key), 1
    )
    return FrozenStage1(model, variables, {"step": step, "hash": tree_hash(variables)})


def _stage1_identity(config: RunConfig) -> dict[str, Any]:
    tree = config_json.to_dict(config)
    stage1 = {"model": tree["stage1"]["model"]}
    return {"task": tree["task"], "quantizer": tree["quantizer"], "stage1": stage1}


def load_inference(run: RunDirectory, seed: int | None = None) -> Inference:
    """A run's best stage I and, if it is trained, best stage II, ready to be used.

    Args:
      run: the run directory.
      seed: of stage II; the first that is there by default.

    Raises:
      ConfigError: if nothing is trained, or stage II belongs to another stage I.
    """
    config = run.config()
    task = build_task(config.task)
    stage1 = load_frozen_stage1(run.stage1_run(), config)
    chunk_bytes = objects.head_chunk_bytes(config)
    seeds = run.stage2_seeds()
    if not seeds:
        return Inference(task, stage1.model, stage1.variables, chunk_bytes=chunk_bytes)
    seed = seeds[0] if seed is None else seed
    model = objects.build_stage2(config)
    variables, _ = _variables(
        run.stage2(seed),
        config,
        lambda key: objects.init_stage2(model, key),
        2,
        expected={"stage1": dict(stage1.record)},
    )
    return Inference(
        task, stage1.model, stage1.variables, model, variables["params"], chunk_bytes
    )


def _variables(
    directory: StageDirectory,
    config: RunConfig,
    init,
    stage: int,
    expected: Mapping[str, Any] | None = None,
) -> tuple[Tree, int]:
    """Variables and step of the checkpoint that the settings choose."""
    if not directory.checkpoints.exists():
        raise ConfigError(
            f"{directory.path} holds no checkpoint: train stage {stage} first "
            f"(uvim-fsq train ... --stage {stage})"
        )
    settings = config.stage1 if stage == 1 else config.stage2
    # The optimizer's state has the shapes that its settings give; its values are not used.
    optimizer, _ = objects.build_optimizer(
        settings, max(settings.steps or 0, settings.warmup_steps + 1)
    )
    shapes = dict(jax.eval_shape(init, jax.random.key(0)))
    params = shapes.pop("params")
    with Checkpoints(directory.checkpoints) as checkpoints:
        best = config.checkpoint == "best"
        restore = checkpoints.restore_best if best else checkpoints.restore_latest
        restored = restore(abstract_state(params, shapes, optimizer))
    if restored is None:
        raise ConfigError(
            f"{directory.checkpoints} holds no complete checkpoint yet: train stage {stage} "
            "for longer"
        )
    state, metadata = restored
    for name, value in (expected or {}).items():
        if metadata.get(name) != value:
            raise ConfigError(
                f"{directory.path} was trained on another stage I ({metadata.get(name)}) than "
                f"the one here ({value}): predict with the stage I it was trained on"
            )
    return {"params": state.params, **state.collections}, int(metadata["step"])
