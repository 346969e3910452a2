"""What stage II minimizes: the cross-entropy of the guiding code."""

from collections.abc import Callable, Mapping
from typing import cast

import jax.numpy as jnp

from uvim_fsq.models.uvim.stage2.model import Stage2Model, indices_to_tokens
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.nn.patches import scale_image
from uvim_fsq.types import Array, Key, Tree

EncodeTarget = Callable[[Tree, Mapping[str, Array]], Array]
"""`(frozen, batch) -> indices`: the frozen stage-I encoder."""


def stage2_loss(model: Stage2Model, encode_target: EncodeTarget):
    """The loss function of stage II: `(params, collections, frozen, batch, key) -> loss, ...`.

    `loss = mean over examples and positions of -log p(index | image, earlier indices)`, in nats.
    `frozen` holds stage I's variables, from which `encode_target` computes the indices; `batch`
    is stage I's. Metrics: `accuracy` of the most likely token given the true earlier ones.
    """

    def loss_function(params, collections, frozen, batch, key: Key | None):
        image = scale_image(batch["image"])
        indices = encode_target(frozen, batch)
        variables = {"params": params, **collections}
        logits = cast(Array, model.apply(variables, image, indices))
        tokens = indices_to_tokens(indices)
        losses = softmax_cross_entropy(logits[..., None], tokens[..., None])[..., 0]
        weights = batch.get("mask", jnp.ones(image.shape[0])).astype(jnp.float32)
        scale = 1 / (weights.sum() * tokens.shape[1])
        hits = (logits.argmax(-1) == tokens).astype(jnp.float32)
        accuracy = jnp.einsum("bn,b->", hits, weights) * scale
        return jnp.einsum("bn,b->", losses, weights) * scale, (
            {},
            {"accuracy": accuracy},
        )

    return loss_function
