"""What the loader and the evaluators ask of a dataset."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from uvim_fsq.types import Category, Example


@runtime_checkable
class Source(Protocol):
    """Random access to examples, so that their order is a function of (seed, step) alone.

    Safe to call from several threads. `source[i]` holds `image` (h w 3, uint8), the labels and
    `id`; `reference(i)` holds the same at the original size, and `size`, for evaluation;
    `example_id(i)` is a name that stays the same when the dataset moves or grows. `categories` are
    the classes of panoptic labels, without void; empty where there are none.

    A source may have `stamp(index)`: a name of an example, and what tells it from others of that name,
    such as the sizes of its files. Nothing is decoded for it: it is for `uvim_fsq.data.fingerprint`.
    """

    @property
    def categories(self) -> Sequence[Category]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...

    def reference(self, index: int, /) -> Mapping[str, Any]: ...

    def example_id(self, index: int, /) -> str: ...


def locate(ends: Sequence[int], index: int) -> tuple[int, int]:
    """The file that holds an example, and its row there; `ends` are running totals of rows.

    >>> locate([2, 5], 3)
    (1, 1)
    """
    count = ends[-1] if ends else 0
    if not 0 <= index < count:
        raise IndexError(f"example {index} of {count}")
    number = bisect_right(ends, index)
    return number, index - (ends[number - 1] if number else 0)
