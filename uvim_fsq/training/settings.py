"""How a stage is trained: the optimizer, the batches and the length."""

import re
from dataclasses import dataclass
from typing import Literal

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import at_least, divides, positive, require


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer of a stage."""

    name: Literal["adafactor", "adamw"] = "adafactor"
    """Adafactor is what UViM uses."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 1e-5
    """Decoupled, on kernels, not multiplied by the learning rate but by the schedule."""
    clip_norm: float = 1.0
    """Global gradient norm to clip at; 0 for no clipping."""
    multipliers: tuple[tuple[str, float], ...] = ()
    """Learning-rate multipliers: pairs of a regular expression on the parameter's path and a
    factor; the first that matches counts, 0 freezes."""

    def check(self, name: str) -> None:
        """Raises ConfigError for a value that cannot be used; `name` is the settings' own in messages."""
        positive(f"{name}.learning_rate", self.learning_rate)
        at_least(0, f"{name}.weight_decay", self.weight_decay)
        at_least(0, f"{name}.clip_norm", self.clip_norm)
        for pattern, factor in self.multipliers:
            _check_pattern(f"{name}.multipliers", pattern)
            at_least(0, f"{name}.multipliers, of {pattern!r},", factor)


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{name} must be regular expressions with factors, found {pattern!r}: {error}."
        ) from None


@dataclass(frozen=True)
class StageConfig:
    """How a stage is trained."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    batch_size: int = 1024
    """Examples per step, over all devices."""
    micro_batches: int = 1
    """Parts of each batch, to save memory; the result is the same but for rounding and code dropout's draws."""
    steps: int | None = None
    """Updates in all; give either this or `epochs`."""
    epochs: float | None = None
    """Passes over the training data."""
    warmup_steps: int = 4000
    """Steps of linear warm-up, before the cosine decay to 0."""
    average_decay: float = 0.0
    """Decay of an exponential moving average of the weights, such as 0.999, but at most
    (1 + t) / (10 + t) after update t = 0, 1, ...; whatever uses the model takes the average. 0: none."""

    def total_steps(self, examples: int) -> int:
        """Updates, given outright or as epochs over so many examples."""
        from uvim_fsq.training.schedule import steps_from_epochs

        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return steps_from_epochs(self.epochs, examples, self.batch_size)

    def check(self, name: str) -> None:
        """Raises ConfigError for a value that cannot be used; `name` is the stage's in messages."""
        at_least(1, f"{name}.batch_size", self.batch_size)
        at_least(1, f"{name}.micro_batches", self.micro_batches)
        divides(
            f"{name}.micro_batches",
            self.micro_batches,
            f"{name}.batch_size",
            self.batch_size,
        )
        require(
            (self.steps is None) != (self.epochs is None),
            f"give either {name}.steps or {name}.epochs, found {self.steps} and {self.epochs}: "
            "set the other one to None",
        )
        if self.epochs is not None:
            positive(f"{name}.epochs", self.epochs)
        at_least(0, f"{name}.warmup_steps", self.warmup_steps)
        require(
            0 <= self.average_decay < 1,
            f"{name}.average_decay must be at least 0 and less than 1, found {self.average_decay}",
        )
        if self.steps is not None:
            at_least(1, f"{name}.steps", self.steps)
            require(
                self.warmup_steps < self.steps,
                f"{name}.warmup_steps must be less than {name}.steps, found {self.warmup_steps} "
                f"and {self.steps}: shorten the warm-up or train for longer",
            )
        self.optimizer.check(f"{name}.optimizer")
