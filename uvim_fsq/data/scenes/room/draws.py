"""Random draws that describe one scene: a function of a few integers alone."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 256


class Draws:
    """A stream of uniform numbers made from integers, read one at a time as Python floats.

    Only `Generator.random` of a named bit generator is used, whose stream NumPy keeps stable.
    """

    def __init__(self, *entropy: int):
        bits = np.random.PCG64(np.random.SeedSequence(entropy))
        self._generator = np.random.Generator(bits)
        self._values: list[float] = []

    def unit(self) -> float:
        """The next number in [0, 1)."""
        if not self._values:
            self._values = self._generator.random(_BLOCK).tolist()
        return self._values.pop()

    def uniform(self, low: float | int, high: float | int) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + int(self.unit() * (high - low + 1))

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self.unit() * len(options))]

    def sign(self) -> int:
        """-1 or 1."""
        return 1 if self.unit() < 0.5 else -1

    def near(self, value: Sequence[float | int], spread: float) -> tuple[float, ...]:
        """A colour around `value`: common change of brightness, small change of hue."""
        shift = self.uniform(-spread, spread)
        return tuple(
            min(1.0, max(0.0, v * (1 + shift) + self.uniform(-spread, spread) * 0.25))
            for v in value
        )
