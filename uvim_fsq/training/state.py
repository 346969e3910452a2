"""Everything that a training run carries from one step to the next, in one dataclass."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from uvim_fsq.training.optimizer import Optimizer
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class TrainState:
    """The state of a run; a pytree, saved and restored as one.

    `step` counts finished updates (int32) and is also the position in the data;
    `collections` holds what a model changes without gradients (the VQ codebook);
    `average` is the moving average of the parameters that `make_step` describes, a tree
    like `params` in float32, or empty without one. Then it is no part of the pytree:
    checkpoints without an average are those of runs that know of none.
    """

    # No array types here: JAX maps such a class to shapes, shardings and booleans too.
    step: Any
    params: Any
    collections: Any
    opt_state: Any
    average: Any = field(default_factory=dict)

    @property
    def averaged(self) -> bool:
        """Whether there is an average."""
        return not (isinstance(self.average, dict) and not self.average)

    @property
    def weights(self) -> Any:
        """The parameters to use the model with: the average, if there is one."""
        return self.average if self.averaged else self.params

    def replace(self, **changes: Any) -> "TrainState":
        """A copy with other values."""
        return dataclasses.replace(self, **changes)


def _flatten(state: TrainState) -> tuple[tuple, tuple[str, ...]]:
    names = tuple(f.name for f in dataclasses.fields(state))
    names = names if state.averaged else names[:-1]
    return tuple(getattr(state, name) for name in names), names


def _flatten_with_keys(state: TrainState) -> tuple[tuple, tuple[str, ...]]:
    values, names = _flatten(state)
    keys = map(jax.tree_util.GetAttrKey, names)
    return tuple(zip(keys, values, strict=True)), names


jax.tree_util.register_pytree_with_keys(
    TrainState,
    _flatten_with_keys,
    lambda names, values: TrainState(**dict(zip(names, values, strict=True))),
    _flatten,
)


def create_state(
    params: Tree, collections: Tree, optimizer: Optimizer, *, averaged: bool = False
) -> TrainState:
    """The state before the first step; an average starts as a copy of the parameters.

    The arrays are copied: the training step overwrites (donates) those of the state,
    and the caller may still need its own.
    """

    def build(params, collections):
        step = jnp.zeros((), jnp.int32)
        average = jax.tree.map(jnp.float32, params) if averaged else {}
        return TrainState(step, params, collections, optimizer.init(params), average)

    return jax.jit(build)(params, collections)


def abstract_state(
    params: Tree, collections: Tree, optimizer: Optimizer, *, averaged: bool = False
) -> TrainState:
    """Shapes and dtypes of `create_state`'s result, from arrays or abstract arrays."""
    return jax.eval_shape(
        lambda p, c: create_state(p, c, optimizer, averaged=averaged),
        params,
        collections,
    )
