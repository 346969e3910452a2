"""Memory of one device while a stage is trained, and while it predicts."""

import math
from dataclasses import dataclass

import jax

from uvim_fsq.cost import working
from uvim_fsq.cost.kept import KeptByPass, kept_by_stage
from uvim_fsq.cost.parameters import size
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.models.uvim import build
from uvim_fsq.training.optimizer import select

TOLERANCE = 0.25
"""How far what comes and goes within a step may be off, as a share; what is held is exact."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one device by what they are for.

    Attributes:
      held: what stays from step to step; exact.
      passing: what comes and goes within a step; an estimate.
    """

    held: dict[str, int]
    passing: dict[str, int]

    @property
    def total(self) -> int:
        """What is needed at the fullest moment."""
        return sum(self.held.values()) + sum(self.passing.values())

    @property
    def at_most(self) -> int:
        """The total if the estimate is as much too low as `TOLERANCE` allows."""
        passing = sum(self.passing.values())
        return self.total + math.ceil(TOLERANCE * passing)

    def fits(self, budget: int | float) -> str:
        """ "yes", "maybe" (within the estimate's tolerance) or "no"."""
        if self.at_most <= budget:
            return "yes"
        return "maybe" if self.total <= budget else "no"


@dataclass(frozen=True)
class TrainingMemory:
    """The memory that a stage's training takes, by how many images it takes at once.

    Attributes:
      weights, codebook, optimizer, average, frozen: bytes of the state and of what is read.
      gradients: bytes of one gradient.
      batch_per_image: bytes of an image with its labels, as the loader gives them.
      kept: of the forward pass, see `KeptByPass`.
    """

    models: Models
    stage: Stage
    weights: int
    codebook: int
    optimizer: int
    average: int
    frozen: int
    gradients: int
    batch_per_image: int
    kept: KeptByPass

    def of(self, images: int, micro_batches: int = 1) -> Memory:
        """For so many images at once on a device, and so many micro-batches after another."""
        held = {
            "weights": self.weights,
            "codebook": self.codebook,
            "optimizer state": self.optimizer,
            "moving average": self.average,
            "frozen stage I": self.frozen,
            # The loop puts the next batch there while a step runs.
            "batch, and the next": 2 * images * micro_batches * self.batch_per_image,
        }
        gradients = {"gradients": self.gradients}
        if micro_batches > 1:
            gradients["gradients, added up"] = self.gradients
        passes = [
            (self.kept.decoder, working.decoding(self.models, self.stage, images)),
            (self.kept.encoder, working.encoding(self.models, self.stage, images)),
        ]
        phases = [{"updates": self.gradients}]
        for kept, work in passes:
            largest = max(work, key=lambda part: work[part])
            phase = {"activations kept": kept.bytes(images)}
            phases.append(phase | {f"at work: {largest}": work[largest]})
        fuller = max(phases, key=lambda phase: sum(phase.values()))
        return Memory({k: v for k, v in held.items() if v}, gradients | fuller)

    def largest(
        self, batch_size: int, devices: int, budget: int | float
    ) -> tuple[int, int] | None:
        """(images at once on a device, micro-batches) that surely fit; None if not even one does.

        The largest number of images that divides a device's share of the batch.
        """
        share = batch_size // devices
        for micro_batches in range(1, share + 1):
            if share % micro_batches == 0:
                images = share // micro_batches
                if self.of(images, micro_batches).fits(budget) == "yes":
                    return images, micro_batches
        return None


def training_memory(models: Models, stage: Stage) -> TrainingMemory:
    """What a stage's training takes, from shapes."""
    # The optimizer's state has the shapes that its settings give, whatever the steps.
    steps = stage.config.warmup_steps + 1
    optimizer, _ = build.build_optimizer(stage.config, steps)
    mask = optimizer.trainable(stage.params)
    average = size(stage.params) if stage.config.average_decay > 0 else 0
    return TrainingMemory(
        models=models,
        stage=stage,
        weights=size(stage.params),
        codebook=size(stage.collections),
        optimizer=size(jax.eval_shape(optimizer.init, stage.params)),
        average=average,
        frozen=size(stage.frozen),
        gradients=size(select(stage.params, mask)),
        batch_per_image=size(models.batch(1)),
        kept=kept_by_stage(models, stage, mask),
    )
