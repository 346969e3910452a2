"""Matrix products in a narrower type, between arrays that all stay float32.

A model's `dtype` is that of the factors of its products. Biases, the residual stream, normalization,
GELU, softmax and logits are float32 whatever it is. In float32 both kinds below are the plain
`jax.lax.dot_general`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.types import DType

DotGeneral = Callable[..., Any]
"""`(x, kernel, dimension_numbers, precision=None)`, as dense layers of Flax take it."""


def rounded_product(dtype: DType) -> DotGeneral:
    """Products whose result is rounded to `dtype` before it is handed on as float32.

    For what the backward pass keeps, of which this is half the bytes, and for what the next product
    would round anyway.
    """
    if jnp.dtype(dtype) == jnp.float32:
        return jax.lax.dot_general

    def product(x, kernel, dimension_numbers, precision=None):
        factors = x.astype(dtype), kernel.astype(dtype)
        result = jax.lax.dot_general(*factors, dimension_numbers, precision=precision)
        return result.astype(jnp.float32)

    return product


def summed_product(dtype: DType) -> DotGeneral:
    """Products whose sums are float32, unrounded: of logits, and of what joins the residual stream.

    The gradient's products have factors in `dtype` too, the cotangent rounded to it, and float32 sums.
    There are no batch axes.
    """
    if jnp.dtype(dtype) == jnp.float32:
        return jax.lax.dot_general

    def product(x, kernel, dimension_numbers, precision=None):
        del precision
        contracted, _ = dimension_numbers
        axes = tuple(tuple(int(axis) for axis in each) for each in contracted)
        return _summed(axes, dtype, x, kernel)

    return product


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _summed(axes, dtype, x, kernel) -> Any:
    return _dot(x.astype(dtype), kernel.astype(dtype), *axes)


def _summed_forward(axes, dtype, x, kernel):
    factors = x.astype(dtype), kernel.astype(dtype)
    return _dot(*factors, *axes), factors


def _summed_backward(axes, dtype, factors, cotangent):
    x, kernel = factors
    cotangent = cotangent.astype(dtype)
    of_x, of_kernel = axes
    free_x = [axis for axis in range(x.ndim) if axis not in of_x]
    free_kernel = [axis for axis in range(kernel.ndim) if axis not in of_kernel]
    # The cotangent's axes: those free in x, then those free in the kernel.
    n = len(free_x)
    to_x = _dot(cotangent, kernel, range(n, cotangent.ndim), free_kernel)
    to_kernel = _dot(x, cotangent, free_x, range(n))
    pairs = tuple(zip(of_x, of_kernel, strict=True))
    order_x = [*free_x, *(a for a, _ in sorted(pairs, key=lambda pair: pair[1]))]
    order_kernel = [*(b for _, b in sorted(pairs)), *free_kernel]
    return to_x.transpose(np.argsort(order_x)), to_kernel.transpose(
        np.argsort(order_kernel)
    )


_summed.defvjp(_summed_forward, _summed_backward)


def _dot(a, b, of_a, of_b):
    return jax.lax.dot_general(
        a,
        b,
        ((tuple(of_a), tuple(of_b)), ((), ())),
        preferred_element_type=jnp.float32,
    )
