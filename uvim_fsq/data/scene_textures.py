"""Textures: the colour of a surface at a point, as functions of its place on the surface."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uvim_fsq.data.scene_parts import Material


@dataclass(frozen=True)
class Materials:
    """Materials as arrays, one column each; colours are linear."""

    texture: np.ndarray
    colour: np.ndarray
    second: np.ndarray
    params: np.ndarray
    gloss: np.ndarray
    glow: np.ndarray

    @classmethod
    def of(cls, materials: list[Material]) -> "Materials":
        """The arrays of a list of materials."""
        rows = np.array(
            [(*m.colour, *m.second, *m.params, m.gloss, m.glow) for m in materials],
            np.float32,
        ).T
        names = np.array([0 for m in materials], np.intp)
        return cls(names, rows[:3] ** 2, rows[3:6] ** 2, rows[6:10], rows[10], rows[11])


@dataclass(frozen=True)
class Surface:
    """Points on surfaces: number of the surface, place and half extents in its own axes (3, n),
    axis of the face, and the size in metres of what a pixel covers."""

    number: np.ndarray
    local: np.ndarray
    half: np.ndarray
    axis: np.ndarray
    footprint: np.ndarray


def albedo(materials: Materials, at: Surface) -> Float[np.ndarray, "3 n"]:
    """Linear colour of each point."""
    return materials.colour[:, at.number]
