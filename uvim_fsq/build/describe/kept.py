"""What the backward pass needs of the forward pass, read off the loss function's own trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from uvim_fsq.build.describe.models import Models, Stage
from uvim_fsq.build.describe.parameters import array_size
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class Kept:
    """Bytes kept between the passes: `fixed + images * per_image`."""

    fixed: int
    per_image: int

    def bytes(self, images: int) -> int:
        """For so many images at once."""
        return self.fixed + images * self.per_image


def kept_by_stage(models: Models, stage: Stage, mask: Tree) -> Kept:
    """What a stage keeps for its gradient; `mask` is False for parameters without one.

    The loss is differentiated abstractly, for one image and for two; the arrays that its backward
    pass closes over, weights and inputs aside, are what has to stay. Their sizes grow evenly with
    the images, whatever is kept of a layer.
    """
    loss_function = models.loss_function(stage)
    one, two = (
        _kept_bytes(loss_function, stage, models.batch(images), mask)
        for images in (1, 2)
    )
    return Kept(2 * one - two, two - one)


def _kept_bytes(
    loss_function: Callable[..., Any], stage: Stage, batch: Tree, mask: Tree
) -> int:
    leaves, tree = jax.tree.flatten(stage.params)
    moved = jax.tree.leaves(mask)

    def backward(params, collections, frozen, batch, key):
        def loss(trained):
            given = iter(trained)
            merged = [
                next(given) if is_moved else leaf
                for leaf, is_moved in zip(params, moved, strict=True)
            ]
            params_tree = jax.tree.unflatten(tree, merged)
            return loss_function(params_tree, collections, frozen, batch, key)

        trained = [
            leaf for leaf, is_moved in zip(params, moved, strict=True) if is_moved
        ]
        _, pull_back, _ = jax.vjp(loss, trained, has_aux=True)
        return pull_back

    key = jax.eval_shape(lambda: jax.random.key(0))
    trace = jax.make_jaxpr(backward)(
        leaves, stage.collections, stage.frozen, batch, key
    ).jaxpr
    inputs = {id(variable) for variable in (*trace.invars, *trace.constvars)}
    # The same array may serve several products; it is kept once. Literals take no memory.
    arrays = {
        id(variable): variable.aval
        for variable in trace.outvars
        if id(variable) not in inputs and not hasattr(variable, "val")
    }
    return sum(array_size(array) for array in arrays.values())
