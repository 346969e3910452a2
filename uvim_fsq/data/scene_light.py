"""Light: diffuse reflection, soft shadows, darkening in corners, highlights."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from uvim_fsq.data.scene_geometry import Solids, blocked_length, squared_gap
from uvim_fsq.data.scene_look import Materials
from uvim_fsq.data.scene_parts import Light

_CORNER = np.float32(0.25)
_CONTACT = np.float32(0.13)


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


def _open_sky(
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
        dark = np.float32(0.55) / gap
        dark[numbers[:, None] == surface] = 0
        share *= (1 - dark).prod(0)
    return share


def _near(
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


def _visible(
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
    keep = _near(lighting.solids, middle, place, radius + light.softness)
    if len(keep) == 0:
        return np.ones(points.shape[1], np.float32)
    inside = blocked_length(
        lighting.solids.select(keep), points, towards, light.softness
    )
    inside[lighting.casting[keep][:, None] == surface] = 0
    shade = np.minimum(inside.max(0) / np.float32(2.5 * light.softness), 1)
    return 1 - shade * shade * (3 - 2 * shade)


def shade(
    lighting: Lighting,
    materials: Materials,
    paint: Float[np.ndarray, "3 n"],
    points: Float[np.ndarray, "3 n"],
    normal: Float[np.ndarray, "3 n"],
    surface: Int[np.ndarray, " n"],
    rays: Float[np.ndarray, "3 n"],
) -> Float[np.ndarray, "3 n"]:
    """Displayed colours (0 to 1) of points with the linear colour `paint`."""
    low, high = points.min(1), points.max(1)
    middle = (low + high) / 2
    radius = float(np.sqrt(((high - low) ** 2).sum())) / 2
    near = _near(lighting.solids, middle, middle, radius + 0.5)
    solids = lighting.solids.select(near)
    numbers = lighting.casting[near]
    share = _open_sky(lighting, solids, numbers, points, normal, surface)
    received = lighting.ambient[:, None] * (share * (1 + np.float32(0.12) * normal[1]))
    gloss = materials.gloss[surface]
    to_eye = -rays / np.sqrt((rays * rays).sum(0))
    highlight = np.zeros_like(received)
    for light in lighting.lights:
        place, colour = np.array((light.place, light.colour), np.float32)
        towards = place[:, None] - points
        squared = (towards * towards).sum(0)
        unit = towards / np.sqrt(squared)
        strength = np.maximum((unit * normal).sum(0), 0) / (
            1 + np.float32(0.5) * squared
        )
        if light.shadows:
            strength *= _visible(
                lighting, light, points, towards, surface, middle, radius
            )
        strength *= np.float32(0.3) + np.float32(0.7) * share
        received += colour[:, None] * strength
        between = unit + to_eye
        shine = np.maximum((between * normal).sum(0), 0) ** 2
        shine = (shine / (between * between).sum(0)) ** 16
        highlight += colour[:, None] * (gloss * strength * shine)
    light = paint * (received + materials.glow[surface]) + highlight
    light = light * (1 + light * np.float32(0.16)) / (1 + light * np.float32(0.55))
    return np.sqrt(np.minimum(light, 1))
