"""What the backward pass needs of the forward pass, read off the loss function's own trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from uvim_fsq.cost.parameters import size
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.training.optimizer import select
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


def kept_by_pass(models: Models, stage: Stage, mask: Tree) -> tuple[Kept, Kept]:
    """What is left when the backward pass enters the decoder, and when it enters the encoder.

    `mask` is False for parameters without a gradient. The loss is differentiated abstractly; the
    arrays that its backward pass closes over, weights and inputs aside, are what has to stay. The
    encoder of stage II alone is differentiated likewise; in stage I the moment when the decoder is
    entered is always the fuller one.
    """
    loss_function, model = models.loss_function(stage), stage.model

    def loss(*inputs):
        return loss_function(*inputs)[0]

    def encoded(params, collections, frozen, batch, key):
        del collections, frozen, key
        return model.apply(
            {"params": params}, scale_image(batch["image"]), method="encode"
        )

    whole = _kept(models, stage, mask, loss)
    if isinstance(model, Stage2Model):
        return whole, _kept(models, stage, mask, encoded)
    return whole, whole


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
