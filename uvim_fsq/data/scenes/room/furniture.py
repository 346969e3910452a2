"""Furniture with the shapes, sizes and colours typical of its class; lengths in metres."""

from uvim_fsq.data.scenes.room.draws import Draws
from uvim_fsq.data.scenes.room.parts import Colour, Material, Thing

OAK, WALNUT, BEECH = (0.72, 0.52, 0.33), (0.45, 0.30, 0.20), (0.80, 0.64, 0.45)
WHITE, BLACK, STEEL = (0.90, 0.89, 0.87), (0.12, 0.12, 0.13), (0.62, 0.63, 0.65)
TEAL, MUSTARD = (0.16, 0.48, 0.50), (0.82, 0.62, 0.20)
_BLUE, _GREY = (0.30, 0.38, 0.55), (0.48, 0.48, 0.49)
_SOFAS = (_BLUE, _BLUE, _BLUE, _GREY, _GREY, (0.36, 0.44, 0.34), (0.72, 0.65, 0.55))
_BLANKETS = (
    (0.45, 0.58, 0.78),
    (0.45, 0.58, 0.78),
    (0.72, 0.78, 0.88),
    (0.80, 0.68, 0.45),
)


def wood(draws: Draws, colour: Colour) -> Material:
    """Wood with grain in a colour near `colour`."""
    params = (draws.unit() * 8, draws.unit() * 8, 0.0, 0.0)
    return Material("wood", draws.near(colour, 0.08), params=params, gloss=0.12)


def cloth(draws: Draws, colour: Colour) -> Material:
    """Woven cloth in a colour near `colour`."""
    params = (draws.unit() * 8, draws.unit() * 8, 0.0, 0.0)
    return Material("cloth", draws.near(colour, 0.1), params=params)


def plain(draws: Draws, colour: Colour, gloss: float = 0.0) -> Material:
    """A painted surface in a colour near `colour`."""
    return Material("plain", draws.near(colour, 0.05), gloss=gloss)


def _legs(thing: Thing, x: float, z: float, height: float, half: float, material):
    for sx in (-1, 1):
        for sz in (-1, 1):
            thing.box(
                (sx * (x - half), height / 2, sz * (z - half)),
                (half, height / 2, half),
                material,
                casts=False,
            )


def table(draws: Draws, low: bool = False) -> Thing:
    """A wooden table: rectangular on four legs, or round on one."""
    thing = Thing("table")
    top = wood(draws, draws.choice((OAK, WALNUT, OAK)))
    height = draws.uniform(0.38, 0.46) if low else draws.uniform(0.71, 0.76)
    thing.height = height
    if draws.chance(0.3):
        radius = draws.uniform(0.35, 0.45) if low else draws.uniform(0.45, 0.6)
        leg = plain(draws, BLACK, 0.3)
        thing.frustum((0, height - 0.02, 0), radius, 0.02, top)
        thing.frustum((0, height / 2, 0), 0.04, height / 2 - 0.02, leg, casts=False)
        thing.frustum((0, 0.015, 0), radius * 0.55, 0.015, leg, casts=False)
        thing.half_width = thing.half_length = radius
        return thing
    x = draws.uniform(0.45, 0.6) if low else draws.uniform(0.55, 0.85)
    z = draws.uniform(0.28, 0.36) if low else draws.uniform(0.36, 0.46)
    thing.box((0, height - 0.02, 0), (x, 0.02, z), top)
    thing.box((0, height - 0.07, 0), (x - 0.06, 0.03, z - 0.06), top, casts=False)
    _legs(thing, x - 0.03, z - 0.03, height - 0.04, 0.03, top)
    thing.half_width, thing.half_length = x, z
    return thing


def chair(draws: Draws) -> Thing:
    """A chair on wooden legs, its cushions mostly teal; its back is at +z."""
    thing = Thing("chair", half_width=0.23, half_length=0.24)
    frame = wood(draws, draws.choice((BEECH, WALNUT)))
    seat = cloth(draws, draws.choice((TEAL, TEAL, TEAL, MUSTARD, frame.colour)))
    height = draws.uniform(0.44, 0.47)
    back = draws.uniform(0.84, 0.95)
    thing.height = back
    thing.box((0, height - 0.03, 0), (0.22, 0.035, 0.22), seat)
    _legs(thing, 0.22, 0.22, height - 0.06, 0.02, frame)
    for side in (-1, 1):
        thing.box(
            (side * 0.2, (height + back) / 2, 0.205),
            (0.018, (back - height) / 2, 0.018),
            frame,
            casts=False,
        )
    thing.box((0, back - 0.15, 0.2), (0.21, 0.13, 0.025), seat)
    return thing


def sofa(draws: Draws) -> Thing:
    """A sofa, mostly blue, at times grey, green or beige, with cushions and bright pillows."""
    width = draws.uniform(0.75, 1.1)
    thing = Thing("sofa", half_width=width, half_length=0.44, height=0.8)
    colour = draws.choice(_SOFAS)
    body, cushion = cloth(draws, colour), cloth(draws, colour)
    leg = plain(draws, BLACK)
    back = draws.uniform(0.74, 0.84)
    arm = 0.09
    thing.box((0, 0.05, 0), (width - 0.04, 0.05, 0.36), leg, casts=False)
    thing.box((0, 0.2, 0), (width, 0.1, 0.43), body)
    thing.box((0, (back + 0.2) / 2, 0.34), (width, (back - 0.2) / 2, 0.1), body)
    for side in (-1, 1):
        centre = (side * (width - arm), 0.41, -0.03)
        thing.box(centre, (arm, 0.2, 0.4), body)
    count = 2 if width < 0.95 else 3
    step = 2 * (width - 2 * arm) / count
    for j in range(count):
        x = -width + 2 * arm + step * (j + 0.5)
        thing.box((x, 0.37, -0.1), (step / 2 - 0.01, 0.07, 0.34), cushion)
        thing.box((x, 0.6, 0.2), (step / 2 - 0.012, 0.17, 0.06), cushion, casts=False)
    bright = draws.choice(((0.85, 0.55, 0.20), (0.75, 0.25, 0.25), (0.90, 0.85, 0.75)))
    for side in (-1, 1):
        if draws.chance(0.6):
            place = (side * (width - 0.36), 0.58, 0.08)
            half = (0.19, 0.17, 0.09)
            thing.ellipsoid(place, half, cloth(draws, bright), casts=False)
    return thing


def bed(draws: Draws) -> Thing:
    """A bed, its head at +z: wooden frame, white sheet, coloured blanket, pillows."""
    width = draws.choice((0.5, 0.7, 0.85))
    thing = Thing("bed", half_width=width, half_length=1.03, height=0.95)
    frame = wood(draws, draws.choice((OAK, WALNUT, BEECH)))
    sheet = cloth(draws, (0.90, 0.90, 0.90))
    blanket = cloth(draws, draws.choice(_BLANKETS))
    head = draws.uniform(0.8, 1.05)
    thing.box((0, 0.2, 0), (width, 0.1, 1.0), frame)
    thing.box((0, 0.05, 0), (width - 0.06, 0.05, 0.9), plain(draws, BLACK), casts=False)
    thing.box((0, head / 2, 1.0), (width, head / 2, 0.03), frame)
    thing.box((0, 0.4, 0), (width - 0.03, 0.1, 0.97), sheet)
    thing.box((0, 0.44, -0.28), (width - 0.01, 0.1, 0.71), blanket)
    thing.box((0, 0.545, 0.38), (width - 0.02, 0.01, 0.1), sheet, casts=False)
    places = (0.0,) if width < 0.6 else (-width / 2, width / 2)
    for x in places:
        half = (0.3, 0.09, 0.19)
        thing.ellipsoid((x, 0.57, 0.72), half, cloth(draws, (0.93, 0.93, 0.92)))
    return thing


def cabinet(draws: Draws) -> Thing:
    """A cabinet with doors or drawers: white or light wood; high, or low as a sideboard."""
    high = draws.chance(0.5)
    x = draws.uniform(0.4, 0.7) if high else draws.uniform(0.5, 0.9)
    z = draws.uniform(0.2, 0.29)
    height = draws.uniform(1.5, 2.0) if high else draws.uniform(0.65, 0.9)
    thing = Thing("cabinet", half_width=x, half_length=z, height=height)
    colour = WHITE if draws.chance(0.6) else BEECH
    columns = 2 if x < 0.65 else 3
    rows = 1 if high else draws.integer(1, 3)
    body = Material("plain", draws.near(colour, 0.04), gloss=0.1)
    front = Material("doors", body.colour, (0.3, 0.3, 0.3), (columns, rows, 0, 0), 0.1)
    thing.box((0, 0.04, 0.02), (x - 0.02, 0.04, z - 0.03), plain(draws, BLACK), False)
    thing.box((0, height / 2 + 0.04, 0), (x, height / 2 - 0.04, z), front)
    thing.box((0, height + 0.01, 0), (x + 0.015, 0.015, z + 0.012), body, casts=False)
    return thing


def bookcase(draws: Draws) -> Thing:
    """A dark wooden bookcase full of books in many colours."""
    x, z = draws.uniform(0.4, 0.6), draws.uniform(0.15, 0.18)
    height = draws.uniform(1.3, 2.0)
    thing = Thing("bookcase", half_width=x, half_length=z, height=height)
    colour = draws.near(WALNUT, 0.15)
    rows = round(height / 0.36)
    params = (rows, draws.unit() * 64, draws.unit(), 0.0)
    thing.box(
        (0, height / 2, 0), (x, height / 2, z), Material("books", colour, params=params)
    )
    thing.box(
        (0, height + 0.01, 0),
        (x + 0.01, 0.015, z + 0.01),
        Material("wood", colour),
        False,
    )
    return thing
