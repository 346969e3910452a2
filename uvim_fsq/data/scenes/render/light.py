"""Light on surfaces: diffuse reflection, highlights, glow, and how a camera shows it."""

import numpy as np
from jaxtyping import Float, Int

from uvim_fsq.data.scenes.render.shadows import (
    REACH,
    Lighting,
    lit_share,
    near,
    open_sky,
)
from uvim_fsq.data.scenes.textures.look import Materials


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
    close = near(lighting.solids, middle, middle, radius + REACH)
    solids = lighting.solids.select(close)
    numbers = lighting.casting[close]
    share = open_sky(lighting, solids, numbers, points, normal, surface)
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
            strength *= lit_share(
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
