"""The gathered embedding of labels against the product with their one-hot planes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.nn.patches import gather_sum

CLASSES, PIXELS, WIDTH = 5, 8, 6


def by_product(kernel, labels):
    one_hot = jax.nn.one_hot(labels, CLASSES)  # All zero outside the classes.
    return jnp.einsum("bpxv,vxd->bpd", one_hot, kernel)


@pytest.mark.parametrize("at_once", [None, 1, 4, 8])
@pytest.mark.parametrize("dtype, low, high", [(np.int16, -3, 9), (np.uint8, 0, 9)])
def test_values_and_gradient(at_once, dtype, low, high):
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(CLASSES, PIXELS, WIDTH)).astype(np.float32)
    labels = generator.integers(low, high, (2, 3, PIXELS)).astype(dtype)
    cotangent = generator.normal(size=(2, 3, WIDTH)).astype(np.float32)
    value, back = jax.vjp(
        lambda kernel: gather_sum(kernel, jnp.asarray(labels), at_once),
        jnp.asarray(kernel),
    )
    expected, expected_back = jax.vjp(lambda kernel: by_product(kernel, labels), kernel)
    np.testing.assert_allclose(value, expected, atol=2e-6)
    np.testing.assert_allclose(
        back(jnp.asarray(cotangent))[0],
        expected_back(jnp.asarray(cotangent))[0],
        atol=2e-6,
    )
