"""Textures of things: wood, cloth, doors, books, cardboard, leaves, balls, rugs."""

import numpy as np
from jaxtyping import Float

from uvim_fsq.data.scenes.textures.look import Look
from uvim_fsq.data.scenes.textures.noise import cloud, colour, line, mix, white, whole

_THIN, _LONG = np.float32(0.009), np.float32(0.075)
_DARK = colour(0.22, 0.2, 0.19)


def plain(look: Look) -> Float[np.ndarray, "3 n"]:
    """Paint, hardly uneven."""
    return look.first * (1 + 0.015 * cloud(look.u * 90, look.v * 90, look.blur * 90))


def wood(look: Look) -> Float[np.ndarray, "3 n"]:
    """Grain along the longer side of each face."""
    along = np.where(look.half_u > look.half_v, look.u, look.v) + look.params[0]
    across = np.where(look.half_u > look.half_v, look.v, look.u) + look.params[1]
    grain = cloud(along * 30, across * 420, look.blur * 220)
    broad = cloud(along * 10, across * 90, look.blur * 60)
    return look.first * (1 + 0.10 * grain + 0.10 * broad)


def cloth(look: Look) -> Float[np.ndarray, "3 n"]:
    """A weave with uneven patches."""
    u, v = look.u + look.params[0], look.v + look.params[1]
    weave = cloud(u * 700, v * 700, look.blur * 700)
    return look.first * (
        1 + 0.07 * weave + 0.05 * cloud(u * 60, v * 60, look.blur * 60)
    )


def curtain(look: Look) -> Float[np.ndarray, "3 n"]:
    """Cloth in vertical folds."""
    fade = np.clip(1.5 - look.blur / 0.04, 0, 1)
    return cloth(look) * (
        0.9 + 0.2 * fade * np.sin(look.u * np.float32(2 * np.pi / 0.07))
    )


def doors(look: Look) -> Float[np.ndarray, "3 n"]:
    """A front divided into doors or drawers with gaps and handles. params: columns, rows."""
    columns, rows = look.params[:2]
    width, height = 2 * look.half_u / columns, 2 * look.half_v / rows
    u, v = (look.u + look.half_u) / width, (look.v + look.half_v) / height
    column = np.floor(u)
    from_left, from_low = (u - column) * width, (v - np.floor(v)) * height
    edge_u = np.minimum(from_left, width - from_left)
    edge_v = np.minimum(from_low, height - from_low)
    gap = np.maximum(line(edge_u, 0.004, look.blur), line(edge_v, 0.004, look.blur))
    inset = np.minimum(edge_u, edge_v) - 0.055
    gap = np.maximum(gap, 0.35 * line(inset, 0.004, look.blur))
    single = rows < 1.5
    # Doors open away from each other: even ones have the handle right, odd ones left.
    side = np.where(column % 2 < 0.5, width - from_left, from_left)
    across = np.where(single, side - 0.035, from_left - width / 2)
    up = from_low - height / 2
    half_u, half_v = np.where(single, _THIN, _LONG), np.where(single, _LONG, _THIN)
    handle = line(across, half_u, look.blur) * line(up, half_v, look.blur)
    paint = mix(plain(look), _DARK, 0.75 * gap * look.front)
    return mix(paint, colour(0.45, 0.44, 0.42), handle * look.front)


def books(look: Look) -> Float[np.ndarray, "3 n"]:
    """Shelves of books in the front of a wooden case. params: rows of books, seed."""
    rows, seed = look.params[0], whole(look.params[1])
    height = 2 * look.half_v / rows
    v = (look.v + look.half_v) / height
    row = whole(v)
    up = (v - np.floor(v)) * height
    # Books of three widths: the place within a block of 0.15 m decides which one it is.
    place = (look.u + look.half_u) / 0.15
    block = whole(place)
    count = 3 + np.floor(3 * white(block, row, seed))
    place = (place - np.floor(place)) * count
    number = whole(place)
    left = place - np.floor(place)
    chosen = [white(block, row, number, seed + k) for k in range(4)]
    tall = (0.66 + 0.24 * chosen[0]) * height
    spine = np.minimum(left, 1 - left) * 0.15 / count
    hue = chosen[1] * 6.0
    tint = np.stack([np.abs(hue - 3) - 1, 2 - np.abs(hue - 2), 2 - np.abs(hue - 4)])
    paper = (0.35 + 0.65 * np.clip(tint, 0, 1)) * (0.12 + 0.36 * chosen[2])
    paper = mix(paper, colour(0.75, 0.7, 0.6), (chosen[3] > 0.72).astype(np.float32))
    paper = paper * (1 - 0.6 * line(spine, 0.003, look.blur))
    band = line(up - 0.75 * tall, 0.008, look.blur) + line(
        up - 0.2 * tall, 0.006, look.blur
    )
    paper = mix(paper, colour(0.8, 0.7, 0.4), 0.6 * np.minimum(band, 1))
    book = np.clip((tall - up) / look.blur + 0.5, 0, 1) * (chosen[0] > 0.1)
    inside = mix(look.first * 0.12, paper, book)
    board = np.maximum(
        line(np.minimum(up, height - up), 0.012, look.blur),
        line(look.half_u - np.abs(look.u), 0.025, look.blur),
    )
    board = np.maximum(board, line(look.half_v - np.abs(look.v), 0.03, look.blur))
    return mix(inside, wood(look), np.where(look.front, board, 1))


def cardboard(look: Look) -> Float[np.ndarray, "3 n"]:
    """Brown card with a strip of tape over the top and down the sides it meets."""
    u, v = look.u + look.params[0], look.v + look.params[1]
    card = look.first * (1 + 0.05 * cloud(u * 25, v * 160, look.blur * 90))
    top = look.axis == 1
    side = (look.axis == 0) & (look.half_v - look.v < 0.09)
    tape = line(np.where(top, look.v, look.u), 0.028, look.blur) * (top | side)
    card = mix(card, look.second, 0.85 * tape)
    edge = np.minimum(look.half_u - np.abs(look.u), look.half_v - np.abs(look.v))
    return card * (1 - 0.25 * line(edge, 0.006, look.blur))


def leaves(look: Look) -> Float[np.ndarray, "3 n"]:
    """Foliage: light leaves before dark gaps."""
    u, v = look.u + look.params[0] + look.local[2], look.v + 0.5 * look.local[2]
    leaf = cloud(u * 260, v * 260, look.blur * 260)
    light = np.clip(0.35 + 0.35 * leaf, 0, 1)
    return mix(look.first * 0.45, look.second, light)


def basketball(look: Look) -> Float[np.ndarray, "3 n"]:
    """An orange ball with dark seams."""
    radius = look.half[0]
    x, y, z = look.local / radius
    blur, seam = look.blur / radius, 0.045
    curve = np.abs(z * 0.6 + y * 0.8) - 0.42 - 0.25 * x * x
    marks = np.maximum(line(x, seam, blur), line(y * 0.6 - z * 0.8, seam, blur))
    return mix(look.first, look.second, np.maximum(marks, line(curve, seam, blur)))


def beachball(look: Look) -> Float[np.ndarray, "3 n"]:
    """Six stripes in two colours that meet at the poles."""
    x, y, z = look.local / look.half[0]
    x, y = 0.8 * x + 0.6 * y, 0.8 * y - 0.6 * x
    stripe = np.floor(np.arctan2(z, x) * np.float32(3 / np.pi) + 6) % 2
    stripe[np.abs(y) > 0.93] = 1
    return mix(look.first, look.second, stripe)


def rug(look: Look) -> Float[np.ndarray, "3 n"]:
    """A border and stripes, lozenges or frames. params: which of them, their period."""
    kind, period = look.params[:2]
    inside = np.minimum(look.half_u - np.abs(look.u), look.half_v - np.abs(look.v))
    stripes = np.abs((look.u / period) % 1 - 0.5) * period
    lozenge = np.abs(
        np.abs((look.u / period) % 1 - 0.5) + np.abs((look.v / period) % 1 - 0.5) - 0.5
    )
    frames = np.abs((inside / period) % 1 - 0.5) * period
    distance = np.where(
        kind < 0.5, stripes, np.where(kind < 1.5, lozenge * period, frames)
    )
    inner = inside > 0.13
    pattern = line(distance, 0.18 * period, look.blur) * inner
    pattern = np.maximum(pattern, line(inside - 0.09, 0.02, look.blur))
    pile = 1 + 0.12 * cloud(look.u * 500, look.v * 500, look.blur * 500)
    return mix(look.first, look.second, 0.8 * pattern) * pile
