"""Floating-point operations of a configuration, and how long they take at a given speed."""

from dataclasses import dataclass

from uvim_fsq.cost import flops
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.settings.run import RunConfig

TERA = 1e12


@dataclass(frozen=True)
class Arithmetic:
    """Operations of training a stage.

    Attributes:
      parts: per image, by part.
      recomputed: per image, beside them: what the backward pass computes again.
      batch_size: images per step.
      steps: updates in all; None where the number of training examples is not known.
    """

    parts: flops.Flops
    recomputed: float
    batch_size: int
    steps: int | None

    @property
    def per_image(self) -> float:
        """The parts' sum."""
        return flops.total(self.parts)

    @property
    def per_step(self) -> float:
        """Of a batch."""
        return self.batch_size * self.per_image

    @property
    def whole(self) -> float | None:
        """Of all steps."""
        return None if self.steps is None else self.steps * self.per_step

    def seconds_per_step(self, tflops: int | float, devices: int) -> float:
        """At so many TFLOP/s on each device, these operations counted."""
        return self.per_step / (tflops * TERA * devices)


def training_arithmetic(
    models: Models, stage: Stage, examples: int | None
) -> Arithmetic:
    """What training a stage takes; `examples` are those of an epoch, if they are known."""
    dtype = models.task.plane_dtype
    choice = stage.config.model.rematerialize
    if stage is models.stage1:
        parts = flops.stage1_training(models.autoencoder, dtype)
        again = flops.stage1_recomputation(models.autoencoder, choice)
    else:
        parts = flops.stage2_training(models.code_model, models.autoencoder, dtype)
        again = flops.stage2_recomputation(models.code_model, choice)
    known = stage.config.steps is not None or examples is not None
    steps = stage.config.total_steps(examples or 0) if known else None
    return Arithmetic(parts, again, stage.config.batch_size, steps)


def prediction_arithmetic(models: Models) -> flops.Flops:
    """Operations per image of a prediction with one sample; of stage I alone if there is no II."""
    decoding = flops.total(flops.stage1_decoder(models.autoencoder))
    if models.stage2 is None:
        encoder = flops.stage1_encoder(models.autoencoder, models.task.plane_dtype)
        return {"encode the target": flops.total(encoder), "decode": decoding}
    return {
        "encode the image": flops.total(flops.stage2_encoder(models.code_model)),
        "sample the code": flops.total(flops.stage2_decoder(models.code_model)),
        "decode": decoding,
    }


def training_examples(config: RunConfig, given: int | None) -> int | None:
    """Examples of an epoch: as given, else what the settings say, else unknown."""
    return config.data.examples if given is None else given
