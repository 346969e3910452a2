"""How much of a codebook is used, from the histogram of indices over a stated set.

The functions take NumPy arrays (evaluation) and JAX arrays (metrics of a batch, also under jit).
"""

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.types import Array, Bool, Float, Int, Num


def codebook_usage(
    histogram: Num[Array, "k"] | Num[np.ndarray, "k"],
) -> Num[Array, ""] | Num[np.ndarray, ""] | np.floating:
    """Share of the codewords that occur at least once, in [0, 1]."""
    return (histogram > 0).mean()


def codebook_perplexity(
    histogram: Num[Array, "k"] | Num[np.ndarray, "k"],
) -> Num[Array, ""] | Num[np.ndarray, ""] | np.floating:
    """`exp(entropy)` of the histogram: 1 if one codeword is used, k if all are used alike.

    An empty histogram has perplexity 1.
    """
    xp = jnp if isinstance(histogram, jax.Array) else np
    total = xp.maximum(histogram.sum(), 1)
    p = histogram / total
    # p log p -> 0 as p -> 0.
    entropy = -(p * xp.log(xp.where(p > 0, p, 1.0))).sum()
    return xp.exp(entropy)


def batch_usage(
    indices: Int[Array, "..."], codebook_size: int, mask: Bool[Array, "..."] | None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Usage and perplexity over the indices of a batch, under jit; those that `mask` is False for do
    not count. Memory goes with the batch, not with the codebook."""
    flat = indices.ravel()
    if mask is not None:
        flat = jnp.where(mask.ravel(), flat, codebook_size)  # They come last.
    ordered = jnp.sort(flat)
    counted = ordered < codebook_size
    starts = jnp.pad(ordered[1:] != ordered[:-1], (1, 0), constant_values=True)
    run = jnp.cumsum(starts, dtype=jnp.int32) - 1
    counts = jnp.zeros(flat.shape, jnp.float32).at[run].add(counted)
    usage = jnp.sum(starts & counted, dtype=jnp.float32) / codebook_size
    return usage, jnp.asarray(codebook_perplexity(counts))


def expected_usage(codebook_size: int, n: int) -> float:
    """The usage to expect of `n` indices drawn uniformly: `1 - (1 - 1/k)^n`.

    Few indices cannot use a large codebook: divide a measured usage by this before comparing
    codebooks whose evaluation sets differ in size.

    Example:
      >>> round(expected_usage(4375, 2560), 2)
      0.44
    """
    if codebook_size < 1 or n < 0:
        raise ValueError(
            f"expected codebook_size >= 1 and n >= 0, found {codebook_size} and {n}."
        )
    if codebook_size == 1:
        return float(n > 0)
    return float(-np.expm1(n * np.log1p(-1.0 / codebook_size)))
