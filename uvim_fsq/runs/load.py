"""Brings trained stages back, ready to be used."""

from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.build import FrozenStage1
from uvim_fsq.models.uvim.buildable import on_this_machine
from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.runs.identity import MEMORY_SETTINGS, differences
from uvim_fsq.runs.open import Trained
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig


def load_frozen_stage1(trained: Trained, config: RunConfig) -> FrozenStage1:
    """The stage I of a trained model, for a stage II with these settings.

    Raises:
      ConfigError: if it is of another task, quantizer or stage-I model, or not trained.
    """
    found = differences(_stage1_identity(trained.config), _stage1_identity(config))
    if found:
        raise ConfigError(
            f"stage I in {trained.path} has other settings than asked for ({'; '.join(found)}): "
            "give a stage I with the same settings, or its settings"
        )
    stage = trained.stage1(config.checkpoint)
    config = on_this_machine(config)
    model = build.build_stage1(config, config.task.build())
    return FrozenStage1(model, stage.variables, stage.record)


def _stage1_identity(config: RunConfig) -> dict[str, Any]:
    """What makes codes what they are: neither augmentation nor how memory is spent."""
    tree = as_json.to_dict(config)
    model, task = tree["stage1"]["model"], tree["task"]
    for name in (*MEMORY_SETTINGS, "attention"):
        model.pop(name)
    for name in ("flip", "crop_area"):
        task.pop(name)
    return {"task": task, "quantizer": tree["quantizer"], "stage1": {"model": model}}


def load_inference(trained: Trained, seed: int | None = None) -> Inference:
    """A model's stage I and, if it is trained, stage II, ready to be used.

    Args:
      trained: from `open_trained`.
      seed: of stage II; the first that is there by default.

    Raises:
      ConfigError: if nothing is trained, or stage II belongs to another stage I.
    """
    config = on_this_machine(trained.config)
    task = config.task.build()
    stage1 = trained.stage1()
    model = build.build_stage1(config, task)
    chunk_bytes = build.head_chunk_bytes(config)
    stage2 = trained.stage2(seed, stage1)
    if stage2 is None:
        return Inference(task, model, stage1.variables, chunk_bytes=chunk_bytes)
    return Inference(
        task,
        model,
        stage1.variables,
        build.build_stage2(config),
        stage2.variables["params"],
        chunk_bytes,
    )
