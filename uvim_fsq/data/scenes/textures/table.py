"""The colour of a surface at a point: which texture it has, and where on it the point is."""

import numpy as np
from jaxtyping import Float

from uvim_fsq.data.scenes.room.parts import Material
from uvim_fsq.data.scenes.textures import patterns as patterns
from uvim_fsq.data.scenes.textures import surfaces as surfaces
from uvim_fsq.data.scenes.textures.look import Look, Materials, Surface

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


def materials_of(materials: list[Material]) -> Materials:
    """The arrays of a list of materials."""
    return Materials.of(materials, _NUMBERS)


def albedo(materials: Materials, at: Surface) -> Float[np.ndarray, "3 n"]:
    """Linear colour of each point."""
    paint = np.empty_like(at.local)
    textures = materials.texture.take(at.number)
    for texture in np.flatnonzero(np.bincount(textures)):
        chosen = np.flatnonzero(textures == texture)
        paint[:, chosen] = _FUNCTIONS[texture](Look(materials, at, chosen))
    return paint
