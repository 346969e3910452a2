"""Softmax cross-entropy with integer labels, the classes on any axis."""

import jax
import jax.numpy as jnp

from uvim_fsq.types import Array, Float, Int


def softmax_cross_entropy(
    logits: Float[Array, "*b v x"], labels: Int[Array, "*b x"]
) -> Float[Array, "*b x"]:
    """`logsumexp_v(logits) - logits[label]`, in float32; 0 for a label outside [0, v).

    The label's logit is picked by a masked sum, not by a gather: its gradient then fuses with
    the softmax's, where a gather's would be a scatter.
    """
    logits = logits.astype(jnp.float32)
    classes = logits.shape[-2]
    labels = labels.astype(jnp.int32)
    is_label = jnp.expand_dims(labels, -2) == jnp.arange(classes).reshape(
        (1,) * (labels.ndim - 1) + (classes, 1)
    )
    picked = jnp.where(is_label, logits, 0.0).sum(-2)
    inside = (labels >= 0) & (labels < classes)
    return jnp.where(inside, jax.nn.logsumexp(logits, axis=-2) - picked, 0.0)
