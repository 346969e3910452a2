"""Textures of a room: floors, walls, and what hangs on them."""

import numpy as np
from jaxtyping import Float

from uvim_fsq.data.scenes.textures.look import Look
from uvim_fsq.data.scenes.textures.noise import cloud, colour, line, mix, white, whole
from uvim_fsq.data.scenes.textures.patterns import wood

_WHITE = colour(0.92, 0.91, 0.89)


def planks(look: Look) -> Float[np.ndarray, "3 n"]:
    """Boards, each with its own tint and grain. params: width, direction, offsets."""
    width, turned = look.params[0], look.params[1] > 0.5
    across = np.where(turned, look.v, look.u) + look.params[2]
    along = np.where(turned, look.u, look.v)
    board = whole(across / width)
    length = 1.3
    along = along + look.params[3] + length * white(board, board + 5)
    piece = whole(along / length)
    tint = white(board, piece)
    gap = np.maximum(
        line((across / width + 0.5) % 1 * width - width / 2, 0.003, look.blur),
        line((along / length + 0.5) % 1 * length - length / 2, 0.003, look.blur),
    )
    shift = tint * 40
    grain = cloud(along * 25 + shift * 6, across * 330 + shift * 11, look.blur * 180)
    paint = look.first * (0.78 + 0.42 * tint + 0.09 * grain)
    return mix(paint, look.second * 0.4, 0.8 * gap)


def tiles(look: Look) -> Float[np.ndarray, "3 n"]:
    """Square tiles with joints; a chessboard where params[1] is 1. params: side, which."""
    side = look.params[0]
    u, v = (look.u + look.params[2]) / side, (look.v + look.params[3]) / side
    column, row = whole(u), whole(v)
    edge = np.minimum(np.abs((u + 0.5) % 1 - 0.5), np.abs((v + 0.5) % 1 - 0.5)) * side
    odd = ((column + row) & 1) * (look.params[1] > 0.5)
    paint = mix(look.first, look.second, odd.astype(np.float32))
    vein = cloud(look.u * 70, look.v * 70 + white(column, row) * 256, look.blur * 70)
    paint = paint * (0.95 + 0.1 * white(column, row) + 0.03 * vein)
    return mix(paint, look.first * 0.45, 0.7 * line(edge, 0.005, look.blur))


def carpet(look: Look) -> Float[np.ndarray, "3 n"]:
    """Short pile."""
    pile = cloud(look.u * 600, look.v * 600, look.blur * 600)
    broad = cloud(look.u * 40, look.v * 40, look.blur * 40)
    return look.first * (1 + 0.09 * pile + 0.04 * broad)


def wall(look: Look) -> Float[np.ndarray, "3 n"]:
    """Paint or striped paper over a white skirting board. params: period, -, board, offset."""
    period, _, board, offset = look.params
    paint = look.first * (1 + 0.012 * cloud(look.u * 60, look.v * 60, look.blur * 60))
    safe = np.maximum(period, np.float32(0.05))
    place = ((look.u + offset) / safe) % 1
    stripe = line((place - 0.5) * safe, 0.25 * safe, look.blur) * (period > 0)
    paint = paint * (1 - 0.16 * stripe)
    low = np.clip((board - look.v) / look.blur + 0.5, 0, 1)
    edge = line(look.v - board, 0.006, look.blur)
    return mix(paint, _WHITE, low) * (1 - 0.35 * edge)


def _landscape(look: Look, horizon, seed) -> Float[np.ndarray, "3 n"]:
    """Sky with clouds over two ridges; `u` in heights of the picture, -1 to 1 upwards."""
    up = look.v / look.half_v
    side = look.u / look.half_v
    sky = mix(colour(0.80, 0.88, 0.95), colour(0.42, 0.63, 0.88), np.clip(up, 0, 1))
    puff = cloud(side * 30 + seed * 9, up * 70, look.blur / look.half_v * 50)
    sky = mix(sky, colour(0.97, 0.97, 0.98), np.clip(0.5 * puff, 0, 0.8))
    for step, tone in ((0.0, (0.45, 0.55, 0.58)), (-0.3, (0.32, 0.47, 0.24))):
        ridge = horizon + step + 0.14 * np.sin(side * 2.1 + seed + 9 * step)
        ridge = ridge + 0.07 * np.sin(side * 5.3 + 2 * seed)
        depth = np.clip((ridge - up) / (look.blur / look.half_v) + 0.5, 0, 1)
        rough = 1 + 0.12 * cloud(side * 60, up * 90, look.blur / look.half_v * 75)
        sky = mix(sky, colour(*tone) * rough, depth)
    return sky


def picture(look: Look) -> Float[np.ndarray, "3 n"]:
    """A landscape in a white mount in a frame. params: seed, horizon, evening (0 to 1)."""
    seed, horizon, evening, _ = look.params
    scene = _landscape(look, horizon, seed)
    warm = colour(1.05, 0.8, 0.6)
    scene = np.where(evening > 0.6, scene * warm, scene) * 0.85
    edge = np.minimum(look.half_u - np.abs(look.u), look.half_v - np.abs(look.v))
    mount = np.clip((0.085 - edge) / look.blur + 0.5, 0, 1)
    frame = np.clip((0.032 - edge) / look.blur + 0.5, 0, 1)
    frame = np.where(look.axis == 2, frame, 1)
    groove = 1 - 0.4 * line(edge - 0.032, 0.004, look.blur)
    return mix(mix(scene, _WHITE, mount), wood(look), frame) * groove


def window(look: Look) -> Float[np.ndarray, "3 n"]:
    """Panes before a bright view, in a white frame. params: panes, seed, horizon."""
    panes, seed, horizon, _ = look.params
    view = _landscape(look, horizon, seed) * 1.15
    edge = np.minimum(look.half_u - np.abs(look.u), look.half_v - np.abs(look.v))
    width = 2 * look.half_u / panes
    bar = np.abs(((look.u + look.half_u) / width + 0.5) % 1 - 0.5) * width
    frame = np.maximum(line(bar, 0.022, look.blur), line(edge, 0.055, look.blur))
    frame = np.maximum(frame, line(look.v - 0.3 * look.half_v, 0.016, look.blur))
    frame = np.where(look.front, frame, 1)
    shadow = 1 - 0.3 * np.maximum(
        line(edge - 0.055, 0.006, look.blur), line(bar - 0.022, 0.005, look.blur)
    )
    # The glow of the material lights frame and view alike: the frame takes little of it.
    return mix(view, look.first * 0.42, frame) * shadow


def door(look: Look) -> Float[np.ndarray, "3 n"]:
    """A leaf with two columns of three sunk panels."""
    half_u, half_v = look.half_u, look.half_v
    across = half_u / 2 - np.abs(np.abs(look.u) - half_u / 2) - 0.06
    share = (look.v + half_v) / (2 * half_v)
    row = 0.2 + np.float32(0.4) * (share > 0.4) + np.float32(0.3) * (share > 0.8)
    reach = 0.2 - np.float32(0.1) * (share > 0.8)
    up = (reach - np.abs(share - row)) * 2 * half_v - 0.05
    inset = np.minimum(across, up)
    # Grain shows on brown leaves; white ones are painted.
    paint = np.where(look.first[:1] > 0.5, look.first, wood(look))
    paint = paint * (1 - np.float32(0.08) * (inset > 0))
    shade = line(inset, 0.009, look.blur)
    return paint * (1 - 0.4 * shade)
