"""What the backward pass needs of the forward pass, read off the loss function's own trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from uvim_fsq.build.describe.models import Models, Stage
from uvim_fsq.build.describe.parameters import array_size
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.stage1.objective import split_planes
from uvim_fsq.types import Tree


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

    The loss is differentiated abstractly, for one image and for two; the arrays that its backward
    pass closes over, weights and inputs aside, are what has to stay. Their sizes grow evenly with
    the images, whatever is kept of a layer. The encoder alone is differentiated likewise.
    """
    loss_function = models.loss_function(stage)

    def loss(params, collections, frozen, batch, key):
        return loss_function(params, collections, frozen, batch, key)[0]

    def encoded(params, collections, frozen, batch, key):
        del frozen, key
        image = scale_image(batch["image"])
        variables = {"params": params, **collections}
        if stage is not models.stage1:
            return models.code_model.apply(variables, image, method="encode")
        planes = split_planes(batch["planes"], models.autoencoder.channels)
        return models.autoencoder.apply(variables, planes, image, method="latent")

    return KeptByPass(
        _kept(models, stage, mask, loss), _kept(models, stage, mask, encoded)
    )


def _kept(
    models: Models, stage: Stage, mask: Tree, function: Callable[..., Any]
) -> Kept:
    key = jax.eval_shape(lambda: jax.random.key(0))
    one, two = (
        _kept_bytes(
            function,
            stage.params,
            mask,
            (stage.collections, stage.frozen, models.batch(images), key),
        )
        for images in (1, 2)
    )
    return Kept(2 * one - two, two - one)


def _kept_bytes(
    function: Callable[..., Any], params: Tree, mask: Tree, rest: tuple
) -> int:
    """Bytes that the backward pass of `function(params, *rest)` closes over."""
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
    return sum(array_size(array) for array in arrays.values())
