"""The colour of a surface at a point: which texture it has, and where on it the point is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uvim_fsq.data import scene_patterns as patterns
from uvim_fsq.data import scene_surfaces as surfaces
from uvim_fsq.data.scene_noise import Look
from uvim_fsq.data.scene_parts import Material

_TEXTURES = {
    "plain": patterns.plain,
    "wood": patterns.wood,
    "cloth": patterns.cloth,
    "curtain": patterns.curtain,
    "doors": patterns.doors,
    "books": patterns.books,
    "cardboard": patterns.cardboard,
    "leaves": patterns.leaves,
    "basketball": patterns.basketball,
    "beachball": patterns.beachball,
    "rug": patterns.rug,
    "planks": surfaces.planks,
    "tiles": surfaces.tiles,
    "carpet": surfaces.carpet,
    "wall": surfaces.wall,
    "picture": surfaces.picture,
    "window": surfaces.window,
    "door": surfaces.door,
}
_NUMBERS = {name: number for number, name in enumerate(_TEXTURES)}
_FUNCTIONS = tuple(_TEXTURES.values())

# Which components of a place are u and v on a face across axis 0, 1, 2.
_U = np.array([2, 0, 0])
_V = np.array([1, 2, 1])


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
        numbers = np.array([_NUMBERS[m.texture] for m in materials], np.intp)
        return cls(
            numbers, rows[:3] ** 2, rows[3:6] ** 2, rows[6:10], rows[10], rows[11]
        )


@dataclass(frozen=True)
class Surface:
    """n points on surfaces.

    `number` of the surface; `local`, `half` (3, n): place and half extents in its own axes;
    `axis` of the face; `blur`: metres that a pixel covers there.
    """

    number: np.ndarray
    local: np.ndarray
    half: np.ndarray
    axis: np.ndarray
    blur: np.ndarray


def albedo(materials: Materials, at: Surface) -> Float[np.ndarray, "3 n"]:
    """Linear colour of each point."""
    paint = np.empty_like(at.local)
    textures = materials.texture[at.number]
    for texture in np.flatnonzero(np.bincount(textures)):
        chosen = np.flatnonzero(textures == texture)
        paint[:, chosen] = _FUNCTIONS[texture](_look(materials, at, chosen))
    return paint


def _look(materials: Materials, at: Surface, chosen: np.ndarray) -> Look:
    """What a texture needs to know about the chosen points."""
    number, axis = at.number[chosen], at.axis[chosen]
    local, half = at.local[:, chosen], at.half[:, chosen]
    columns = np.arange(len(chosen))
    u_axis, v_axis = _U[axis], _V[axis]
    return Look(
        local[u_axis, columns],
        local[v_axis, columns],
        half[u_axis, columns],
        half[v_axis, columns],
        (axis == 2) & (local[2] < 0),
        axis,
        local,
        half,
        at.blur[chosen],
        materials.colour[:, number],
        materials.second[:, number],
        materials.params[:, number],
    )
