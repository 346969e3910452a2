"""Array types and the one legend of axis letters.

| letter | axis                              | letter | axis                     |
|--------|-----------------------------------|--------|--------------------------|
| `b`    | batch                             | `d`    | width of a token         |
| `h w`  | pixels, rows and columns          | `k`    | codewords                |
| `c`    | channels of an image or a target  | `m`    | FSQ channels             |
| `p`    | patches (grid positions)          | `q s`  | query and key positions  |
| `n`    | code positions                    | `v`    | vocabulary of stage II   |

Annotations such as `Float[Array, "*b n d"]` are checked while the tests run and cost nothing
otherwise. `*b` stands for any number of leading axes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Num, Shaped, UInt8

if TYPE_CHECKING:
    import jax

    Array = jax.Array
    AnyArray = jax.Array | np.ndarray
    """Where NumPy arrays, such as a loader's batches, are as welcome as JAX's."""

    Key = jax.Array
    """A JAX random key, typed (`jax.random.key`) or raw (`jax.random.PRNGKey`)."""


def __getattr__(name: str) -> Any:
    # What is NumPy alone, such as the metrics, does not wait for JAX.
    if name not in ("Array", "AnyArray", "Key"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import jax

    return jax.Array | np.ndarray if name == "AnyArray" else jax.Array


Tree = Any
"""A pytree of arrays."""

DType = Any
"""What NumPy and JAX take for a data type."""

Example = Mapping[str, Any]
"""One example of a source: `image` uint8 (h w 3), `id` str, and what its labels are:
`depth` float32 (h w) in metres with 0 where it is missing (and `depth_limit`, the metres that the largest
number of its file stands for, where that is of 16 bits), `panoptic` int32 (h w) with the
segment id of each pixel, 0 for void, and `segments`, a list of dicts (`id`, `category_id`, `iscrowd`,
`area` in pixels). Panoptic predictions have the same form."""


class Category(NamedTuple):
    """A class of a panoptic dataset; a thing is counted, stuff is not."""

    id: int
    name: str
    isthing: bool
    color: tuple[int, int, int]
    """RGB, 0 to 255."""


__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Category",
    "DType",
    "Example",
    "Float",
    "Int",
    "Integer",
    "Key",
    "Num",
    "Shaped",
    "Tree",
    "UInt8",
]
