"""Codebook usage and perplexity, for NumPy and for JAX arrays."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import (
    batch_usage,
    codebook_perplexity,
    codebook_usage,
    expected_usage,
)


@pytest.mark.parametrize("wrap", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize(
    "histogram, usage, perplexity",
    [
        ([5, 5, 5, 5], 1.0, 4.0),
        ([7, 0, 0, 0], 0.25, 1.0),
        ([3, 3, 0, 0], 0.5, 2.0),
        ([1, 0], 0.5, 1.0),
        ([0, 0], 0.0, 1.0),
        ([3, 1], 1.0, 4 / 3**0.75),
    ],
)
def test_known_histograms(wrap, dtype, histogram, usage, perplexity):
    histogram = wrap(np.array(histogram, dtype))
    assert float(codebook_usage(histogram)) == usage
    assert float(codebook_perplexity(histogram)) == pytest.approx(perplexity, rel=1e-6)


def test_under_jit():
    both = jax.jit(lambda h: (codebook_usage(h), codebook_perplexity(h)))
    usage, perplexity = both(jnp.array([1.0, 1.0, 0.0, 0.0]))
    assert usage == 0.5 and perplexity == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("size", [8, 40, 2**31 - 1])
def test_a_batch_is_counted_by_its_indices(size):
    indices = np.array([[0, 5, 5, 7], [7, 7, 2, 0], [1, 6, 6, 6]], np.int32)
    mask = np.array([[True] * 4, [True] * 4, [False] * 4])
    run = jax.jit(batch_usage, static_argnums=1)
    for real, counted in ((None, indices), (mask, indices[:2])):
        usage, perplexity = run(indices, size, real)
        histogram = np.bincount(counted.ravel())
        assert usage == np.float32((histogram > 0).sum() / size)
        assert perplexity == pytest.approx(codebook_perplexity(histogram), rel=1e-6)
    sizes = [
        math.prod(v.aval.shape)
        for equation in jax.make_jaxpr(run, static_argnums=1)(indices, size, mask).eqns
        for v in equation.outvars
    ]
    assert max(sizes) <= 2 * indices.size


def test_expected_usage_is_that_of_uniform_draws():
    rng = np.random.default_rng(0)
    drawn = [len(np.unique(rng.integers(0, 50, 70))) / 50 for _ in range(2000)]
    assert expected_usage(50, 70) == pytest.approx(np.mean(drawn), abs=0.005)
    assert expected_usage(4375, 2560) == pytest.approx(0.443, abs=1e-3)
    assert expected_usage(10, 0) == 0 and expected_usage(1, 3) == 1
    with pytest.raises(ValueError, match="found 0 and 5"):
        expected_usage(0, 5)
