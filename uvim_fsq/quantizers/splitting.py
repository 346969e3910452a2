"""Codebook splitting: unused codewords are replaced by perturbed copies of much used ones.

From the public UViM code: while some count is below `min_count`, the least used codeword becomes a
copy of the most used one, multiplied element by element by uniform noise in [0.999, 1.001], and both
keep half of the count and half of the sum. Here the same sequence of splits runs in groups.
"""

import functools

import jax
import jax.numpy as jnp

from uvim_fsq.types import Array, Float, Key

NOISE = (0.999, 1.001)
_GROUP = 128


def split_codewords(
    counts: Float[Array, "k"],
    sums: Float[Array, "k d"],
    key: Key,
    *,
    min_count: float | Float[Array, ""],
) -> tuple[Float[Array, "k"], Float[Array, "k d"]]:
    """Split until no count is below `min_count` or the largest is below `2 * min_count`.

    The result is that of splitting one after another: each time the largest count (ties: lowest
    index) is halved and the smallest (ties: lowest index) becomes the other half, with a key of its
    own, split off `key` in turn. It ends for every input: every split removes one count below
    `min_count`, and adds none. NaN and infinite counts are left alone.

    How the groups work: all counts in (largest / 2, largest] are split before any of their halves,
    which are at most largest / 2; and the counts below `min_count` are used up in ascending order,
    because halves never fall below `min_count`. So a whole group of splits is known from one look at
    the counts. 4,095 splits take 38 groups; where nothing is to be split, one look is all.
    """
    parents_at_least = 2 * jnp.float32(min_count)
    group = min(_GROUP, counts.shape[0])

    def largest(counts):
        return jnp.max(jnp.where(jnp.isfinite(counts), counts, -jnp.inf))

    def unfinished(state):
        counts, _, _ = state
        return jnp.any(counts < min_count) & (largest(counts) >= parents_at_least)

    def split_group(state):
        counts, sums, key = state
        top = largest(counts)
        is_parent = (
            (counts > top / 2) & (counts >= parents_at_least) & jnp.isfinite(counts)
        )
        is_unused = counts < min_count
        # top_k puts the lower index first where values are equal.
        parents = jax.lax.top_k(jnp.where(is_parent, counts, -jnp.inf), group)[1]
        unused = _smallest(jnp.where(is_unused, counts, jnp.inf), group)
        n = jnp.minimum(jnp.sum(is_parent), jnp.sum(is_unused))
        key, noise = _noise(key, jnp.minimum(n, group), group, sums.shape[1])
        halves = sums[parents] / 2
        return (
            *_write(
                counts,
                sums,
                jnp.concatenate([parents, unused]),
                jnp.concatenate([halves, halves * noise]),
                jnp.tile(counts[parents] / 2, 2),
                jnp.tile(jnp.arange(group) < n, 2),
            ),
            key,
        )

    counts, sums, _ = jax.lax.while_loop(unfinished, split_group, (counts, sums, key))
    return counts, sums


def _smallest(values, group):
    # top_k puts 0.0 before -0.0; here they are equal.
    values = jnp.where(values == 0, 0.0, values)
    return jax.lax.top_k(-values, group)[1]


def _noise(key, n, group, d):
    """The key after `n` splits, and noise (group, d) of which the first `n` rows are valid."""

    def advance(key, _):
        key, row_key = jax.random.split(key)
        return key, (key, row_key)

    _, (keys, row_keys) = jax.lax.scan(advance, key, length=group)
    draw = functools.partial(
        jax.random.uniform,
        shape=(d,),
        dtype=jnp.float32,
        minval=NOISE[0],
        maxval=NOISE[1],
    )
    return keys[n - 1], jax.vmap(draw)(row_keys)


def _write(counts, sums, rows, row_sums, row_counts, valid):
    """Write the valid rows; the others get an index past the end and are dropped."""
    rows = jnp.where(valid, rows, counts.shape[0])
    options = dict(mode="drop", unique_indices=False)
    return counts.at[rows].set(row_counts, **options), sums.at[rows].set(
        row_sums, **options
    )
