"""All that can be said of a configuration's cost, as one tree of plain values."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from uvim_fsq.cost.arithmetic import (
    Arithmetic,
    prediction_arithmetic,
    training_arithmetic,
    training_examples,
)
from uvim_fsq.cost.memory import Memory, TrainingMemory, training_memory
from uvim_fsq.cost.parameters import count, parameters_by_part, size
from uvim_fsq.cost.prediction import prediction_memory
from uvim_fsq.cost.shapes import Models, Stage, shape_models
from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.nn.transformer import REMATERIALIZE
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.step import check_batch_size

GIGA = 10**9


@dataclass(frozen=True)
class Machine:
    """What a training runs on.

    Attributes:
      devices: that share each batch; all else each has whole.
      memory_gb: of one device, in units of 10^9 bytes.
      tflops: that one device achieves, in units of 10^12 operations per second; None if unknown.
      examples: of an epoch; None where the settings tell, or nobody does.

    Raises:
      ConfigError: if a value is out of range.
    """

    devices: int = 1
    memory_gb: int | float = 80.0
    tflops: int | float | None = None
    examples: int | None = None

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not value > 0:
                option = "--" + name.replace("_", "-")
                raise ConfigError(f"{option} must be above 0, found {value}.")

    @property
    def budget(self) -> int | float:
        """Bytes of one device."""
        return self.memory_gb * GIGA


def describe(config: RunConfig, machine: Machine) -> dict[str, Any]:
    """What a configuration is and costs, for JSON and for `report.print_description`.

    Keys `model`, `machine`, `stage1`, `stage2` (None where there is none) and `prediction`. Bytes
    and operations are whole numbers; nothing is allocated and no data is read.

    Raises:
      ConfigError: if the settings do not say how many classes there are.
      BatchSizeError: if devices and micro-batches do not divide a batch.
    """
    models = shape_models(config)
    for stage in models.stages:
        trained = stage.config
        check_batch_size(trained.batch_size, trained.micro_batches, machine.devices)
    stages = [_stage(models, stage, machine) for stage in models.stages]
    return {
        "model": _model(models),
        "machine": dataclasses.asdict(machine),
        "stage1": stages[0],
        "stage2": stages[1] if len(stages) > 1 else None,
        "prediction": _prediction(models, machine),
    }


def _model(models: Models) -> dict[str, Any]:
    config, model = models.config, models.autoencoder
    bits = None
    if model.quantizer.codebook_size is not None:
        bits = model.code_length * math.log2(model.quantizer.codebook_size)
    return {
        "task": config.task.kind,
        "image_size": list(model.image_size),
        "channels": dict(model.channels),
        "quantizer": config.quantizer.kind,
        "code_length": model.code_length,
        "codebook_size": model.quantizer.codebook_size,
        "code_dim": model.quantizer.code_dim,
        "bits_per_image": None if bits is None else round(bits, 1),
        "encoder_context": model.encoder_context,
        "decoder_context": model.decoder_context,
        "stage1": _transformer(config.stage1.model, model.image_size),
        "stage2": None
        if models.stage2 is None
        else _transformer(config.stage2.model, model.image_size),
    }


def _transformer(config: ModelConfig, image_size: tuple[int, int]) -> dict[str, Any]:
    names = ("width", "encoder_depth", "decoder_depth", "mlp_width", "num_heads")
    values = {name: getattr(config, name) for name in (*names, "dtype", "attention")}
    grid = list(grid_size(image_size, config.patch_size))
    return {"patch_size": list(config.patch_size), "grid": grid, **values}


def _stage(models: Models, stage: Stage, machine: Machine) -> dict[str, Any]:
    examples = training_examples(models.config, machine.examples)
    arithmetic = training_arithmetic(models, stage, examples)
    return {
        "parameters": {
            "all": count(stage.params),
            "bytes": size(stage.params),
            "parts": parameters_by_part(stage.params),
            "codebook": count(stage.collections),
            "codebook_bytes": size(stage.collections),
        },
        "training": _arithmetic(arithmetic),
        "time": _time(arithmetic, machine),
        "memory": _memory(models, stage, machine),
    }


def _arithmetic(arithmetic: Arithmetic) -> dict[str, Any]:
    whole = arithmetic.whole
    return {
        "flops_per_image": round(arithmetic.per_image),
        "parts": {name: round(value) for name, value in arithmetic.parts.items()},
        "recomputed_per_image": round(arithmetic.recomputed),
        "batch_size": arithmetic.batch_size,
        "flops_per_step": round(arithmetic.per_step),
        "steps": arithmetic.steps,
        "flops": None if whole is None else round(whole),
    }


def _time(arithmetic: Arithmetic, machine: Machine) -> dict[str, Any] | None:
    if machine.tflops is None:
        return None
    seconds = arithmetic.seconds_per_step(machine.tflops, machine.devices)
    steps = arithmetic.steps
    return {
        "seconds_per_step": seconds,
        "images_per_second": arithmetic.batch_size / seconds,
        "seconds": None if steps is None else steps * seconds,
    }


def _memory(models: Models, stage: Stage, machine: Machine) -> dict[str, Any]:
    trained = stage.config
    images = trained.batch_size // (trained.micro_batches * machine.devices)
    chosen = trained.model.rematerialize
    choices = {}
    for choice in REMATERIALIZE:
        memory = _training_memory(models, stage, choice)
        needed = memory.of(images, trained.micro_batches)
        largest = memory.largest(trained.batch_size, machine.devices, machine.budget)
        choices[choice] = {
            **_bytes(needed, machine),
            "images_at_once": images,
            "micro_batches": trained.micro_batches,
            "fitting": largest
            and {"images_at_once": largest[0], "micro_batches": largest[1]},
        }
    return {"rematerialize": chosen, "choices": choices}


def _training_memory(models: Models, stage: Stage, choice: str) -> TrainingMemory:
    """Of a stage with another `rematerialize`."""
    changed = replace(stage, model=stage.model.clone(rematerialize=choice))
    name = "stage1" if stage is models.stage1 else "stage2"
    return training_memory(replace(models, **{name: changed}), changed)


def _bytes(memory: Memory, machine: Machine) -> dict[str, Any]:
    return {
        "held": memory.held,
        "passing": memory.passing,
        "total": memory.total,
        "at_most": memory.at_most,
        "fits": memory.fits(machine.budget),
    }


def _prediction(models: Models, machine: Machine) -> dict[str, Any]:
    parts = prediction_arithmetic(models)
    batch_size = models.config.evaluation.batch_size
    memory = prediction_memory(models, batch_size)
    return {
        "flops_per_image": round(sum(parts.values())),
        "parts": {name: round(value) for name, value in parts.items()},
        "batch_size": batch_size,
        "memory": _bytes(memory, machine),
    }
