"""Adafactor and AdamW in UViM's composition of clipping, groups, decay and schedule.

For every parameter array, with the direction `u` of Adafactor or AdamW,

    new = param - schedule(t) * (learning_rate * multiplier * u + weight_decay * param)

where the weight decay touches arrays named `kernel` only and is multiplied neither by
the learning rate nor by the group's multiplier. t = 0 at the first update.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from uvim_fsq.training.adafactor import adafactor, path_name
from uvim_fsq.training.schedule import Schedule
from uvim_fsq.types import Array, Float, Tree

__all__ = ["Optimizer", "OptimizerState", "adafactor", "adamw", "make_optimizer"]


class Optimizer(NamedTuple):
    """What a training step needs: `init(params)`, `update(grads, state, params)` and
    `trainable(params)`, a tree of bools that is False for frozen arrays (multiplier 0).

    `update` returns the amounts to add to the parameters, and the new state.
    """

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree], tuple[Tree, Tree]]
    trainable: Callable[[Tree], Tree]


class OptimizerState(NamedTuple):
    """`count` finished updates; `direction` is the state of Adafactor or AdamW."""

    count: Array
    direction: Any


def global_norm(tree: Tree) -> Float[Array, ""]:
    """Euclidean norm of all arrays of a tree taken as one vector, in float32."""
    squares = [
        jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)
    ]
    return jnp.sqrt(sum(squares, jnp.float32(0)))


def adamw(
    *, b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    """Adam's direction with bias correction; `make_optimizer` adds the decoupled decay."""
    return optax.scale_by_adam(b1=b1, b2=b2, eps=epsilon)


class _Groups:
    """Which multiplier and which schedule each parameter has, by its path."""

    def __init__(
        self,
        multipliers: Sequence[tuple[str, float | int]],
        schedule: Schedule | Sequence[tuple[str, Schedule]],
    ):
        pairs = [(".*", schedule)] if callable(schedule) else schedule
        self.factors = [(re.compile(p), float(factor)) for p, factor in multipliers]
        self.schedules = [(re.compile(p), function) for p, function in pairs]

    def factor(self, name: str) -> float:
        """The multiplier of the first matching pattern, or 1."""
        found = (f for pattern, f in self.factors if pattern.fullmatch(name))
        return next(found, 1.0)

    def schedule(self, name: str) -> int:
        """The position of the first matching schedule."""
        for index, (pattern, _) in enumerate(self.schedules):
            if pattern.fullmatch(name):
                return index
        raise ValueError(f"no schedule's pattern matches the parameter {name!r}.")

    def trainable(self, params: Tree) -> Tree:
        """False where the multiplier is 0; checks that all patterns make sense."""
        names = [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
        for pattern, _ in self.factors:
            if not any(pattern.fullmatch(name) for name in names):
                raise ValueError(
                    f"the multiplier pattern {pattern.pattern!r} matches no parameter; "
                    f"paths look like {names[0]!r}. Patterns match the full path."
                )
        for name in names:
            self.schedule(name)
        return jax.tree.unflatten(
            jax.tree.structure(params), [self.factor(name) != 0 for name in names]
        )


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
    groups = _Groups(multipliers, schedule)
    trainable = groups.trainable

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
        now = [function(state.count) for _, function in groups.schedules]

        def leaf(path, p, move):
            if move is None:
                return jnp.zeros_like(p)
            name = path_name(path)
            move = learning_rate * groups.factor(name) * move
            if weight_decay and name.split("/")[-1] == "kernel":
                move = move + weight_decay * p
            return (-now[groups.schedule(name)] * move).astype(p.dtype)

        updates = jax.tree_util.tree_map_with_path(
            leaf, params, moves, is_leaf=lambda x: x is None
        )
        return updates, OptimizerState(state.count + 1, inner)

    return Optimizer(init, update, trainable)


def select(tree: Tree, mask: Tree) -> Tree:
    """The tree with None (no leaf) where the mask is False."""
    return jax.tree.map(lambda x, keep: x if keep else None, tree, mask)
