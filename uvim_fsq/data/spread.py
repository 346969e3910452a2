"""Which examples stand for a whole set, where not all of them are looked at."""

import numpy as np


def spread(length: int, count: int | None = None) -> list[int]:
    """At most `count` of `length` places, evenly over all of them, in order; all for None.

    Data is often sorted, by scene or by class: the first so many would be of one kind.

    >>> spread(10, 4), spread(3, 4), spread(2)
    ([0, 3, 6, 9], [0, 1, 2], [0, 1])
    """
    if count is None or count >= length:
        return list(range(length))
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def half_away(length: int) -> list[tuple[int, int]]:
    """Pairs of places half of `length` apart, such that each place is the first of one or the second.

    Of an odd number the last place has none left to pair with, and is paired with one that has a pair
    already; a single one with itself.

    >>> half_away(4), half_away(3), half_away(1)
    ([(0, 2), (1, 3)], [(0, 1), (2, 1)], [(0, 0)])
    """
    half = length // 2
    pairs = [(place, place + half) for place in range(half)]
    return [*pairs, (length - 1, length - 1 - half)] if length % 2 else pairs
