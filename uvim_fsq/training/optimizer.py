"""Adafactor and AdamW in UViM's composition of clipping, groups, decay and schedule.

For every parameter array, with the direction `u` of Adafactor or AdamW,

    new = param - schedule(t) * (learning_rate * multiplier * u + weight_decay * param)

where the weight decay touches arrays named `kernel` only and is multiplied neither by
the learning rate nor by the group's multiplier. t = 0 at the first update.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from uvim_fsq.training.schedule import Schedule
from uvim_fsq.types import Array, Float, Tree


class Optimizer(NamedTuple):
    """What a training step needs: `init(params)`, `update(grads, state, params)` and
    `trainable(params)`, a tree of bools that is False for frozen arrays (multiplier 0).

    `update` returns the amounts to add to the parameters, and the new state.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]
    trainable: Callable[[Tree], Tree]


class Factored(NamedTuple):
    """Running means of squared gradients over the largest and second-largest axis."""

    row: Array
    column: Array


class AdafactorState(NamedTuple):
    """`second` has a `Factored` pair or one unreduced array per parameter."""

    count: Array
    momentum: Any
    second: Any


class OptimizerState(NamedTuple):
    """`count` finished updates; `direction` is the state of Adafactor or AdamW."""

    count: Array
    direction: Any


def path_name(path: tuple) -> str:
    """The "/"-joined name of a tree path, for example `encoder/block/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def global_norm(tree: Tree) -> Float[Array, ""]:
    """Euclidean norm of all arrays of a tree taken as one vector, in float32."""
    squares = [
        jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)
    ]
    return jnp.sqrt(sum(squares, jnp.float32(0)))


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
) -> optax.GradientTransformation:
    """Adafactor's direction: no parameter scaling, no update clipping, momentum.

    Shazeer and Stern 2018 (arXiv 1804.04235) with the decay
    `min(decay_cap, 1 - t^-decay_exponent)`, t = 1 at the first update, and an average
    of the updates without bias correction, as in the ViT-scaling and UViM papers.

    - Arrays whose two largest axes have `smallest_factored` entries or more keep means
      over each of these two axes instead of full second moments; all other axes, such
      as a leading axis of stacked layers, stay unreduced.
    - The average is kept in `momentum_dtype`, and so is the factor `momentum` (0.9 acts
      as 0.8984375 in bfloat16); it is computed in float32, and the unrounded value is
      the direction.
    """
    kept = float(jnp.asarray(momentum, momentum_dtype))

    def init(params: Tree) -> AdafactorState:
        def second(p):
            axes = factored_axes(p.shape, smallest_factored)
            if axes is None:
                return jnp.zeros(p.shape, jnp.float32)
            without = [p.shape[:a] + p.shape[a + 1 :] for a in reversed(axes)]
            return Factored(*(jnp.zeros(shape, jnp.float32) for shape in without))

        average = jax.tree.map(lambda p: jnp.zeros(p.shape, momentum_dtype), params)
        count = jnp.zeros((), jnp.int32)
        return AdafactorState(count, average, jax.tree.map(second, params))

    def update(updates: Tree, state: Any, params: Tree | None = None):
        del params
        t = (state.count + 1).astype(jnp.float32)
        decay = jnp.minimum(decay_cap, 1.0 - t**-decay_exponent)

        def leaf(g, average, second):
            g = g.astype(jnp.float32)
            axes = factored_axes(g.shape, smallest_factored)
            if axes is None:
                second = decay * second + (1 - decay) * (jnp.square(g) + epsilon)
                scaled = g * jax.lax.rsqrt(second)
            else:
                second, scaled = _scale_factored(g, second, axes, decay, epsilon)
            new = kept * average.astype(jnp.float32) + (1 - momentum) * scaled
            return new, new.astype(momentum_dtype), second

        leaves, tree = jax.tree.flatten(updates)
        averages = tree.flatten_up_to(state.momentum)
        seconds = tree.flatten_up_to(state.second)
        results = [leaf(*x) for x in zip(leaves, averages, seconds, strict=True)]
        new, average, second = (
            tree.unflatten(column) for column in zip(*results, strict=True)
        )
        return new, AdafactorState(state.count + 1, average, second)

    return optax.GradientTransformation(init, update)


def _scale_factored(g, second: Factored, axes: tuple[int, int], decay, epsilon):
    """Updated row and column means, and g / sqrt(row x column / mean of row)."""
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


def adamw(
    *, b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """Adam's direction with bias correction; `make_optimizer` adds the decoupled decay."""
    return optax.scale_by_adam(b1=b1, b2=b2, eps=epsilon)


def make_optimizer(
    direction: optax.GradientTransformation,
    *,
    learning_rate: float | int,
    schedule: Schedule | Sequence[tuple[str, Schedule]],
    weight_decay: float | int = 0.0,
    multipliers: Sequence[tuple[str, float | int]] = (),
    clip_norm: float | int | None = None,
) -> Optimizer:
    """The whole optimizer around a direction such as `adafactor()` or `adamw()`.

    - `multipliers` are pairs (regular expression, factor of the learning rate). An
      expression must match the full path `a/b/kernel`; the first that matches counts,
      and 1 if none does. 0 freezes: no update, no weight decay, no state, and no part
      in the gradient's norm.
    - `schedule` is one schedule, or pairs (regular expression, schedule) of which some
      expression must match every path.
    - `clip_norm` scales the gradients down to this global norm before anything else.

    Raises ValueError for a pattern that matches no parameter: most likely a misspelling.
    """
    groups = [(re.compile(pattern), factor) for pattern, factor in multipliers]
    schedules = [(".*", schedule)] if callable(schedule) else schedule
    timed = [(re.compile(pattern), function) for pattern, function in schedules]

    def factor_of(name: str) -> float:
        found = (f for pattern, f in groups if pattern.fullmatch(name))
        return float(next(found, 1.0))

    def schedule_of(name: str) -> int:
        for index, (pattern, _) in enumerate(timed):
            if pattern.fullmatch(name):
                return index
        raise ValueError(f"no schedule's pattern matches the parameter {name!r}.")

    def trainable(params: Tree) -> Tree:
        names = [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
        for pattern, _ in groups:
            if not any(pattern.fullmatch(name) for name in names):
                raise ValueError(
                    f"the multiplier pattern {pattern.pattern!r} matches no parameter; "
                    f"paths look like {names[0]!r}. Patterns match the full path."
                )
        for name in names:
            schedule_of(name)
        return jax.tree.unflatten(
            jax.tree.structure(params), [factor_of(name) != 0 for name in names]
        )

    def init(params: Tree) -> OptimizerState:
        kept = select(params, trainable(params))
        return OptimizerState(jnp.zeros((), jnp.int32), direction.init(kept))

    def update(grads: Tree, state: OptimizerState, params: Tree):
        mask = trainable(params)
        grads = select(grads, mask)
        if clip_norm is not None:
            scale = clip_norm / jnp.maximum(clip_norm, global_norm(grads))
            grads = jax.tree.map(lambda g: g * scale, grads)
        moves, inner = direction.update(grads, state.direction, select(params, mask))
        now = [function(state.count) for _, function in timed]

        def leaf(path, p, move):
            if move is None:
                return jnp.zeros_like(p)
            name = path_name(path)
            move = learning_rate * factor_of(name) * move
            if weight_decay and name.split("/")[-1] == "kernel":
                move = move + weight_decay * p
            return (-now[schedule_of(name)] * move).astype(p.dtype)

        updates = jax.tree_util.tree_map_with_path(
            leaf, params, moves, is_leaf=lambda x: x is None
        )
        return updates, OptimizerState(state.count + 1, inner)

    return Optimizer(init, update, trainable)


def select(tree: Tree, mask: Tree) -> Tree:
    """The tree with None (no leaf) where the mask is False."""
    return jax.tree.map(lambda x, keep: x if keep else None, tree, mask)
