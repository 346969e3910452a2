"""What a measurement is, and how a call is timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: by the clock, and of all cores' work on the host."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes:
      images: per call; 0 where a call has nothing to do with images.
      flops: per call, see `build.flops`; 0 where they are not what counts.
      dtype: of the matrix products.
      run: times a number of calls, one after another.
    """

    images: int
    flops: float
    dtype: str
    run: Callable[[int], Timing]


def timed(call: Callable[[], Any], repeats: int) -> Timing:
    """Calls that may run ahead of the device; it ends when the last has."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = None
    for _ in range(repeats):
        result = call()
    jax.block_until_ready(result)
    return Timing(
        (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats
    )
