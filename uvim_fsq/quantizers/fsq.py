"""Finite scalar quantization (FSQ): a few bounded channels, each rounded to some levels.

Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv 2309.15505.
"""

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from uvim_fsq.quantizers.base import (
    QuantizerOutput,
    check_channels,
    on_any_mesh,
    straight_through,
    within,
    zero_loss,
)
from uvim_fsq.types import Array, Bool, Float, Int, Integer, Key, Tree

_EPS = 1e-3
_INDEX_LIMIT = 2**31 - 1


def tan_bound(
    z: Float[Array, "b m"], levels: Int[np.ndarray, "m"]
) -> Float[Array, "b m"]:
    """The bound of the paper's code: `tanh(z + tan(offset / half)) * half - offset`.

    `half = (L - 1)(1 - eps) / 2` with `eps = 1e-3`; `offset` is 0.5 where L is even, else 0. Every
    channel ends up within half a step of the integers `-floor(L/2) ... ceil(L/2) - 1`.
    """
    return _tanh_bound(z, levels, np.tan)


def atanh_bound(
    z: Float[Array, "b m"], levels: Int[np.ndarray, "m"]
) -> Float[Array, "b m"]:
    """`tan_bound` with `atanh` for `tan`, so that z = 0 maps to 0 exactly.

    The difference is tiny. It has no value for two levels, where offset / half exceeds 1, and
    raises a ValueError for them.
    """
    if (levels == 2).any():
        raise ValueError(
            "the FSQ bound 'atanh' has no value for two levels, found levels "
            f"{tuple(levels.tolist())}: use the bound 'tan' or at least three levels per channel."
        )
    return _tanh_bound(z, levels, np.arctanh)


def _tanh_bound(z, levels, centring):
    half = (levels - 1) * (1 - _EPS) / 2
    offset = np.where(levels % 2 == 0, 0.5, 0.0)
    shift = centring(offset / half)
    shift, half, offset = (jnp.asarray(a, jnp.float32) for a in (shift, half, offset))
    return jnp.tanh(z + shift[None]) * half[None] - offset[None]


BOUNDS: dict[str, Callable] = {"tan": tan_bound, "atanh": atanh_bound}
"""Bounds by name. A bound maps float32 latents (b m), given the levels (m,), into the range that
rounds to `-floor(L/2) ... ceil(L/2) - 1`, and raises a ValueError for levels that it cannot serve.
Add one by adding an entry."""


class FSQ(nn.Module):
    """Finite scalar quantization; has no parameters and no state.

    `digit = round(bound(z))`, one of L integers per channel; `codes = digit * (1 / floor(L/2))`,
    in [-1, 1], with a straight-through gradient through the rounding only. The index is
    `sum((digit + floor(L/2)) * basis)` with `basis = (1, L_1, L_1 L_2, ...)`, in integers: the first
    channel changes fastest. The codebook is implied: nothing of its size is ever allocated.

    Two levels: the paper's bound puts the border between them at z = -1.56, so that 94 % of draws from
    a standard normal distribution have the upper one (and with levels (2, 2, 2) 83 % are one codeword).
    Take three levels or more where latents start around 0.

    NaN latents: indices are integers made of them and look as healthy as any others; so do the codes. A
    training does notice, by its loss and its norms, and ends with NotFiniteError; who calls a quantizer
    otherwise has to look at `z`.

    Arguments:
      levels: values per channel, each an integer >= 2; their product is the codebook size. See
        `recommended_levels` and `search_levels`.
      bound: a name in `BOUNDS`. "tan" is what the paper's results used.

    Raises ValueError for levels that are not integers >= 2, a codebook of 2^31 or more, an unknown
    bound, or a bound that has no value for these levels.

    Example:
      >>> fsq = FSQ(levels=(8, 5, 5, 5))
      >>> out = fsq.apply({}, jnp.zeros((2, 16, 4)), train=False)
      >>> out.codes.shape, out.indices.shape, fsq.codebook_size
      ((2, 16, 4), (2, 16), 1000)
    """

    levels: (
        Any  # A sequence of integers; `_checked_levels` says what is wrong with others.
    )
    bound: str = "tan"

    def __post_init__(self):
        object.__setattr__(self, "levels", _checked_levels(self.levels))
        _check_bound(self.bound, self.levels)
        super().__post_init__()

    @property
    def codebook_size(self) -> int:
        return math.prod(self.levels)

    @property
    def code_dim(self) -> int:
        return len(self.levels)

    def __call__(
        self,
        z: Float[Array, "*b m"],
        *,
        train: bool,
        mask: Bool[Array, "*b"] | None = None,
    ) -> QuantizerOutput:
        """Latents (*b m) of any float type to codes (*b m) and indices (*b)."""
        del train, mask
        check_channels("FSQ", z, self.code_dim)

        def quantize(z):
            codes, indices = self._quantize(z.reshape(-1, self.code_dim))
            return codes.reshape(z.shape), indices.reshape(z.shape[:-1])

        codes, indices = on_any_mesh(
            quantize, z, lambda axes: (P(*axes), P(*axes[:-1]))
        )
        return QuantizerOutput(codes, indices, loss=zero_loss(), statistics={})

    @nn.nowrap
    def _quantize(self, z):
        levels = np.asarray(self.levels, np.int32)
        bounded = BOUNDS[self.bound](z.astype(jnp.float32), levels)
        rounded = jnp.round(bounded)
        # A NaN or a bound that overshoots must not leave the codebook.
        digits = jnp.clip(
            rounded.astype(jnp.int32) + (levels // 2)[None], 0, (levels - 1)[None]
        )
        codes = straight_through(bounded * self._step(), self._codes_of_digits(digits))
        # Of this type whatever JAX's default is; the sum stays below 2^31.
        indices = jnp.sum(digits * self._basis()[None], axis=-1, dtype=jnp.int32)
        return codes, indices

    def indices_to_codes(self, indices: Integer[Array, "*b"]) -> Float[Array, "*b m"]:
        """Indices in [0, codebook_size) to float32 codes; others count as the nearest of these."""

        def look_up(indices):
            flat = within(indices, self.codebook_size).reshape(-1, 1)
            levels = np.asarray(self.levels, np.int32)
            digits = (flat // self._basis()[None]) % levels[None]
            return self._codes_of_digits(digits).reshape(*indices.shape, self.code_dim)

        return on_any_mesh(look_up, indices, lambda axes: P(*axes, None))

    @nn.nowrap
    def update(self, codebook: Tree, statistics: Tree, key: Key) -> Tree:
        """The state unchanged: an FSQ codebook is fixed."""
        del statistics, key
        return codebook

    @nn.nowrap
    def _basis(self) -> np.ndarray:
        return np.cumprod((1, *self.levels[:-1])).astype(np.int32)

    @nn.nowrap
    def _step(self) -> np.ndarray:
        # A factor, not a divisor: XLA turns division by a constant into a product, but only where
        # it sees the constant, and then codes would differ in their last bit from call to call.
        return (1 / (np.asarray(self.levels) // 2)).astype(np.float32)[None]

    @nn.nowrap
    def _codes_of_digits(self, digits):
        half = np.asarray(self.levels, np.int32) // 2
        return (digits - half[None]).astype(jnp.float32) * self._step()


def _checked_levels(levels) -> tuple[int, ...]:
    def refuse(what):
        raise ValueError(
            f"FSQ levels must be integers >= 2, one per channel, such as (8, 5, 5, 5); {what}."
        )

    if isinstance(levels, str) or not isinstance(levels, Sequence | np.ndarray):
        refuse(f"found {levels!r}")
    result = []
    for level in levels:
        try:
            result.append(operator.index(level))  # pyright: ignore[reportArgumentType]
        except TypeError:
            refuse(f"found {level!r} in {tuple(levels)!r}")
        if isinstance(level, bool) or result[-1] < 2:
            refuse(f"found {level!r} in {tuple(levels)!r}")
    if not result:
        refuse("found none")
    if math.prod(result) > _INDEX_LIMIT:
        raise ValueError(
            f"FSQ levels {tuple(result)} make {math.prod(result):,} codewords; indices are int32 "
            f"and allow {_INDEX_LIMIT:,}: use fewer channels or fewer levels."
        )
    return tuple(result)


def _check_bound(bound: str, levels: tuple[int, ...]) -> None:
    if bound not in BOUNDS:
        raise ValueError(
            f"unknown FSQ bound {bound!r}: choose one of {', '.join(sorted(BOUNDS))}."
        )
    # Tracing it raises what it has to say about the levels, without computing anything.
    z = jax.ShapeDtypeStruct((1, len(levels)), jnp.float32)
    jax.eval_shape(lambda z: BOUNDS[bound](z, np.asarray(levels)), z)


_RECOMMENDED = {
    2**8: (8, 6, 5),
    2**10: (8, 5, 5, 5),
    2**12: (7, 5, 5, 5, 5),
    2**14: (8, 8, 8, 6, 5),
    2**16: (8, 8, 8, 5, 5, 5),
}


def recommended_levels(codebook_size: int) -> tuple[int, ...]:
    """The levels of the paper's table 1 for a codebook of about 2^8, 2^10, 2^12, 2^14 or 2^16.

    Raises ValueError for other sizes; `search_levels` finds levels for those.
    """
    if codebook_size not in _RECOMMENDED:
        raise ValueError(
            f"there are recommended FSQ levels for the codebook sizes "
            f"{', '.join(map(str, _RECOMMENDED))}, found {codebook_size}: "
            "use search_levels for other sizes."
        )
    return _RECOMMENDED[codebook_size]


def search_levels(codebook_size: int) -> tuple[int, ...]:
    """Levels, largest first, whose product comes closest to `codebook_size`.

    Every level is at least 5, as the paper advises, and at most 8, as in its table (larger levels
    only mean fewer channels). Below 5 * 5 a single channel of exactly that size is the answer. Of two
    products equally close the larger one is taken.

    Raises ValueError for a size below 5, which no such levels reach, or above 2^31 - 1.

    Example:
      >>> search_levels(1024)
      (8, 5, 5, 5)
    """
    if not 5 <= codebook_size <= _INDEX_LIMIT:
        raise ValueError(
            f"FSQ with at least 5 levels per channel reaches codebook sizes from 5 to "
            f"{_INDEX_LIMIT}, found {codebook_size}: choose another size or give levels yourself."
        )
    if codebook_size < 25:
        return (codebook_size,)
    best, best_distance = (), math.inf
    most = math.ceil(math.log(codebook_size, 5))
    for m in range(2, most + 1):
        for levels in itertools.combinations_with_replacement((8, 7, 6, 5), m):
            size = math.prod(levels)
            distance = abs(size - codebook_size)
            closer = distance < best_distance
            larger = distance == best_distance and size > math.prod(best)
            if size <= _INDEX_LIMIT and (closer or larger):
                best, best_distance = levels, distance
    return best
