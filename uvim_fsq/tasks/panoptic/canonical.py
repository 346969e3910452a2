"""The segments of a label map, and the order in which a model is asked to number them."""

from typing import NamedTuple

import numpy as np

from uvim_fsq.types import Float, Int


class Segments(NamedTuple):
    """What a map of ids is made of: `k` segments, ascending by id, and each pixel's segment."""

    ids: Int[np.ndarray, "k"]
    areas: Int[np.ndarray, "k"]
    """In pixels."""
    positions: Float[np.ndarray, "k"]
    """`cx + h * cy` of the centre of mass, in pixels: rows first, columns within a row."""
    first: Int[np.ndarray, "k"]
    """Raster index of the first pixel."""
    index: Int[np.ndarray, "h w"]
    """Which of the `k` segments a pixel belongs to."""


def find_segments(ids: Int[np.ndarray, "h w"]) -> Segments:
    """All ids of a map with their areas and places; an id is one segment, however scattered.

    Works on the runs of equal ids in a row, of which a label map has far fewer than pixels, so that
    time depends neither on the number of segments nor on how large the ids are. Sums are exact:
    equal centres have equal positions.
    """
    height, width = ids.shape
    flat = np.ascontiguousarray(ids).ravel()
    starts_run = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=starts_run[1:])
    starts_run[::width] = True
    starts = np.flatnonzero(starts_run)
    lengths = np.diff(starts, append=flat.size)
    row, left = np.divmod(starts, width)
    middle = left + (lengths - 1) / 2
    values, first, of_run = np.unique(
        flat[starts], return_index=True, return_inverse=True
    )
    areas = np.bincount(of_run, lengths).astype(np.int64)
    sums = np.bincount(of_run, lengths * (middle + height * row))
    index = np.repeat(of_run, lengths).reshape(height, width)
    return Segments(values, areas, sums / areas, starts[first], index)


def canonical_numbers(segments: Segments) -> Int[np.ndarray, "k"]:
    """The number of each segment: 1, 2, ... by ascending position; 0 for id 0, -1 for negative ids.

    Segments with the same centre are numbered by their first pixel in raster order. Without a fixed
    order a model could not learn which of the interchangeable numbers to predict. This is the
    numbering of the published UViM models.
    """
    order = np.lexsort((segments.first, segments.positions))
    order = order[segments.ids[order] > 0]
    numbers = np.minimum(segments.ids, 0).clip(-1).astype(np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers


def keep_largest(
    numbers: Int[np.ndarray, "k"], areas: Int[np.ndarray, "k"], fit: int
) -> Int[np.ndarray, "k"]:
    """Canonical numbers of the `fit` segments with the largest areas, 0 for the others.

    Those that stay keep their order and are numbered 1 to `fit` without gaps; of equal areas the
    lower number stays. Numbers below 1 are left alone, and all are if they fit.
    """
    present = np.flatnonzero(numbers > 0)
    if len(present) <= fit:
        return numbers
    by_area = present[np.lexsort((numbers[present], -areas[present]))]
    kept = by_area[:fit]
    result = np.minimum(numbers, 0)
    result[kept[np.argsort(numbers[kept])]] = np.arange(1, fit + 1)
    return result


def canonical_instances(ids: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """A map with its ids replaced by their canonical numbers.

    Example:
      >>> canonical_instances(np.array([[7, 7, 0], [3, 7, -5]]))
      array([[ 1,  1,  0],
             [ 2,  1, -1]], dtype=int32)
    """
    segments = find_segments(ids)
    return canonical_numbers(segments)[segments.index]
