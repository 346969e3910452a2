"""A scene as arrays, and the camera: directions of rays, and where solids appear."""

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from jaxtyping import Float

from uvim_fsq.data.scenes.render.geometry import Solids, rotate
from uvim_fsq.data.scenes.render.shadows import Lighting
from uvim_fsq.data.scenes.room.parts import Camera, Scene
from uvim_fsq.data.scenes.textures.look import Materials
from uvim_fsq.data.scenes.textures.table import materials_of

FLOOR, CEILING, WALL, FAR_WALL = 0, 1, 2, 3
"""Numbers of the room's materials after those of the solids."""


@dataclass(frozen=True)
class World:
    """A scene as arrays: solids, materials (solids first, then the room's four), lighting."""

    eye: np.ndarray
    low: np.ndarray
    high: np.ndarray
    solids: Solids
    materials: Materials
    instance: np.ndarray
    lighting: Lighting


def build_world(scene: Scene) -> World:
    """Turns a scene's description into arrays."""
    parts = sorted(scene.parts, key=lambda numbered: numbered[1].kind)
    rows = (
        np.array(
            [
                (
                    *p.centre,
                    *p.half,
                    cos(p.turn),
                    sin(p.turn),
                    p.taper,
                    p.kind,
                    p.casts,
                    j,
                )
                for j, p in parts
            ],
            np.float32,
        )
        .reshape(-1, 12)
        .T
    )
    counts = np.bincount(rows[9].astype(np.intp), minlength=3)
    solids = Solids(
        rows[0:3],
        rows[3:6],
        rows[6],
        rows[7],
        rows[8],
        (int(counts[0]), int(counts[1]), int(counts[2])),
    )
    room = [scene.floor, scene.ceiling, scene.wall, scene.far_wall]
    materials = materials_of([p.material for _, p in parts] + room)
    casting = np.flatnonzero(rows[10])
    low = np.array([-scene.width / 2, 0, 0], np.float32)
    high = np.array([scene.width / 2, scene.height, scene.length], np.float32)
    lighting = Lighting(
        scene.lights,
        np.array(scene.ambient, np.float32),
        low,
        high,
        solids.select(casting),
        casting,
    )
    room_instances = np.array([1, 2, 0, 0], np.float32)
    instance = np.concatenate([rows[11], room_instances]).astype(np.intp)
    eye = np.array(scene.camera.place, np.float32)
    return World(eye, low, high, solids, materials, instance, lighting)


def camera_rays(
    camera: Camera, u: Float[np.ndarray, "*n"], v: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "3 *n"]:
    """World directions of the rays with slopes `u` (right) and `v` (up), 1 along the axis."""
    x, y, z = np.float32(1) * u, v * cos(camera.pitch), v * sin(camera.pitch)
    y, z = y - sin(camera.pitch), z + cos(camera.pitch)
    turn_cos, turn_sin = cos(camera.turn), sin(camera.turn)
    rays = [turn_cos * x + turn_sin * z, y, turn_cos * z - turn_sin * x]
    return np.stack(rays).astype(np.float32)


def screen_bounds(camera: Camera, solids: Solids) -> Float[np.ndarray, "4 k"]:
    """Bounds (u low, u high, v low, v high) of each solid's picture, infinite if behind."""
    signs = np.array(
        [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32
    ).T[:, None]
    corners = rotate(
        solids.cos[:, None], -solids.sin[:, None], solids.half[..., None] * signs
    )
    place = np.array(camera.place, np.float32)
    offset = np.stack(np.broadcast_arrays(*corners))
    offset += (solids.centre - place[:, None])[..., None]
    turn_cos = np.array(cos(camera.turn), np.float32)
    turn_sin = np.array(sin(camera.turn), np.float32)
    x, y, z = rotate(turn_cos, turn_sin, offset)
    depth = z * cos(camera.pitch) - y * sin(camera.pitch)
    up = y * cos(camera.pitch) + z * sin(camera.pitch)
    safe = np.maximum(depth, np.float32(1e-3))
    u, v = x / safe, up / safe
    bounds = np.stack([u.min(1), u.max(1), v.min(1), v.max(1)])
    behind = (depth < 0.05).any(1)
    bounds[:, behind] = np.array([[-np.inf], [np.inf], [-np.inf], [np.inf]])
    return bounds
