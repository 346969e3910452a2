"""Ray casting: where rays from one camera first meet a room and the solids in it.

Arrays of vectors have their three components first, `(3, n)`. World axes: x right, y up, z into
the room; the room is `[-width/2, width/2] x [0, height] x [0, length]`. Rays are scaled such that
their component along the camera's axis is 1: the ray parameter `t` is then the z-depth in metres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_NEAR = np.float32(0.05)
_FAR = np.float32(1e9)
_CAP = np.float32(5e-4)


@dataclass(frozen=True)
class Solids:
    """The k solids of a scene: boxes first, then frustums (vertical), then ellipsoids.

    `centre`, `half` (3, k): centre in the world, half extents in the solid's own axes; `cos`,
    `sin` (k,): its turn about y; `taper` (k,): radius at the top over radius at the bottom
    (frustums, whose `half[0]` is the larger radius); `counts`: how many there are of each kind.
    """

    centre: np.ndarray
    half: np.ndarray
    cos: np.ndarray
    sin: np.ndarray
    taper: np.ndarray
    counts: tuple[int, int, int]

    def select(self, keep: Int[np.ndarray, " j"]) -> "Solids":
        """The solids with the ascending numbers `keep`."""
        boxes, frustums, _ = self.counts
        first, second = np.searchsorted(keep, (boxes, boxes + frustums))
        return Solids(
            self.centre[:, keep],
            self.half[:, keep],
            self.cos[keep],
            self.sin[keep],
            self.taper[keep],
            (int(first), int(second - first), int(len(keep) - second)),
        )


def rotate(
    cos: Float[np.ndarray, "*k"],
    sin: Float[np.ndarray, "*k"],
    vectors: Float[np.ndarray, "3 *n"],
) -> Float[np.ndarray, "3 *m"]:
    """World vectors in axes turned about y; with `-sin` the other way. Shapes broadcast."""
    x, y, z = vectors
    turned_x = cos * x - sin * z
    return np.stack([turned_x, np.broadcast_to(y, turned_x.shape), sin * x + cos * z])


def _cast_boxes(
    origin: Float[np.ndarray, "3 k 1"],
    direction: Float[np.ndarray, "3 k n"],
    half: Float[np.ndarray, "3 k 1"],
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """Entry and exit of each ray through each box; entry > exit where the ray misses it."""
    # Rays along a face: 0 becomes a tiny number, other numbers stay what they are.
    inverse = 1 / (direction + np.float32(1e-9))
    middle = origin * inverse
    reach = half * np.abs(inverse)
    entry = np.maximum.reduce(-middle - reach, axis=0)
    leave = np.minimum.reduce(reach - middle, axis=0)
    return entry, leave


def _cast_frustums(
    origin: Float[np.ndarray, "3 k 1"],
    direction: Float[np.ndarray, "3 k n"],
    half: Float[np.ndarray, "3 k 1"],
    taper: Float[np.ndarray, "k 1"],
) -> Float[np.ndarray, "k n"]:
    """First meeting with a frustum's side, or with the cap that faces the origin."""
    ox, oy, oz = origin
    dx, dy, dz = direction
    height = half[1]
    bottom = half[0] / np.maximum(1.0, taper)
    top = bottom * taper
    slope = (top - bottom) / (2 * height)
    radius = (top + bottom) * 0.5 + slope * oy
    a = np.maximum(dx * dx + dz * dz - (slope * dy) ** 2, np.float32(1e-6))
    b = ox * dx + oz * dz - slope * radius * dy
    c = ox * ox + oz * oz - radius * radius
    root = b * b - a * c
    side = (-b - np.sqrt(np.maximum(root, 0))) / a
    on_side = (root > 0) & (np.abs(oy + side * dy) <= height) & (side > _NEAR)
    cap_y = np.where(oy > 0, height, -height)
    cap = (cap_y - oy) / dy
    cap_radius = np.where(oy > 0, top, bottom)
    x, z = ox + cap * dx, oz + cap * dz
    outside = np.abs(oy) > height
    on_cap = outside & (x * x + z * z <= cap_radius * cap_radius) & (cap > _NEAR)
    return np.minimum(np.where(on_side, side, _FAR), np.where(on_cap, cap, _FAR))


def _cast_ellipsoids(
    origin: Float[np.ndarray, "3 k 1"],
    direction: Float[np.ndarray, "3 k n"],
    half: Float[np.ndarray, "3 k 1"],
) -> Float[np.ndarray, "k n"]:
    """First meeting with an ellipsoid."""
    origin = origin / half
    direction = direction / half
    a = (direction * direction).sum(0)
    b = (origin * direction).sum(0)
    c = (origin * origin).sum(0) - 1
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (t > _NEAR), t, _FAR)


def cast_solids(
    solids: Solids, eye: Float[np.ndarray, "3"], rays: Float[np.ndarray, "3 n"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Depth of the first solid on each ray (1e9 where there is none) and its number."""
    boxes, frustums, ellipsoids = solids.counts
    count = boxes + frustums + ellipsoids
    if count == 0:
        n = rays.shape[1]
        return np.full(n, _FAR, np.float32), np.zeros(n, np.intp)
    cos, sin, half = solids.cos[:, None], solids.sin[:, None], solids.half[..., None]
    origin = rotate(cos, sin, eye[:, None, None] - solids.centre[..., None])
    direction = rotate(cos, sin, rays)
    depths = np.empty(direction.shape[1:], np.float32)
    if boxes:
        part = slice(0, boxes)
        entry, leave = _cast_boxes(origin[:, part], direction[:, part], half[:, part])
        depths[part] = np.where((entry < leave) & (entry > _NEAR), entry, _FAR)
    if frustums:
        part = slice(boxes, boxes + frustums)
        depths[part] = _cast_frustums(
            origin[:, part], direction[:, part], half[:, part], solids.taper[part, None]
        )
    if ellipsoids:
        part = slice(boxes + frustums, count)
        depths[part] = _cast_ellipsoids(
            origin[:, part], direction[:, part], half[:, part]
        )
    nearest = depths.argmin(axis=0)
    return np.take_along_axis(depths, nearest[None], axis=0)[0], nearest


def cast_room(
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    eye: Float[np.ndarray, "3"],
    rays: Float[np.ndarray, "3 n"],
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Depth at which each ray leaves the room, and the axis (0, 1, 2) of the plane it meets."""
    ahead = rays > 0
    planes = np.where(ahead, (high - eye)[:, None], (low - eye)[:, None])
    depths = planes / rays
    axis = depths.argmin(axis=0)
    return np.take_along_axis(depths, axis[None], axis=0)[0], axis


def surface_normals(
    solids: Solids,
    number: Int[np.ndarray, " m"],
    local: Float[np.ndarray, "3 m"],
) -> tuple[Float[np.ndarray, "3 m"], Int[np.ndarray, " m"]]:
    """Normals in the solids' own axes at local points on solids `number`, and their main axis.

    The main axis is the axis of a box's face; for round solids 1 on a flat cap and 2 elsewhere.
    """
    boxes, frustums, _ = solids.counts
    half = solids.half[:, number]
    scaled = local / half
    axis = np.abs(scaled).argmax(axis=0)
    normal = np.zeros_like(local)
    columns = np.arange(len(number))
    normal[axis, columns] = np.sign(scaled[axis, columns])
    round_ones = np.flatnonzero(number >= boxes)
    if len(round_ones) == 0:
        return normal, axis
    ids = number[round_ones]
    x, y, z = local[:, round_ones]
    hx, hy, hz = half[:, round_ones]
    taper = solids.taper[ids]
    bottom = hx / np.maximum(np.float32(1), taper)
    slope = bottom * (taper - 1) / (2 * hy)
    frustum = ids < boxes + frustums
    flat = frustum & (np.abs(y) > hy - _CAP)
    radius = np.sqrt(x * x + z * z) + np.float32(1e-9)
    vectors = np.stack(
        [
            np.where(frustum, x, x / (hx * hx)),
            np.where(frustum, -slope * radius, y / (hy * hy)),
            np.where(frustum, z, z / (hz * hz)),
        ]
    )
    vectors[:, flat] = 0
    vectors[1, flat] = np.sign(y[flat])
    normal[:, round_ones] = vectors / np.sqrt((vectors * vectors).sum(0))
    axis[round_ones] = np.where(flat, 1, 2)
    return normal, axis


def blocked_length(
    solids: Solids,
    points: Float[np.ndarray, "3 n"],
    towards: Float[np.ndarray, "3 n"],
    margin: float,
) -> Float[np.ndarray, "k n"]:
    """Length in metres of the segments `points + s * towards`, s in [0, 1], inside each solid.

    Solids are taken as boxes (round ones as slightly smaller boxes), grown by `margin`: the
    length rises gradually from the edge inwards, which makes soft shadows from one ray.
    """
    cos, sin = solids.cos[:, None], solids.sin[:, None]
    origin = rotate(cos, sin, points[:, None] - solids.centre[..., None])
    direction = rotate(cos, sin, towards[:, None])
    half = solids.half.copy()
    half[:, solids.counts[0] :] *= np.float32(0.8)
    entry, leave = _cast_boxes(
        origin, direction, (half + np.float32(margin))[..., None]
    )
    inside = np.minimum(leave, 1) - np.maximum(entry, 0)
    length = np.sqrt((towards * towards).sum(0))
    return np.maximum(inside, 0) * length
