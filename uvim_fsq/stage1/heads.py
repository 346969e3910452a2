"""The loss of the output heads, in chunks under a memory bound.

At 512 x 512 a stage-I head has 65,536 logits per token. Logits, softmax and their gradient of a
whole batch would be the largest arrays of the program by far. A mean loss, however, has a
gradient that is known up to a factor as soon as the loss is: so each chunk of patches computes
its loss *and* its gradients in one go, only their sums are kept, and the backward pass merely
multiplies. Nothing is computed twice.
"""

from collections.abc import Callable, Mapping
from functools import partial

import einops
import jax
import jax.numpy as jnp

from uvim_fsq.stage1.model import apply_head
from uvim_fsq.types import Array, DType, Float, Num, Tree

TaskLoss = Callable[[Mapping[str, Array], Mapping[str, Array]], Mapping[str, Array]]
"""Per-pixel losses by channel of outputs (..., classes, pixels) and planes (..., pixels)."""


def number_of_chunks(patches: int, bytes_per_patch: int, limit: int) -> int:
    """The fewest equal chunks of patches that keep one chunk's logits within `limit` bytes."""
    for chunks in range(1, patches + 1):
        if patches % chunks == 0 and patches // chunks * bytes_per_patch <= limit:
            return chunks
    return patches


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def head_loss(
    task_loss: TaskLoss,
    chunks: int,
    dtype: DType,
    tokens: Float[Array, "b p d"],
    heads: Mapping[str, Mapping[str, Array]],
    planes: Mapping[str, Num[Array, "b p x *v"]],
    weights: Float[Array, " b"],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Weighted sums over all pixels of the losses: their total, and by channel.

    Args:
      task_loss: the per-pixel losses, see `TaskLoss`.
      chunks: into how many equal parts the patches are cut.
      dtype: of the heads' matrix products.
      tokens: what the heads read.
      heads: parameters by channel, `kernel` (d v x) and `bias` (v x).
      planes: the target's patches by channel.
      weights: of each example.

    Returns:
      The total, which is differentiable with respect to `tokens` and `heads`, and the sums by
      channel, which are for reporting and carry no gradient.
    """

    def add(sums, chunk):
        new = _chunk_loss(task_loss, dtype, *chunk[:1], heads, chunk[1], weights)
        return jax.tree.map(jnp.add, sums, new), None

    zeros = (jnp.zeros(()), {name: jnp.zeros(()) for name in heads})
    return _over_chunks(add, zeros, tokens, planes, chunks)[0]


def _chunk_loss(task_loss, dtype, tokens, heads, planes, weights):
    outputs = {name: apply_head(head, tokens, dtype) for name, head in heads.items()}
    losses = task_loss(outputs, planes)
    sums = {
        name: jnp.einsum("bp...,b->", loss.astype(jnp.float32), weights)
        for name, loss in losses.items()
    }
    return sum(sums.values(), jnp.zeros(())), sums


def _over_chunks(function, carry, tokens, planes, chunks):
    if chunks == 1:
        return function(carry, (tokens, planes))
    cut = jax.tree.map(
        lambda array: einops.rearrange(array, "b (i p) ... -> i b p ...", i=chunks),
        (tokens, planes),
    )
    return jax.lax.scan(function, carry, cut)


def _forward(task_loss, chunks, dtype, tokens, heads, planes, weights):
    def add(carry, chunk):
        sums, head_gradients = carry
        (total, by_channel), (token_gradient, new_gradients) = jax.value_and_grad(
            lambda tokens, heads: _chunk_loss(
                task_loss, dtype, tokens, heads, chunk[1], weights
            ),
            argnums=(0, 1),
            has_aux=True,
        )(chunk[0], heads)
        sums = jax.tree.map(jnp.add, sums, (total, by_channel))
        if head_gradients is not None:
            new_gradients = jax.tree.map(jnp.add, head_gradients, new_gradients)
        return (sums, new_gradients), token_gradient

    sums: Tree = (jnp.zeros(()), {name: jnp.zeros(()) for name in heads})
    start = None if chunks == 1 else jax.tree.map(jnp.zeros_like, heads)
    (sums, head_gradients), token_gradient = _over_chunks(
        add, (sums, start), tokens, planes, chunks
    )
    if chunks > 1:
        token_gradient = einops.rearrange(token_gradient, "i b p d -> b (i p) d")
    return sums, (token_gradient, head_gradients)


def _backward(task_loss, chunks, dtype, gradients, cotangents):
    factor, _ = cotangents
    tokens, heads = jax.tree.map(lambda g: (g * factor).astype(g.dtype), gradients)
    return tokens, heads, None, None


head_loss.defvjp(_forward, _backward)
