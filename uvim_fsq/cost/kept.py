"""What the backward pass needs of the forward pass, read off the loss function's own trace."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from uvim_fsq.cost.parameters import size
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.training.optimizer import select
from uvim_fsq.types import Tree

_IMAGES = 10_007
"""A batch to trace with: a prime, so that no other axis is likely to be a multiple of it."""


class Kept(NamedTuple):
    """Bytes kept between the passes: `fixed + images * per_image`."""

    fixed: int
    per_image: int


def kept_by_pass(models: Models, stage: Stage, mask: Tree) -> list[Kept]:
    """What is left when the backward pass enters the decoder, and then stage II's encoder.

    `mask` is False for parameters without a gradient. The loss is differentiated abstractly; the
    arrays that its backward pass closes over, weights and inputs aside, are what has to stay. In
    stage I, whose layers are all alike, the moment when the decoder is entered is the fullest.
    """
    model, loss_function = stage.model, models.loss_function(stage)
    kept = [_kept(models, stage, mask, lambda *inputs: loss_function(*inputs)[0])]

    def encode(params, collections, frozen, batch, key):
        del collections, frozen, key
        image = scale_image(batch["image"])
        return model.apply({"params": params}, image, method="encode")

    if isinstance(model, Stage2Model):
        kept.append(_kept(models, stage, mask, encode))
    return kept


def _kept(
    models: Models, stage: Stage, mask: Tree, function: Callable[..., Any]
) -> Kept:
    def backward(params, *rest):
        def value(trained):
            merged = jax.tree.map(
                lambda mine, other: other if mine is None else mine,
                *(trained, params),
                is_leaf=lambda leaf: leaf is None,
            )
            return function(merged, *rest)

        return jax.vjp(value, select(params, mask))[1]

    key = jax.eval_shape(lambda: jax.random.key(0))
    rest = (stage.collections, stage.frozen, models.batch(_IMAGES), key)
    trace = jax.make_jaxpr(backward)(stage.params, *rest).jaxpr
    inputs = {id(variable) for variable in (*trace.invars, *trace.constvars)}
    # The same array may serve several products; it is kept once. Literals take no memory.
    arrays = {
        id(variable): variable.aval
        for variable in trace.outvars
        if id(variable) not in inputs and not hasattr(variable, "val")
    }
    growing = [array for array in arrays.values() if array.size % _IMAGES == 0]
    per_image = size(growing) // _IMAGES
    return Kept(size(list(arrays.values())) - _IMAGES * per_image, per_image)
