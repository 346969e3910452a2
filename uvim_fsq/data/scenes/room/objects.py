"""Smaller objects and what hangs on walls; lengths in metres."""

from math import cos, pi, sin

from uvim_fsq.data.scenes.room.draws import Draws
from uvim_fsq.data.scenes.room.furniture import (
    BLACK,
    OAK,
    STEEL,
    WALNUT,
    WHITE,
    cloth,
    plain,
    wood,
)
from uvim_fsq.data.scenes.room.parts import Material, Thing

GREEN, TERRACOTTA, CARDBOARD = (
    (0.22, 0.44, 0.16),
    (0.70, 0.38, 0.25),
    (0.68, 0.50, 0.32),
)


def lamp(draws: Draws) -> Thing:
    """A standing lamp with a glowing warm shade."""
    height = draws.uniform(1.35, 1.65)
    radius = draws.uniform(0.17, 0.23)
    thing = Thing("lamp", half_width=radius, half_length=radius, height=height)
    metal = plain(draws, draws.choice((BLACK, STEEL)), 0.4)
    shade = Material("plain", draws.near((1.0, 0.86, 0.58), 0.05), glow=0.9)
    thing.frustum((0, 0.015, 0), 0.14, 0.015, metal)
    thing.frustum((0, height / 2, 0), 0.014, height / 2, metal, casts=False)
    thing.frustum((0, height - 0.13, 0), radius, 0.13, shade, radius * 0.65, False)
    return thing


def pendant(draws: Draws, ceiling: float) -> Thing:
    """A lamp that hangs from a ceiling of that height by its cord."""
    radius = draws.uniform(0.16, 0.24)
    drop = draws.uniform(0.45, 0.65)
    thing = Thing("lamp", half_width=radius, half_length=radius, height=ceiling)
    shade = Material("plain", draws.near((1.0, 0.88, 0.64), 0.05), glow=0.9)
    cord = plain(draws, BLACK)
    thing.frustum((0, ceiling - drop / 2, 0), 0.012, drop / 2, cord, casts=False)
    thing.frustum((0, ceiling - drop, 0), radius, 0.11, shade, radius * 0.45, False)
    return thing


def plant(draws: Draws) -> Thing:
    """A green plant in a pot: a bush of leaves, or a small fir-like cone."""
    radius = draws.uniform(0.13, 0.18)
    pot_height = draws.uniform(0.24, 0.34)
    thing = Thing("plant", half_width=0.28, half_length=0.28)
    pot = plain(draws, TERRACOTTA if draws.chance(0.7) else WHITE, 0.05)
    thing.frustum((0, pot_height / 2, 0), radius * 0.75, pot_height / 2, pot, radius)
    colour = draws.near(GREEN, 0.2)
    leaves = Material("leaves", colour, (0.5, 0.62, 0.25), (draws.unit() * 8, 0, 0, 0))
    if draws.chance(0.3):
        top = pot_height
        for j in range(3):
            size = 0.3 - 0.07 * j
            thing.frustum((0, top + 0.2, 0), size, 0.2, leaves, 0.03)
            top += 0.24
        thing.height = top + 0.16
        return thing
    bark = wood(draws, WALNUT)
    stem = pot_height + draws.uniform(0.15, 0.45)
    thing.frustum((0, stem / 2 + 0.1, 0), 0.02, stem / 2, bark, casts=False)
    start = draws.unit() * 2 * pi
    for j in range(5):
        angle, reach = start + j * 2 * pi / 5, draws.uniform(0.1, 0.16)
        centre = (
            reach * cos(angle),
            stem + draws.uniform(0.02, 0.25),
            reach * sin(angle),
        )
        size = draws.uniform(0.13, 0.19)
        thing.ellipsoid(centre, (size, size * 0.9, size), leaves, casts=j < 2)
    thing.ellipsoid((0, stem + 0.28, 0), (0.18, 0.17, 0.18), leaves)
    thing.height = stem + 0.45
    return thing


def box(draws: Draws, small: bool = False) -> Thing:
    """A cardboard box closed with tape."""
    low, high = (0.09, 0.16) if small else (0.16, 0.33)
    x, y, z = (draws.uniform(low, high) for _ in range(3))
    thing = Thing("box", half_width=x, half_length=z, height=2 * y * 0.9)
    params = (draws.unit() * 8, draws.unit() * 8, 0.0, 0.0)
    tape = (0.82, 0.72, 0.52)
    card = Material("cardboard", draws.near(CARDBOARD, 0.08), tape, params)
    thing.box((0, y * 0.9, 0), (x, y * 0.9, z), card)
    return thing


def ball(draws: Draws) -> Thing:
    """A ball: an orange basketball or a larger striped beach ball."""
    if draws.chance(0.6):
        radius = draws.uniform(0.11, 0.13)
        look = Material("basketball", (0.85, 0.40, 0.12), (0.1, 0.07, 0.06), gloss=0.1)
    else:
        radius = draws.uniform(0.16, 0.24)
        look = Material("beachball", (0.88, 0.20, 0.16), (0.93, 0.93, 0.9), gloss=0.35)
    thing = Thing("ball", half_width=radius, half_length=radius, height=2 * radius)
    thing.ellipsoid((0, radius, 0), (radius, radius, radius), look)
    return thing


def rug(draws: Draws, x: float, z: float) -> Thing:
    """A patterned rug of half extents x, z: mostly red, at times blue."""
    thing = Thing("rug", half_width=x, half_length=z, height=0.012)
    red = ((0.58, 0.16, 0.16), (0.86, 0.76, 0.60))
    colours = red if draws.chance(0.7) else ((0.20, 0.28, 0.46), (0.82, 0.80, 0.74))
    params = (draws.integer(0, 2), draws.uniform(0.2, 0.35), draws.unit() * 8, 0.0)
    look = Material("rug", draws.near(colours[0], 0.1), colours[1], params)
    thing.box((0, 0.006, 0), (x, 0.006, z), look, casts=False)
    return thing


def picture(draws: Draws) -> Thing:
    """A framed landscape."""
    x, y = draws.uniform(0.25, 0.55), draws.uniform(0.22, 0.4)
    thing = Thing("picture", half_width=x, half_length=0.02, height=2 * y)
    frame = draws.choice((BLACK, OAK, WALNUT, (0.75, 0.62, 0.3)))
    params = (draws.unit() * 64, draws.uniform(-0.25, 0.25), draws.unit(), 0.0)
    look = Material("picture", draws.near(frame, 0.05), params=params, gloss=0.05)
    thing.box((0, y, 0), (x, y, 0.02), look, casts=False)
    return thing


def window(draws: Draws) -> Thing:
    """A bright window with white frames and the sky behind it."""
    x, y = draws.uniform(0.45, 0.85), draws.uniform(0.5, 0.7)
    thing = Thing("window", half_width=x, half_length=0.03, height=2 * y)
    params = (2 if x < 0.65 else 3, draws.unit() * 64, draws.uniform(-0.6, -0.2), 0.0)
    look = Material("window", (0.92, 0.92, 0.91), params=params, glow=1.0)
    thing.box((0, y, 0), (x, y, 0.02), look, casts=False)
    sill = plain(draws, WHITE)
    thing.box((0, -0.015, -0.06), (x + 0.06, 0.018, 0.08), sill, casts=False)
    if draws.chance(0.5):
        colour = draws.choice(((0.80, 0.74, 0.62), (0.55, 0.62, 0.70)))
        curtain = cloth(draws, colour)._replace(texture="curtain")
        for side in (-1, 1):
            centre = (side * (x + 0.02), y - 0.06, -0.05)
            thing.box(centre, (0.14, y + 0.2, 0.03), curtain, casts=False)
    return thing


def door(draws: Draws) -> Thing:
    """A panelled door in its frame, brown or white."""
    x, height = draws.uniform(0.4, 0.47), draws.uniform(1.98, 2.08)
    thing = Thing("door", half_width=x + 0.07, half_length=0.03, height=height + 0.07)
    colour = draws.near((0.52, 0.36, 0.24) if draws.chance(0.65) else WHITE, 0.08)
    frame = Material("plain", draws.near(WHITE, 0.04))
    leaf = Material("door", colour, (0.75, 0.68, 0.45), gloss=0.1)
    thing.box(
        (0, height / 2 + 0.035, 0.01),
        (x + 0.07, height / 2 + 0.035, 0.02),
        frame,
        False,
    )
    thing.box((0, height / 2, -0.01), (x, height / 2, 0.015), leaf, False)
    knob = Material("plain", (0.78, 0.70, 0.45), gloss=0.5)
    thing.ellipsoid((x * 0.84, height / 2, -0.06), (0.03, 0.03, 0.035), knob, False)
    return thing
