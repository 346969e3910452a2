"""What keeps light from a point: shadows of solids, and corners and things close by."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from uvim_fsq.data.scenes.render.geometry import (
    Solids,
    cast_boxes,
    cast_spheres,
    rotate,
    to_solids,
)
from uvim_fsq.data.scenes.room.parts import Light

REACH = 0.5
"""How far in metres a solid darkens its surroundings."""

_CORNER = np.float32(0.25)
_CONTACT = np.float32(0.13)
_DARKEST = 0.55
_REST = _DARKEST / (1 + (REACH / 0.13) ** 2)


@dataclass(frozen=True)
class Lighting:
    """Lights, ambient light (3,), the room's corners, and the solids that cast shadows.

    `casting` holds the numbers of those solids among all the scene's.
    """

    lights: list[Light]
    ambient: np.ndarray
    low: np.ndarray
    high: np.ndarray
    solids: Solids
    casting: np.ndarray


def open_sky(
    lighting: Lighting,
    solids: Solids,
    numbers: Int[np.ndarray, " k"],
    points: Float[np.ndarray, "3 n"],
    normal: Float[np.ndarray, "3 n"],
    surface: Int[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Share of ambient light that reaches a point between walls and things close by."""
    share = np.ones(points.shape[1], np.float32)
    for axis in range(3):
        for plane, side in ((lighting.low, 1), (lighting.high, -1)):
            distance = (points[axis] - plane[axis]) / (side * _CORNER)
            facing = np.maximum(side * normal[axis], 0)
            share *= 1 - np.float32(0.4) * (1 - facing) / (1 + distance * distance)
    if len(numbers):
        gap = squared_gap(solids, points)
        gap *= 1 / _CONTACT**2
        gap += 1
        # Falls to 0 at REACH: solids further away may be left out.
        dark = np.maximum(np.float32(_DARKEST) / gap - np.float32(_REST), 0)
        dark[numbers[:, None] == surface] = 0
        share *= (1 - dark).prod(0)
    return share


def near(
    solids: Solids,
    first: Float[np.ndarray, "3"],
    second: Float[np.ndarray, "3"],
    radius: float,
) -> Int[np.ndarray, " j"]:
    """Numbers of the solids within `radius` of the segment between two places."""
    along = (second - first)[:, None]
    offset = solids.centre - first[:, None]
    share = np.clip((offset * along).sum(0) / ((along * along).sum() + 1e-6), 0, 1)
    gap = offset - share * along
    reach = radius + np.sqrt((solids.half * solids.half).sum(0))
    return np.flatnonzero((gap * gap).sum(0) < reach * reach)


def lit_share(
    lighting: Lighting,
    light: Light,
    points: Float[np.ndarray, "3 n"],
    towards: Float[np.ndarray, "3 n"],
    surface: Int[np.ndarray, " n"],
    middle: Float[np.ndarray, "3"],
    radius: float,
) -> Float[np.ndarray, " n"]:
    """Share of a light that is not in shadow."""
    place = np.array(light.place, np.float32)
    keep = near(lighting.solids, middle, place, radius + light.softness)
    if len(keep) == 0:
        return np.ones(points.shape[1], np.float32)
    inside = blocked_length(
        lighting.solids.select(keep), points, towards, light.softness
    )
    inside[lighting.casting[keep][:, None] == surface] = 0
    shade = np.minimum(inside.max(0) / np.float32(2.5 * light.softness), 1)
    return 1 - shade * shade * (3 - 2 * shade)


def blocked_length(
    solids: Solids,
    points: Float[np.ndarray, "3 n"],
    towards: Float[np.ndarray, "3 n"],
    margin: float,
) -> Float[np.ndarray, "k n"]:
    """Length in metres of the segments `points + s * towards`, s in [0, 1], inside each solid.

    Frustums count as ellipsoids. Solids are grown by `margin`: the length rises gradually from
    the edge inwards, which makes soft shadows from one ray.
    """
    boxes = solids.counts[0]
    half = (solids.half + np.float32(margin))[..., None]
    ox, oy, oz = to_solids(solids, points)
    dx, dy, dz = rotate(solids.cos[:, None], solids.sin[:, None], towards)
    inside = np.empty(ox.shape, np.float32)
    for part, cast in (
        (slice(0, boxes), cast_boxes),
        (slice(boxes, None), cast_spheres),
    ):
        if len(ox[part]):
            start, direction = (ox[part], oy[part], oz[part]), (dx[part], dy, dz[part])
            entry, leave = cast(start, direction, half[:, part])
            inside[part] = np.minimum(leave, 1) - np.maximum(entry, 0)
    length = np.sqrt((towards * towards).sum(0))
    return np.maximum(inside, 0, out=inside) * length


def squared_gap(
    solids: Solids, points: Float[np.ndarray, "3 n"]
) -> Float[np.ndarray, "k n"]:
    """Squared distance in metres of each point from each solid, 0 inside; rough for round ones."""
    boxes = solids.counts[0]
    local = to_solids(solids, points)
    half = solids.half[..., None]
    squared = np.empty(local[0].shape, np.float32)
    x, y, z = (
        np.maximum(np.abs(p[:boxes]) - h[:boxes], 0)
        for p, h in zip(local, half, strict=True)
    )
    squared[:boxes] = x * x + y * y + z * z
    if boxes < len(squared):
        x, y, z = (p[boxes:] for p in local)
        hx, hy, hz = half[:, boxes:]
        size = np.sqrt(x * x + y * y + z * z)
        scaled = np.sqrt((x / hx) ** 2 + (y / hy) ** 2 + (z / hz) ** 2)
        gap = np.maximum(size - size / np.maximum(scaled, np.float32(1e-3)), 0)
        squared[boxes:] = gap * gap
    return squared
