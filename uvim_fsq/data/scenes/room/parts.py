"""The description of a scene: solids with their materials, light and camera, as plain numbers."""

from dataclasses import dataclass, field
from math import cos, sin
from typing import NamedTuple

BOX, FRUSTUM, ELLIPSOID = 0, 1, 2

Number = float | int
"""Lengths in metres, angles in radians, shares; whole ones may be written as integers."""

Colour = tuple[Number, ...]
"""Red, green, blue as displayed, 0 to 1."""

Vector = tuple[Number, Number, Number]


class Material(NamedTuple):
    """How a surface looks: a texture's name, two colours, its four numbers, gloss and glow.

    `params` mean what the texture says (`scene_textures`); `gloss` is the strength of the
    highlight; `glow` is how much light the surface itself sends out, 1 being paper in full light.
    """

    texture: str
    colour: Colour
    second: Colour = (0.5, 0.5, 0.5)
    params: tuple[Number, Number, Number, Number] = (0.0, 0.0, 0.0, 0.0)
    gloss: Number = 0.0
    glow: Number = 0.0


class Part(NamedTuple):
    """One solid. `taper` is a frustum's radius at the top over that at the bottom."""

    kind: int
    centre: Vector
    half: Vector
    material: Material
    turn: Number = 0.0
    taper: Number = 1.0
    casts: bool = True


@dataclass
class Thing:
    """An object: its class, its parts in its own axes, and half its extent.

    Its own axes: the origin lies on the floor in the middle of its footprint, the front faces -z.
    """

    category: str
    parts: list[Part] = field(default_factory=list)
    half_width: Number = 0.0
    half_length: Number = 0.0
    height: Number = 0.0

    def box(self, centre: Vector, half: Vector, material: Material, casts: bool = True):
        """Adds a box."""
        self.parts.append(Part(BOX, centre, half, material, casts=casts))

    def frustum(
        self,
        centre: Vector,
        radius: Number,
        half_height: Number,
        material: Material,
        top: Number | None = None,
        casts: bool = True,
    ):
        """Adds an upright cylinder, or a cone's frustum where `top` gives its upper radius."""
        taper = 1.0 if top is None else max(top, 1e-3) / radius
        wide = radius * max(1.0, taper)
        half = (wide, half_height, wide)
        self.parts.append(
            Part(FRUSTUM, centre, half, material, taper=taper, casts=casts)
        )

    def ellipsoid(
        self, centre: Vector, half: Vector, material: Material, casts: bool = True
    ):
        """Adds an ellipsoid."""
        self.parts.append(Part(ELLIPSOID, centre, half, material, casts=casts))

    def placed(self, x: Number, z: Number, turn: Number, y: Number = 0.0) -> list[Part]:
        """Its parts in the world, its front turned by `turn` from facing -z towards -x."""
        c, s = cos(turn), sin(turn)
        moved = []
        for part in self.parts:
            px, py, pz = part.centre
            centre = (x + c * px + s * pz, y + py, z - s * px + c * pz)
            moved.append(part._replace(centre=centre, turn=part.turn + turn))
        return moved


class Light(NamedTuple):
    """A lamp: its place, its colour times its strength at one metre, its softness in metres."""

    place: Vector
    colour: Colour
    softness: Number
    shadows: bool


class Camera(NamedTuple):
    """Where the picture is taken from; angles in radians, `view` across the shorter side."""

    place: Vector
    turn: Number
    pitch: Number
    view: Number


@dataclass
class Scene:
    """A room with everything in it; `instances[j]` is the class of the parts with number j."""

    width: Number
    length: Number
    height: Number
    camera: Camera
    lights: list[Light]
    ambient: Colour
    floor: Material
    ceiling: Material
    wall: Material
    far_wall: Material
    parts: list[tuple[int, Part]]
    instances: list[str]
