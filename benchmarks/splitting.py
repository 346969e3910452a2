"""Codebook splitting at its worst: all but one of the published codewords are unused."""

import jax
import jax.numpy as jnp

from benchmarks.timing import Part, timed
from uvim_fsq.quantizers import split_codewords

CODEWORDS, DIMENSIONS = 4096, 768


def splitting() -> Part:
    """4,095 splits of 768 dimensions, whatever the settings."""
    counts = jnp.zeros(CODEWORDS).at[0].set(2048.0)
    sums = jax.random.normal(jax.random.key(0), (CODEWORDS, DIMENSIONS))
    split = jax.jit(lambda *state: split_codewords(*state, min_count=0.1))
    state = counts, sums, jax.random.key(1)
    return Part(0, 0.0, "", lambda repeats: timed(lambda: split(*state), repeats))
