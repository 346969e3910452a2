"""What the loader and the evaluators ask of a dataset."""

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
