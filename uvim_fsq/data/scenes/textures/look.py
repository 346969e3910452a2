"""What a texture gets to know about the points that it colours."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from uvim_fsq.data.scenes.room.parts import Material

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
    def of(cls, materials: list[Material], numbers: dict[str, int]) -> "Materials":
        """The arrays of a list of materials; `numbers` are those of the textures."""
        rows = np.array(
            [(*m.colour, *m.second, *m.params, m.gloss, m.glow) for m in materials],
            np.float32,
        ).T
        texture = np.array([numbers[m.texture] for m in materials], np.intp)
        return cls(
            texture, rows[:3] ** 2, rows[3:6] ** 2, rows[6:10], rows[10], rows[11]
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


class Look:
    """The points of one texture: arrays over n points, made when they are first asked for.

    What belongs to the material has one column only where all points are of one surface.
    """

    def __init__(self, materials: Materials, surface: Surface, chosen: np.ndarray):
        self._materials = materials
        self._surface = surface
        self._chosen = chosen
        number = surface.number.take(chosen)
        self._number = number[:1] if (number == number[0]).all() else number
        self._columns = np.arange(len(chosen))

    @cached_property
    def axis(self) -> np.ndarray:
        """The axis (0, 1, 2) across which each face lies."""
        return self._surface.axis.take(self._chosen)

    @cached_property
    def local(self) -> np.ndarray:
        """Place in the solid's own axes (3, n), in metres from its middle."""
        return self._surface.local.take(self._chosen, axis=1)

    @cached_property
    def half(self) -> np.ndarray:
        """Half extents of the solid (3, n)."""
        return self._surface.half.take(self._chosen, axis=1)

    @cached_property
    def u(self) -> np.ndarray:
        """Place along the face in metres; in a room from the world's origin."""
        return self.local[_U[self.axis], self._columns]

    @cached_property
    def v(self) -> np.ndarray:
        """Place up the face, or along z on a level one, in metres."""
        return self.local[_V[self.axis], self._columns]

    @cached_property
    def half_u(self) -> np.ndarray:
        """Half extent of the face along u."""
        return self.half[_U[self.axis], self._columns]

    @cached_property
    def half_v(self) -> np.ndarray:
        """Half extent of the face along v."""
        return self.half[_V[self.axis], self._columns]

    @cached_property
    def front(self) -> np.ndarray:
        """Whether the point is on the front, which faces -z."""
        return (self.axis == 2) & (self.local[2] < 0)

    @cached_property
    def blur(self) -> np.ndarray:
        """Metres that a pixel covers."""
        return self._surface.blur.take(self._chosen)

    @property
    def first(self) -> np.ndarray:
        """The material's colour (3, n or 1)."""
        return self._materials.colour.take(self._number, axis=1)

    @property
    def second(self) -> np.ndarray:
        """The material's second colour (3, n or 1)."""
        return self._materials.second.take(self._number, axis=1)

    @cached_property
    def params(self) -> np.ndarray:
        """The material's numbers (4, n or 1)."""
        return self._materials.params.take(self._number, axis=1)
