"""Numbering of instances: parity with the public code, exact ties, and what it must not depend on."""

import numpy as np
import pytest

from uvim_fsq.tasks.panoptic.canonical import (
    canonical_instances,
    canonical_numbers,
    find_segments,
    keep_largest,
)


def random_map(seed, size=(23, 31), ids=9, block=4):
    """Blocks of a few ids, negative ones and 0 among them, large ones too."""
    rng = np.random.default_rng(seed)
    palette = np.concatenate([rng.integers(1, 2**24, ids), [0, -1, -7]])
    coarse = rng.choice(palette, (-(-size[0] // block), -(-size[1] // block)))
    return (
        coarse.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]].astype(np.int32)
    )


def one_mask_each(ids):
    """The definition, instance by instance."""
    height = ids.shape[0]
    keys = []
    for first, value in sorted((np.argmax(ids == v), v) for v in set(ids[ids > 0])):
        y, x = np.nonzero(ids == value)
        keys.append(((x.sum() + height * y.sum()) / len(y), first, value))
    result = np.minimum(ids, 0).clip(-1)
    for number, (_, _, value) in enumerate(sorted(keys), start=1):
        result[ids == value] = number
    return result


@pytest.mark.parametrize(
    "case", ["doc", "ring", "ring_swapped", "empty", "many", "blocks", "big"]
)
def test_golden_numbers(golden, case):
    a = golden("pp/make_canonical.npz")
    found = canonical_instances(a[f"{case}/in"][..., 1])
    np.testing.assert_array_equal(found, a[f"{case}/out_y"][..., 1])
    assert found.dtype == np.int32


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("block", [1, 4])
def test_agrees_with_one_mask_for_each_instance(seed, block):
    ids = random_map(seed, block=block)
    np.testing.assert_array_equal(canonical_instances(ids), one_mask_each(ids))


def test_numbers_say_nothing_about_the_ids():
    ids = random_map(1)
    renamed = np.where(ids > 0, 2**25 - ids, ids)
    np.testing.assert_array_equal(
        canonical_instances(ids), canonical_instances(renamed)
    )
    once = canonical_instances(ids)
    np.testing.assert_array_equal(canonical_instances(once), once)


def test_equal_centres_are_exact_ties_settled_by_the_first_pixel():
    """Frames in one another share their centre; sums of thirds must not decide between them."""
    size = 3 * 67
    ids = np.zeros((size, size), np.int32)
    for ring in range(0, size // 2, 3):
        ids[ring : size - ring, ring : size - ring] = size - ring
    found = canonical_instances(ids)
    diagonal = found[np.arange(0, size // 2, 3), np.arange(0, size // 2, 3)]
    np.testing.assert_array_equal(diagonal, np.arange(1, len(diagonal) + 1))


def test_rows_count_before_columns_by_the_height_of_the_map():
    """The weight of a row is the height, not the width: in wide maps columns can win."""
    ids = np.zeros((4, 40), np.int32)
    ids[0, 30], ids[1, 2], ids[2, 1] = 5, 6, 7
    found = canonical_instances(ids)
    assert (found[0, 30], found[1, 2], found[2, 1]) == (3, 1, 2)


def test_segments_have_their_areas_and_first_pixels():
    ids = np.array([[4, 4, -2], [-2, 4, 4], [4, 0, 9]])
    found = find_segments(ids)
    np.testing.assert_array_equal(found.ids, [-2, 0, 4, 9])
    np.testing.assert_array_equal(found.areas, [2, 1, 5, 1])
    np.testing.assert_array_equal(found.first, [2, 7, 0, 8])
    np.testing.assert_array_equal(found.ids[found.index], ids)
    np.testing.assert_allclose(
        found.positions, [(2 + 3) / 2, 1 + 6, (0 + 1 + 4 + 5 + 6) / 5, 8]
    )


@pytest.mark.parametrize("size", [(3, 17), (17, 3), (1, 9), (9, 1)])
def test_positions_of_segments_that_fill_rows(size):
    """A run of equal ids ends with its row, also where the next row goes on with the same id."""
    ids = np.sort(np.random.default_rng(0).integers(1, 4, size).ravel()).reshape(size)
    found = find_segments(ids)
    y, x = np.indices(size)
    weights = x + size[0] * y
    expected = [weights[ids == i].mean() for i in found.ids]
    np.testing.assert_allclose(found.positions, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "view", [lambda x: x.T, lambda x: x[::2, ::-1], np.asfortranarray]
)
def test_maps_that_are_no_block_of_memory(view):
    ids = view(random_map(3, (20, 30)))
    np.testing.assert_array_equal(canonical_instances(ids), one_mask_each(ids))


def test_the_largest_are_kept_in_their_order():
    numbers = np.array([3, 0, 1, -1, 5, 2, 4])
    areas = np.array([7, 99, 2, 99, 7, 7, 9])
    for fit, expected in (
        (5, numbers),
        (4, [2, 0, 0, -1, 4, 1, 3]),
        (3, [2, 0, 0, -1, 0, 1, 3]),
        (2, [0, 0, 0, -1, 0, 1, 2]),
        (1, [0, 0, 0, -1, 0, 0, 1]),
    ):
        np.testing.assert_array_equal(keep_largest(numbers, areas, fit), expected)


def test_numbers_that_fit_are_left_alone():
    numbers = np.array([7, 0, 3, -1])
    found = keep_largest(numbers, np.array([1, 9, 2, 9]), 2)
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("value, number", [(0, 0), (-3, -1), (2**24, 1)])
def test_maps_of_one_id(value, number):
    ids = np.full((5, 7), value)
    np.testing.assert_array_equal(canonical_instances(ids), np.full((5, 7), number))
    np.testing.assert_array_equal(canonical_numbers(find_segments(ids)), [number])
