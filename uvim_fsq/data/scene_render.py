"""Renders a scene: colour picture, depth and instances from one pass of rays, in NumPy.

Every pixel has one ray through its centre, which gives depth and instance, and shares one ray at
each of its corners with its neighbours; its colour is half the centre's and an eighth of each
corner's. Rays are cast in square tiles, which keeps arrays in the processor's cache and lets a
tile leave out the solids that it cannot show.
"""

from dataclasses import dataclass
from math import cos, sin, tan

import numpy as np
from jaxtyping import Float, Int, UInt8

from uvim_fsq.data.scene_geometry import (
    Solids,
    cast_room,
    cast_solids,
    rotate,
    surface_normals,
)
from uvim_fsq.data.scene_light import Lighting, shade
from uvim_fsq.data.scene_look import Materials, Surface
from uvim_fsq.data.scene_parts import Camera, Scene
from uvim_fsq.data.scene_textures import albedo, materials_of

_TILE = 48
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


def shoot(
    world: World,
    visible: Int[np.ndarray, " j"],
    rays: Float[np.ndarray, "3 n"],
    pixel: float,
) -> tuple[Float[np.ndarray, "3 n"], Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Colour (linear), depth and surface number along each ray; `pixel` is a pixel's slope."""
    solids = world.solids
    count = len(solids.cos)
    depth, axis = cast_room(world.low, world.high, world.eye, rays)
    nearest, number = cast_solids(solids.select(visible), world.eye, rays)
    hit = np.flatnonzero(nearest < depth)
    depth[hit] = nearest[hit]
    points = world.eye[:, None] + depth * rays
    middle = (points[1] > world.high[1] * 0.5).astype(np.intp)
    surface = np.where(axis == 1, FLOOR + middle, np.where(axis == 2, FAR_WALL, WALL))
    surface += count
    normal = np.zeros_like(points)
    columns = np.arange(len(axis))
    normal[axis, columns] = -np.sign(rays[axis, columns])
    local = points.copy()
    half = np.ones_like(points)
    if len(hit):
        ids = visible[number[hit]]
        surface[hit] = ids
        turn_cos, turn_sin = solids.cos[ids], solids.sin[ids]
        inner = np.stack(
            rotate(turn_cos, turn_sin, points[:, hit] - solids.centre[:, ids])
        )
        inner_normal, axis[hit] = surface_normals(solids, ids, inner)
        normal[:, hit] = rotate(turn_cos, -turn_sin, inner_normal)
        local[:, hit] = inner
        half[:, hit] = solids.half[:, ids]
    footprint = depth * np.float32(pixel)
    paint = albedo(world.materials, Surface(surface, local, half, axis, footprint))
    colour = shade(
        world.lighting, world.materials, paint, points, normal, surface, rays
    )
    return colour, depth, surface


def render(
    scene: Scene, size: tuple[int, int], noise: np.random.Generator
) -> tuple[
    UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"], Int[np.ndarray, "h w"]
]:
    """Picture, z-depth in metres and instance number of each pixel of a scene."""
    height, width = size
    world = build_world(scene)
    camera = scene.camera
    pixel = 2 * tan(camera.view / 2) / min(size)
    bounds = screen_bounds(camera, world.solids)
    centres = np.empty((3, height, width), np.float32)
    corners = np.empty((3, height + 1, width + 1), np.float32)
    depth = np.empty((height, width), np.float32)
    instances = np.empty((height, width), np.int32)
    u = (np.arange(2 * width + 1, dtype=np.float32) / 2 - width / 2) * pixel
    v = (height / 2 - np.arange(2 * height + 1, dtype=np.float32) / 2) * pixel
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for top in range(0, height, _TILE):
            for left in range(0, width, _TILE):
                rows = slice(top, min(top + _TILE, height))
                cols = slice(left, min(left + _TILE, width))
                last = (
                    rows.stop + (rows.stop == height),
                    cols.stop + (cols.stop == width),
                )
                edge_rows, edge_cols = slice(top, last[0]), slice(left, last[1])
                visible = np.flatnonzero(
                    (bounds[0] <= u[2 * cols.stop])
                    & (bounds[1] >= u[2 * left])
                    & (bounds[2] <= v[2 * top])
                    & (bounds[3] >= v[2 * rows.stop])
                )
                inner = np.meshgrid(u[1::2][cols], v[1::2][rows])
                outer = np.meshgrid(u[::2][edge_cols], v[::2][edge_rows])
                rays = camera_rays(
                    camera,
                    *(np.append(i, o) for i, o in zip(inner, outer, strict=True)),
                )
                colour, t, surface = shoot(world, visible, rays, pixel)
                shape, split = inner[0].shape, inner[0].size
                centres[:, rows, cols] = colour[:, :split].reshape(3, *shape)
                corners[:, edge_rows, edge_cols] = colour[:, split:].reshape(
                    3, *outer[0].shape
                )
                depth[rows, cols] = t[:split].reshape(shape)
                instances[rows, cols] = world.instance[surface[:split]].reshape(shape)
    pairs = corners[:, :-1] + corners[:, 1:]
    colour = centres * np.float32(0.5)
    colour += (pairs[..., :-1] + pairs[..., 1:]) * np.float32(0.125)
    return develop(colour, noise), depth, instances


def develop(
    colour: Float[np.ndarray, "3 h w"], noise: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of displayed colours (0 to 1), with a sensor's noise."""
    picture = colour.transpose(1, 2, 0) * np.float32(255)
    picture += noise.standard_normal(picture.shape, np.float32) * np.float32(1.5)
    return np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
