"""Noise and lines for textures, blurred to the size of what a pixel covers."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

_SIDE = 256
_LEVELS = 9


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tileable cloud and its halvings in one array, where each begins, and white noise."""
    generator = np.random.Generator(np.random.PCG64(20250917))
    cloud = np.zeros((_SIDE, _SIDE))
    for octave in range(6):
        layer = generator.random((_SIDE, _SIDE)) - 0.5
        for step in (2**j for j in range(octave)):
            for axis in (0, 1):
                layer = layer + np.roll(layer, step, axis)
        cloud += layer / layer.std() * 1.25**octave
    levels = [np.clip(cloud / cloud.std(), -2.5, 2.5)]
    for _ in range(_LEVELS - 1):
        last = levels[-1]
        levels.append(
            (last[::2, ::2] + last[1::2, ::2] + last[::2, 1::2] + last[1::2, 1::2]) / 4
        )
    starts = np.cumsum([0] + [level.size for level in levels[:-1]])
    flat = np.concatenate([level.ravel() for level in levels]).astype(np.float32)
    return flat, starts, generator.random(4096).astype(np.float32)


def cloud(
    u: Float[np.ndarray, " #n"],
    v: Float[np.ndarray, " #n"],
    blur: Float[np.ndarray, " #n"],
) -> Float[np.ndarray, " n"]:
    """Clouds of mean 0 and standard deviation 1 at places in units of 1/256 of their period."""
    flat, starts, _ = _tables()
    level = np.log2(np.maximum(blur, np.float32(1))).astype(np.intp)
    level = np.minimum(level, _LEVELS - 1)
    shift = 8 - level
    column = (np.floor(u).astype(np.intp) & (_SIDE - 1)) >> level
    row = (np.floor(v).astype(np.intp) & (_SIDE - 1)) >> level
    return flat[starts[level] + (row << shift) + column]


def white(*numbers: Int[np.ndarray, " #n"]) -> Float[np.ndarray, " n"]:
    """A number in [0, 1) for each combination of integers."""
    table = _tables()[2]
    mixed = np.zeros_like(numbers[0])
    for number in numbers:
        mixed = (mixed * 1103 + number * 7919 + 12347) & 0xFFFFF
        mixed ^= mixed >> 7
    return table[mixed & 4095]


def whole(values: Float[np.ndarray, " #n"]) -> Int[np.ndarray, " n"]:
    """The integer parts, rounded down."""
    return np.floor(values).astype(np.intp)


def line(
    distance: Float[np.ndarray, " #n"],
    half_width: float | Float[np.ndarray, " #n"],
    blur: Float[np.ndarray, " #n"],
) -> Float[np.ndarray, " n"]:
    """Share of a pixel that a line covers whose middle is at this distance."""
    inside = np.clip((half_width - np.abs(distance)) / blur + np.float32(0.5), 0, 1)
    return inside * np.minimum(1, 2 * half_width / blur)


def mix(
    first: Float[np.ndarray, "3 #n"],
    second: Float[np.ndarray, "3 #n"],
    share: Float[np.ndarray, " #n"],
) -> Float[np.ndarray, "3 n"]:
    """`first` where `share` is 0, `second` where it is 1."""
    return first + (second - first) * share


def colour(*parts: float) -> Float[np.ndarray, "3 1"]:
    """A displayed colour (0 to 1) as a linear column."""
    return (np.array(parts, np.float32) ** 2)[:, None]
