"""Adafactor's direction: factored second moments and an average kept in bfloat16."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from uvim_fsq.types import Array, Tree


class Factored(NamedTuple):
    """Running means of squared gradients over the largest and second-largest axis."""

    row: Array
    column: Array


class AdafactorState(NamedTuple):
    """`second` has a `Factored` pair or one unreduced array per parameter."""

    count: Array
    momentum: Any
    second: Any


def path_name(path: tuple) -> str:
    """The "/"-joined name of a tree path, for example `encoder/block/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def factored_axes(shape: tuple[int, ...], smallest: int) -> tuple[int, int] | None:
    """(second-largest axis, largest axis), or None if either is below `smallest`.

    Among axes of one size the last counts as the largest.
    """
    if len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))
    return None if shape[order[-2]] < smallest else (order[-2], order[-1])


def adafactor(
    *,
    momentum: float = 0.9,
    momentum_dtype: Any = jnp.bfloat16,
    decay_exponent: float = 0.8,
    decay_cap: float = 0.95,
    smallest_factored: int = 32,
    epsilon: float = 1e-30,
    stacked: Callable[[str], bool] = lambda name: False,
) -> optax.GradientTransformation:
    """Adafactor's direction: no parameter scaling, no update clipping, momentum.

    Shazeer and Stern 2018 (arXiv 1804.04235) with the decay
    `min(decay_cap, 1 - t^-decay_exponent)`, t = 1 at the first update, and an average
    of the updates without bias correction, as in the ViT-scaling and UViM papers.

    - Arrays whose two largest axes have `smallest_factored` entries or more keep means
      over each of these two axes instead of full second moments; all other axes stay
      unreduced.
    - The first axis of an array whose path `stacked` is true for is one of layers: it stays
      unreduced however long it is, so that every layer has what it would have by itself.
    - The average is kept in `momentum_dtype`, and so is the factor `momentum` (0.9 acts
      as 0.8984375 in bfloat16); it is computed in float32, and the unrounded value is
      the direction.
    """
    kept = float(jnp.asarray(momentum, momentum_dtype))

    def axes_of(path, shape):
        first = int(stacked(path_name(path)))
        axes = factored_axes(shape[first:], smallest_factored)
        return axes and (axes[0] + first, axes[1] + first)

    def init(params: Tree) -> AdafactorState:
        def second(path, p):
            axes = axes_of(path, p.shape)
            if axes is None:
                return jnp.zeros(p.shape, jnp.float32)
            without = [p.shape[:a] + p.shape[a + 1 :] for a in reversed(axes)]
            return Factored(*(jnp.zeros(shape, jnp.float32) for shape in without))

        average = jax.tree.map(lambda p: jnp.zeros(p.shape, momentum_dtype), params)
        count = jnp.zeros((), jnp.int32)
        seconds = jax.tree_util.tree_map_with_path(second, params)
        return AdafactorState(count, average, seconds)

    def update(updates: Tree, state: Any, params: Tree | None = None):
        del params
        t = (state.count + 1).astype(jnp.float32)
        decay = jnp.minimum(decay_cap, 1.0 - t**-decay_exponent)

        def leaf(path, g, average, second):
            g = g.astype(jnp.float32)
            axes = axes_of(path, g.shape)
            second, scaled = _scale(g, second, axes, decay, epsilon)
            new = kept * average.astype(jnp.float32) + (1 - momentum) * scaled
            return new, new.astype(momentum_dtype), second

        pairs, tree = jax.tree.flatten_with_path(updates)
        averages = tree.flatten_up_to(state.momentum)
        seconds = tree.flatten_up_to(state.second)
        results = [
            leaf(*pair, average, second)
            for pair, average, second in zip(pairs, averages, seconds, strict=True)
        ]
        new, average, second = (
            tree.unflatten(column) for column in zip(*results, strict=True)
        )
        return new, AdafactorState(state.count + 1, average, second)

    return optax.GradientTransformation(init, update)


def _scale(g, second, axes: tuple[int, int] | None, decay, epsilon):
    """Updated second moments, and g / sqrt(their estimate)."""
    if axes is None:
        second = decay * second + (1 - decay) * (jnp.square(g) + epsilon)
        return second, g * jax.lax.rsqrt(second)
    next_largest, largest = axes

    def running(old, axis):
        mean = _sum_of_squares(g, axis) / g.shape[axis]
        return decay * old + (1 - decay) * (mean + epsilon)

    row, column = running(second.row, largest), running(second.column, next_largest)
    inner = next_largest - (next_largest > largest)
    row_scale = jax.lax.rsqrt(row / jnp.mean(row, axis=inner, keepdims=True))
    scaled = (
        g
        * jnp.expand_dims(row_scale, largest)
        * jnp.expand_dims(jax.lax.rsqrt(column), next_largest)
    )
    return Factored(row, column), scaled


def _sum_of_squares(g, axis: int):
    """Sum of squares over one axis.

    XLA's reduction over the first axis of a wide matrix strides through memory on a
    CPU (60 ms for 192 x 60,000); adding row after row takes 2 ms.
    """
    whole = functools.partial(jnp.sum, axis=axis)
    if axis != 0 or g.size // g.shape[0] < 8192:
        return whole(jnp.square(g))

    def by_row(g):
        def add(total, row):
            return total + jnp.square(row), None

        return jax.lax.scan(add, jnp.zeros(g.shape[1:], g.dtype), g)[0]

    return jax.lax.platform_dependent(
        g, cpu=by_row, default=lambda g: whole(jnp.square(g))
    )
