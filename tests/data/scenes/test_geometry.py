"""Ray casting against marching along the rays in small steps."""

import numpy as np
import pytest

from uvim_fsq.data.scenes.render.geometry import (
    Solids,
    cast_room,
    cast_solids,
    rotate,
    surface_normals,
)
from uvim_fsq.data.scenes.render.shadows import blocked_length, squared_gap

STEP = 2e-3
EYE = np.array([0.1, 1.2, -3.0], np.float32)


def inside(kind, centre, half, turn, taper, points):
    """Whether points (3, n) lie in a solid, from its definition."""
    x, y, z = points - centre[:, None]
    x, z = np.cos(turn) * x - np.sin(turn) * z, np.sin(turn) * x + np.cos(turn) * z
    hx, hy, hz = half
    if kind == "box":
        return (abs(x) < hx) & (abs(y) < hy) & (abs(z) < hz)
    if kind == "ellipsoid":
        return (x / hx) ** 2 + (y / hy) ** 2 + (z / hz) ** 2 < 1
    bottom, top = (hx, hx * taper) if taper < 1 else (hx / taper, hx)
    radius = bottom + (top - bottom) * (y + hy) / (2 * hy)
    return (abs(y) < hy) & (x * x + z * z < radius * radius)


@pytest.fixture(params=["box", "frustum", "cone", "ellipsoid"])
def solid(request):
    """A kind of solid: its definition, and the same as `Solids`."""
    kind = "frustum" if request.param == "cone" else request.param
    centre, turn = np.array([0.2, 0.9, 0.3], np.float32), 0.5
    half = np.array(
        [0.5, 0.4, 0.3 if kind in ("box", "ellipsoid") else 0.5], np.float32
    )
    taper = {"frustum": 1.6, "cone": 0.01}.get(request.param, 1.0)
    counts = tuple(int(kind == name) for name in ("box", "frustum", "ellipsoid"))
    column = [
        np.array([value], np.float32) for value in (np.cos(turn), np.sin(turn), taper)
    ]
    solids = Solids(centre[:, None], half[:, None], *column, counts)
    return (kind, centre, half, turn, taper), solids


def rays(count=400, eye=EYE):
    generator = np.random.default_rng(0)
    aim = generator.uniform([-0.7, 0.2, -0.4], [1.0, 1.6, 0.9], (count, 3)).T
    direction = (aim - eye[:, None]).astype(np.float32)
    return direction / direction[2]


@pytest.mark.parametrize("height", [1.2, 2.5, 0.1], ids=["level", "above", "below"])
def test_depth_equals_that_of_marching(solid, height):
    definition, solids = solid
    eye = np.array([0.1, height, -3.0], np.float32)
    direction = rays(eye=eye)
    depth, number = cast_solids(solids, eye, direction)
    steps = np.arange(0, 5, STEP)
    points = eye[:, None, None] + direction[:, None] * steps[:, None]
    hit = inside(*definition, points.reshape(3, -1)).reshape(points.shape[1:])
    expected = np.where(hit.any(0), steps[hit.argmax(0)], 1e9)
    # A ray that grazes the solid may pass between two steps.
    agree = np.isclose(depth, expected, atol=2 * STEP, rtol=0)
    assert agree.mean() > 0.99
    assert 50 < hit.any(0).sum() < 390
    assert (number == 0).all()


def test_normals_point_out_of_the_solid_towards_the_eye(solid):
    definition, solids = solid
    direction = rays()
    depth, number = cast_solids(solids, EYE, direction)
    met = depth < 1e8
    points = EYE[:, None] + depth[met] * direction[:, met]
    local = np.stack(rotate(solids.cos, solids.sin, points - solids.centre))
    normal, axis = surface_normals(solids, number[met], local)
    world = np.stack(rotate(solids.cos, -solids.sin, normal))
    np.testing.assert_allclose((world**2).sum(0), 1, atol=1e-5)
    # At the edge between side and cap either normal will do.
    assert ((world * direction[:, met]).sum(0) < 1e-3).mean() > 0.99
    # A hair's breadth outwards is outside, inwards inside; but for points at an edge.
    assert not inside(*definition, points + 1e-3 * world).any()
    assert inside(*definition, points - 1e-3 * world).mean() > 0.97
    assert set(np.unique(axis)) <= {0, 1, 2}


def test_nearest_of_several_solids_wins():
    centre = np.array([[0, 0, 0, 0.5], [1.2, 1.2, 1.2, 9], [2, 0, 1, 0]], np.float32)
    half = np.full((3, 4), 0.3, np.float32)
    ones = np.ones(4, np.float32)
    solids = Solids(centre, half, ones, ones * 0, ones, (2, 1, 1))
    direction = np.array([[0.0], [0.0], [1.0]], np.float32)
    eye = np.array([0, 1.2, -3], np.float32)
    depth, number = cast_solids(solids, eye, direction)
    assert number == 1 and np.isclose(depth, 2.7)
    keep = np.array([0, 2, 3])
    depth, number = cast_solids(solids.select(keep), eye, direction)
    assert solids.select(keep).counts == (1, 1, 1)
    assert keep[number] == 2 and np.isclose(depth, 3.7)


def test_no_solids_meet_no_ray():
    none = np.zeros((3, 0), np.float32)
    empty = Solids(none, none, none[0], none[0], none[0], (0, 0, 0))
    depth, number = cast_solids(empty, EYE, rays(5))
    assert (depth > 1e8).all() and len(number) == 5


def test_room_is_left_through_the_nearest_plane():
    low, high = np.array([-2, 0, 0], np.float32), np.array([2, 2.5, 5], np.float32)
    eye = np.array([0.5, 1.5, 1], np.float32)
    direction = np.array([[0, 0, 1, -2], [0, -1, 0.1, 0.1], [1, 1, 1, 1]], np.float32)
    depth, axis = cast_room(low, high, eye, direction)
    np.testing.assert_allclose(depth, [4, 1.5, 1.5, 1.25], rtol=1e-6)
    assert axis.tolist() == [2, 1, 0, 0]


def test_shadow_length_is_the_way_through_the_grown_solid():
    one = np.ones(1, np.float32)
    solids = Solids(
        np.array([[0.0], [1.0], [0.0]], np.float32),
        np.array([[0.5], [0.1], [0.5]], np.float32),
        one,
        one * 0,
        one,
        (1, 0, 0),
    )
    points = np.array([[0, 0.7, 0], [0, 0, 1.5], [0, 0, 0]], np.float32)
    towards = np.array([[0, 0, 0], [2, 2, 2], [0, 0, 0]], np.float32)
    length = blocked_length(solids, points, towards, 0.05)
    np.testing.assert_allclose(length, [[0.3, 0, 0]], atol=1e-5)


def test_gap_is_the_distance_from_box_and_ball():
    one = np.ones(2, np.float32)
    half = np.full((3, 2), 0.5, np.float32)
    solids = Solids(np.zeros((3, 2), np.float32), half, one, one * 0, one, (1, 0, 1))
    points = np.array([[1.5, 0.1], [1.5, 0], [0, 0]], np.float32)
    ball = np.sqrt(4.5) - 0.5
    np.testing.assert_allclose(
        squared_gap(solids, points), [[2, 0], [ball**2, 0]], rtol=1e-5
    )
