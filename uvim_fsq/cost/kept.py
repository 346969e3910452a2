"""What the backward pass needs of the forward pass, read off the loss function's own trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from uvim_fsq.cost.parameters import array_size
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.types import Tree

_IMAGES = 10_007
"""A batch to trace with: a prime, so that no other axis is likely to be a multiple of it."""


@dataclass(frozen=True)
class Kept:
    """Bytes kept between the passes: `fixed + images * per_image`."""

    fixed: int
    per_image: int

    def bytes(self, images: int) -> int:
        """For so many images at once."""
        return self.fixed + images * self.per_image


class KeptByPass(NamedTuple):
    """What is left when the backward pass enters the decoder, and when it enters the encoder."""

    decoder: Kept
    encoder: Kept


def kept_by_stage(models: Models, stage: Stage, mask: Tree) -> KeptByPass:
    """What a stage keeps for its gradient; `mask` is False for parameters without one.

    The loss is differentiated abstractly; the arrays that its backward pass closes over, weights
    and inputs aside, are what has to stay. The encoder of stage II alone is differentiated
    likewise; in stage I the moment when the decoder is entered is always the fuller one.
    """
    loss_function = models.loss_function(stage)

    def loss(params, collections, frozen, batch, key):
        return loss_function(params, collections, frozen, batch, key)[0]

    def encoded(params, collections, frozen, batch, key):
        del collections, frozen, key
        image = scale_image(batch["image"])
        return models.code_model.apply({"params": params}, image, method="encode")

    whole = _kept(models, stage, mask, loss)
    if stage is models.stage1:
        return KeptByPass(whole, whole)
    return KeptByPass(whole, _kept(models, stage, mask, encoded))


def _kept(
    models: Models, stage: Stage, mask: Tree, function: Callable[..., Any]
) -> Kept:
    key = jax.eval_shape(lambda: jax.random.key(0))
    rest = (stage.collections, stage.frozen, models.batch(_IMAGES), key)
    fixed = per_image = 0
    for array in _kept_arrays(function, stage.params, mask, rest):
        if array.size % _IMAGES:
            fixed += array_size(array)
        else:
            per_image += array_size(array) // _IMAGES
    return Kept(fixed, per_image)


def _kept_arrays(
    function: Callable[..., Any], params: Tree, mask: Tree, rest: tuple
) -> list[Any]:
    """What the backward pass of `function(params, *rest)` closes over."""
    leaves, tree = jax.tree.flatten(params)
    moved = jax.tree.leaves(mask)

    def backward(leaves, rest):
        def value(trained):
            given = iter(trained)
            merged = [
                next(given) if is_moved else leaf
                for leaf, is_moved in zip(leaves, moved, strict=True)
            ]
            return function(jax.tree.unflatten(tree, merged), *rest)

        trained = [
            leaf for leaf, is_moved in zip(leaves, moved, strict=True) if is_moved
        ]
        return jax.vjp(value, trained)[1]

    trace = jax.make_jaxpr(backward)(leaves, rest).jaxpr
    inputs = {id(variable) for variable in (*trace.invars, *trace.constvars)}
    # The same array may serve several products; it is kept once. Literals take no memory.
    arrays = {
        id(variable): variable.aval
        for variable in trace.outvars
        if id(variable) not in inputs and not hasattr(variable, "val")
    }
    return list(arrays.values())
