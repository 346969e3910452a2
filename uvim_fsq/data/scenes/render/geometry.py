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


Triple = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Components x, y, z, whose shapes broadcast."""


def rotate(
    cos: Float[np.ndarray, "*k"],
    sin: Float[np.ndarray, "*k"],
    vectors: Float[np.ndarray, "3 *n"] | Triple,
) -> Triple:
    """World vectors in axes turned about y; with `-sin` the other way. Shapes broadcast."""
    x, y, z = vectors
    return cos * x - sin * z, y, sin * x + cos * z


def to_solids(solids: Solids, points: Float[np.ndarray, "3 n"]) -> Triple:
    """Points in the axes of each solid, from its centre: components (k, n), y too."""
    x, y, z = (points[j] - solids.centre[j][:, None] for j in range(3))
    return rotate(solids.cos[:, None], solids.sin[:, None], (x, y, z))


def cast_boxes(
    origin: Triple, direction: Triple, half: Float[np.ndarray, "3 k 1"]
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """Entry and exit of each ray through each box; entry > exit where the ray misses it."""
    entry = leave = None
    for o, d, h in zip(origin, direction, half, strict=True):
        # Rays along a face: 0 becomes a tiny number, other numbers stay what they are.
        inverse = 1 / (d + np.float32(1e-9))
        middle = o * inverse
        reach = np.abs(inverse) * h
        far = reach - middle
        near = np.negative(middle, out=middle)
        near -= reach
        entry = near if entry is None else np.maximum(entry, near, out=near)
        leave = far if leave is None else np.minimum(leave, far, out=far)
    assert entry is not None and leave is not None
    return entry, leave


def cast_spheres(
    origin: Triple, direction: Triple, half: Float[np.ndarray, "3 k 1"]
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """Entry and exit of each ray through each ellipsoid; 1e9 and -1e9 where it misses it."""
    a = b = c = np.float32(0)
    for o, d, h in zip(origin, direction, half, strict=True):
        o, d = o / h, d / h
        a, b, c = a + d * d, b + o * d, c + o * o
    root = b * b - a * (c - 1)
    width = np.sqrt(np.maximum(root, 0))
    met = root > 0
    return np.where(met, (-b - width) / a, _FAR), np.where(met, (width - b) / a, -_FAR)


def _cast_frustums(
    origin: Triple,
    direction: Triple,
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
    cap = (cap_y - oy) / (dy + np.float32(1e-9))
    cap_radius = np.where(oy > 0, top, bottom)
    x, z = ox + cap * dx, oz + cap * dz
    outside = np.abs(oy) > height
    on_cap = outside & (x * x + z * z <= cap_radius * cap_radius) & (cap > _NEAR)
    return np.minimum(np.where(on_side, side, _FAR), np.where(on_cap, cap, _FAR))


def cast_solids(
    solids: Solids, eye: Float[np.ndarray, "3"], rays: Float[np.ndarray, "3 n"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Depth of the first solid on each ray (1e9 where there is none) and its number."""
    boxes, frustums, ellipsoids = solids.counts
    count = boxes + frustums + ellipsoids
    if count == 0:
        n = rays.shape[1]
        return np.full(n, _FAR, np.float32), np.zeros(n, np.intp)
    half = solids.half[..., None]
    origin = to_solids(solids, eye[:, None])
    turned_x, y, turned_z = rotate(solids.cos[:, None], solids.sin[:, None], rays)
    depths = np.empty(turned_x.shape, np.float32)

    def kind(first: int, number: int) -> tuple[slice, Triple, Triple, np.ndarray]:
        part = slice(first, first + number)
        start = (origin[0][part], origin[1][part], origin[2][part])
        return part, start, (turned_x[part], y, turned_z[part]), half[:, part]

    if boxes:
        part, start, direction, size = kind(0, boxes)
        entry, leave = cast_boxes(start, direction, size)
        depths[part] = np.where((entry < leave) & (entry > _NEAR), entry, _FAR)
    if frustums:
        part, start, direction, size = kind(boxes, frustums)
        taper = solids.taper[part, None]
        depths[part] = _cast_frustums(start, direction, size, taper)
    if ellipsoids:
        part, start, direction, size = kind(boxes + frustums, ellipsoids)
        entry, _ = cast_spheres(start, direction, size)
        depths[part] = np.where(entry > _NEAR, entry, _FAR)
    nearest = depths.argmin(axis=0)
    return depths[nearest, np.arange(len(nearest))], nearest


def cast_room(
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    eye: Float[np.ndarray, "3"],
    rays: Float[np.ndarray, "3 n"],
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Depth at which each ray leaves the room, and the axis (0, 1, 2) of the plane it meets."""
    # A ray along a plane meets it far away.
    rays = rays + np.float32(1e-9)
    ahead = rays > 0
    planes = np.where(ahead, (high - eye)[:, None], (low - eye)[:, None])
    depths = planes / rays
    axis = depths.argmin(axis=0)
    return depths[axis, np.arange(len(axis))], axis


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
