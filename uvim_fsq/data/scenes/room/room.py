"""The room itself: what floor, walls and ceiling are made of, and its light."""

from uvim_fsq.data.scenes.room import objects as objects
from uvim_fsq.data.scenes.room.draws import Draws
from uvim_fsq.data.scenes.room.parts import Light, Material, Thing, Vector
from uvim_fsq.data.scenes.room.plan import Plan

_WALLS = (
    (0.90, 0.88, 0.83),
    (0.88, 0.84, 0.74),
    (0.74, 0.80, 0.84),
    (0.76, 0.81, 0.72),
    (0.88, 0.78, 0.74),
    (0.84, 0.84, 0.85),
)
_ACCENTS = (
    (0.36, 0.48, 0.58),
    (0.45, 0.55, 0.45),
    (0.72, 0.45, 0.36),
    (0.60, 0.56, 0.50),
)
_FLOORS = (
    ("planks", (0.66, 0.47, 0.30), (0.30, 0.20, 0.13), 0.14, 0.25),
    ("planks", (0.50, 0.34, 0.22), (0.20, 0.13, 0.09), 0.11, 0.25),
    ("planks", (0.76, 0.62, 0.45), (0.40, 0.30, 0.20), 0.18, 0.2),
    ("tiles", (0.78, 0.76, 0.72), (0.60, 0.57, 0.53), 0.4, 0.35),
    ("tiles", (0.86, 0.85, 0.83), (0.42, 0.44, 0.46), 0.33, 0.35),
    ("carpet", (0.62, 0.58, 0.52), (0.5, 0.46, 0.4), 0.0, 0.0),
)


def room_materials(draws: Draws) -> tuple[Material, Material, Material, Material]:
    """Materials of floor, ceiling, walls and the far wall, which at times has its own colour."""
    wall = Material(
        "wall", draws.near(draws.choice(_WALLS), 0.05), params=_paper(draws)
    )
    far = wall
    if draws.chance(0.3):
        accent = draws.near(draws.choice(_ACCENTS), 0.1)
        far = Material("wall", accent, params=_paper(draws))
    name, colour, second, size, gloss = draws.choice(_FLOORS)
    params = (size, draws.integer(0, 1), draws.unit() * 8, draws.unit() * 8)
    floor = Material(name, draws.near(colour, 0.12), second, params, gloss)
    ceiling = Material("plain", draws.near((0.93, 0.92, 0.9), 0.02))
    return floor, ceiling, wall, far


def _paper(draws: Draws) -> tuple[float, float, float, float]:
    """Numbers of a wall: stripes' period (0 for none), panel height, skirting, offset."""
    stripes = draws.uniform(0.12, 0.3) if draws.chance(0.25) else 0.0
    return stripes, 0.0, 0.09, draws.unit() * 8


def light_room(
    plan: Plan, window: Vector | None, lamp: tuple[float, float] | None
) -> list[Light]:
    """The light at the ceiling, and a weaker one from the window or the lamp."""
    draws = plan.draws
    tone = draws.choice(((1.0, 0.93, 0.82), (1.0, 0.97, 0.93), (0.96, 0.98, 1.0)))
    strength = draws.uniform(2.6, 3.8)
    x = draws.uniform(-0.2, 0.2) * plan.width
    z = draws.uniform(0.35, 0.65) * plan.length
    colour = tuple(strength * c for c in tone)
    if draws.chance(0.4):
        plan.add(objects.pendant(draws, plan.height), x, z, 0.0)
    else:
        glass = Material("plain", (1.0, 0.98, 0.93), glow=2.5)
        fixture = Thing("ceiling")
        middle = (0, plan.height - 0.04, 0)
        fixture.frustum(middle, 0.16, 0.04, glass, 0.2, casts=False)
        plan.parts += [(2, part) for part in fixture.placed(x, z, 0.0)]
    lights = [Light((x, plan.height - 0.4, z), colour, 0.05, True)]
    if window is not None:
        lights.append(Light(window, (1.1, 1.25, 1.45), 0.1, False))
    elif lamp is not None:
        height = draws.uniform(1.25, 1.5)
        lights.append(Light((lamp[0], height, lamp[1]), (0.8, 0.6, 0.35), 0.05, False))
    return lights
