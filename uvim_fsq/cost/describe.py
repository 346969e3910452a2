"""All that can be said of a configuration's cost, as one tree of plain values."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from uvim_fsq.cost import flops
from uvim_fsq.cost.memory import TrainingMemory, prediction_memory
from uvim_fsq.cost.parameters import count, parameters_by_part, size
from uvim_fsq.cost.shapes import Models, Stage, shape_models
from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.nn.transformer import REMATERIALIZE
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.step import check_batch_size


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
    def budget(self) -> float:
        """Bytes of one device."""
        return 1e9 * self.memory_gb


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
    codewords = model.quantizer.codebook_size
    bits = model.code_length * math.log2(codewords) if codewords else None
    stage2 = None
    if models.stage2 is not None:
        stage2 = _transformer(config.stage2.model, model.image_size)
    return {
        "task": config.task.kind,
        "image_size": list(model.image_size),
        "channels": dict(model.channels),
        "quantizer": config.quantizer.kind,
        "code_length": model.code_length,
        "codebook_size": codewords,
        "code_dim": model.quantizer.code_dim,
        "bits_per_image": None if bits is None else round(bits, 1),
        "encoder_context": model.encoder_context,
        "decoder_context": model.decoder_context,
        "stage1": _transformer(config.stage1.model, model.image_size),
        "stage2": stage2,
    }


def _transformer(config: ModelConfig, image_size: tuple[int, int]) -> dict[str, Any]:
    names = ("width", "encoder_depth", "decoder_depth", "mlp_width", "num_heads")
    values = {name: getattr(config, name) for name in (*names, "dtype", "attention")}
    grid = list(grid_size(image_size, config.patch_size))
    return {"patch_size": list(config.patch_size), "grid": grid, **values}


def _stage(models: Models, stage: Stage, machine: Machine) -> dict[str, Any]:
    training = _training(models, stage, machine)
    return {
        "parameters": {
            "all": count(stage.params),
            "bytes": size(stage.params),
            "parts": parameters_by_part(stage.params),
            "codebook": count(stage.collections),
            "codebook_bytes": size(stage.collections),
        },
        "training": training,
        "time": _time(training, machine),
        "memory": _memory(models, stage, machine),
    }


def _training(models: Models, stage: Stage, machine: Machine) -> dict[str, Any]:
    dtype, trained = models.task.plane_dtype, stage.config
    if stage is models.stage1:
        parts = flops.stage1_training(models.autoencoder, dtype)
    else:
        parts = flops.stage2_training(models.code_model, models.autoencoder, dtype)
    examples = models.config.data.examples
    if machine.examples is not None:
        examples = machine.examples
    steps = trained.steps
    if steps is None and examples is not None:
        steps = trained.total_steps(examples)
    per_step = round(trained.batch_size * flops.total(parts))
    return {
        **_operations(parts),
        "recomputed_per_image": round(flops.recomputed(stage.model)),
        "batch_size": trained.batch_size,
        "flops_per_step": per_step,
        "steps": steps,
        "flops": None if steps is None else steps * per_step,
    }


def _operations(parts: flops.Flops) -> dict[str, Any]:
    return {
        "flops_per_image": round(flops.total(parts)),
        "parts": {name: round(value) for name, value in parts.items()},
    }


def _time(training: dict[str, Any], machine: Machine) -> dict[str, Any] | None:
    if machine.tflops is None:
        return None
    seconds = training["flops_per_step"] / (machine.tflops * 1e12 * machine.devices)
    steps = training["steps"]
    return {
        "seconds_per_step": seconds,
        "images_per_second": training["batch_size"] / seconds,
        "seconds": None if steps is None else steps * seconds,
    }


def _memory(models: Models, stage: Stage, machine: Machine) -> dict[str, Any]:
    """As the settings are, and for each choice of what is computed again."""
    trained = stage.config
    images = trained.batch_size // (trained.micro_batches * machine.devices)
    choices = {}
    for choice in REMATERIALIZE:
        model = stage.model.clone(rematerialize=choice)
        memory = TrainingMemory(models, replace(stage, model=model))
        choices[choice] = {
            **memory.of(images, trained.micro_batches).described(machine.budget),
            "images_at_once": images,
            "micro_batches": trained.micro_batches,
            "fitting": memory.fitting(
                trained.batch_size, machine.devices, machine.budget
            ),
        }
    return {"rematerialize": trained.model.rematerialize, "choices": choices}


def _prediction(models: Models, machine: Machine) -> dict[str, Any]:
    images = models.config.evaluation.batch_size
    task, model = models.task, models.autoencoder
    if models.stage2 is None:
        encoder = flops.stage1_encoder(model, task.plane_dtype)
        parts = {"encode the target": flops.total(encoder)}
    else:
        parts = {
            "encode the image": flops.total(flops.stage2_encoder(models.code_model)),
            "sample the code": flops.total(flops.stage2_decoder(models.code_model)),
        }
    parts["decode"] = flops.total(flops.stage1_decoder(model))
    return {
        **_operations(parts),
        "batch_size": images,
        "memory": prediction_memory(models, images).described(machine.budget),
    }
