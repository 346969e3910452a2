"""Renders a scene: colour picture, depth and instances from one pass of rays, in NumPy.

Every pixel has one ray through its centre, which gives depth and instance, and shares one ray at
each of its corners with its neighbours; its colour is half the centre's and an eighth of each
corner's. Rays are cast in square tiles, which keeps arrays in the processor's cache and lets a
tile leave out the solids that it cannot show.
"""

from dataclasses import dataclass
from math import tan

import numpy as np
from jaxtyping import Float, Int, UInt8

from uvim_fsq.data.scenes.render.geometry import (
    cast_room,
    cast_solids,
    rotate,
    surface_normals,
)
from uvim_fsq.data.scenes.render.light import shade
from uvim_fsq.data.scenes.render.world import (
    FAR_WALL,
    FLOOR,
    WALL,
    World,
    build_world,
    camera_rays,
    screen_bounds,
)
from uvim_fsq.data.scenes.room.parts import Camera, Scene
from uvim_fsq.data.scenes.textures.look import Surface
from uvim_fsq.data.scenes.textures.table import albedo

_TILE = 48


@dataclass(frozen=True)
class _Frame:
    """A picture in the making.

    `u`, `v`: slopes of the columns' and rows' edges (even places) and centres (odd ones), a
    `pixel` apart; `bounds` of the solids in them; the rest has one value for each pixel, or each
    pixel's corner.
    """

    world: World
    camera: Camera
    bounds: np.ndarray
    pixel: float
    u: np.ndarray
    v: np.ndarray
    centres: np.ndarray
    corners: np.ndarray
    depth: np.ndarray
    instances: np.ndarray

    @classmethod
    def of(cls, scene: Scene, height: int, width: int) -> "_Frame":
        """An empty frame, its shorter side as wide as the camera's view."""
        world = build_world(scene)
        pixel = 2 * tan(scene.camera.view / 2) / min(height, width)
        u = np.arange(2 * width + 1, dtype=np.float32) / 2 - width / 2
        v = height / 2 - np.arange(2 * height + 1, dtype=np.float32) / 2
        return cls(
            world,
            scene.camera,
            screen_bounds(scene.camera, world.solids),
            pixel,
            u * pixel,
            v * pixel,
            np.empty((3, height, width), np.float32),
            np.empty((3, height + 1, width + 1), np.float32),
            np.empty((height, width), np.float32),
            np.empty((height, width), np.int32),
        )

    def fill(self, rows: slice, cols: slice) -> None:
        """Renders the pixels of a tile, and their corners but those of the next tiles."""
        u, v, bounds = self.u, self.v, self.bounds
        visible = np.flatnonzero(
            (bounds[0] <= u[2 * cols.stop])
            & (bounds[1] >= u[2 * cols.start])
            & (bounds[2] <= v[2 * rows.start])
            & (bounds[3] >= v[2 * rows.stop])
        )
        height, width = self.depth.shape
        edge_rows = slice(rows.start, rows.stop + (rows.stop == height))
        edge_cols = slice(cols.start, cols.stop + (cols.stop == width))
        centre_u, centre_v = np.meshgrid(u[1::2][cols], v[1::2][rows])
        corner_u, corner_v = np.meshgrid(u[::2][edge_cols], v[::2][edge_rows])
        rays = camera_rays(
            self.camera, np.append(centre_u, corner_u), np.append(centre_v, corner_v)
        )
        colour, depth, surface = shoot(self.world, visible, rays, self.pixel)
        shape, count = centre_u.shape, centre_u.size
        self.centres[:, rows, cols] = colour[:, :count].reshape(3, *shape)
        around = colour[:, count:].reshape(3, *corner_u.shape)
        self.corners[:, edge_rows, edge_cols] = around
        self.depth[rows, cols] = depth[:count].reshape(shape)
        instance = self.world.instance.take(surface[:count])
        self.instances[rows, cols] = instance.reshape(shape)

    def colour(self) -> Float[np.ndarray, "3 h w"]:
        """Each pixel's colour from its centre and its corners."""
        pairs = self.corners[:, :-1] + self.corners[:, 1:]
        colour = self.centres * np.float32(0.5)
        colour += (pairs[..., :-1] + pairs[..., 1:]) * np.float32(0.125)
        return colour


def render(
    scene: Scene, size: tuple[int, int], noise: np.random.Generator
) -> tuple[
    UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "h w"], Int[np.ndarray, "h w"]
]:
    """Picture, z-depth in metres and instance number of each pixel of a scene.

    `noise` makes the sensor's noise, the only thing that is not the scene's.
    """
    height, width = size
    frame = _Frame.of(scene, height, width)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for top in range(0, height, _TILE):
            rows = slice(top, min(top + _TILE, height))
            for left in range(0, width, _TILE):
                frame.fill(rows, slice(left, min(left + _TILE, width)))
    return develop(frame.colour(), noise), frame.depth, frame.instances


def shoot(
    world: World,
    visible: Int[np.ndarray, " j"],
    rays: Float[np.ndarray, "3 n"],
    pixel: float,
) -> tuple[Float[np.ndarray, "3 n"], Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Displayed colour, depth and surface number along each ray; `pixel` is a pixel's slope."""
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


def develop(
    colour: Float[np.ndarray, "3 h w"], noise: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture of displayed colours (0 to 1), with a sensor's noise."""
    picture = colour.transpose(1, 2, 0) * np.float32(255)
    picture += noise.standard_normal(picture.shape, np.float32) * np.float32(1.5)
    return np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
