"""Everything that a training run carries from one step to the next, in one dataclass."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from uvim_fsq.training.optimizer import Optimizer
from uvim_fsq.types import Tree


@flax.struct.dataclass
class TrainState:
    """The state of a run; a pytree, saved and restored as one.

    `step` counts finished updates (int32) and is also the position in the data;
    `collections` holds what a model changes without gradients (the VQ codebook).
    """

    # No array types here: JAX maps such a class to shapes, shardings and booleans too.
    step: Any
    params: Any
    collections: Any
    opt_state: Any


def create_state(params: Tree, collections: Tree, optimizer: Optimizer) -> TrainState:
    """The state before the first step.

    The arrays are copied: the training step overwrites (donates) those of the state,
    and the caller may still need its own.
    """

    def build(params, collections):
        step = jnp.zeros((), jnp.int32)
        return TrainState(step, params, collections, optimizer.init(params))

    return jax.jit(build)(params, collections)


def abstract_state(params: Tree, collections: Tree, optimizer: Optimizer) -> TrainState:
    """Shapes and dtypes of `create_state`'s result, from arrays or abstract arrays."""
    return jax.eval_shape(
        lambda p, c: create_state(p, c, optimizer), params, collections
    )
