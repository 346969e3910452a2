"""The loss of the output heads, in chunks under a memory bound.

At 512 x 512 a stage-I head has 65,536 logits per token. Logits, softmax and their gradient of a
whole batch would be the largest arrays of the program by far. A mean loss, however, has a
gradient that is known up to a factor as soon as the loss is: so each chunk computes its loss
*and* its gradients in one go, only their sums are kept, and the backward pass merely multiplies.
Nothing is computed twice. A chunk is some pixels of every patch: each chunk then owns its slice
of the heads' kernels, whose gradient is written once, and only the tokens' small gradient is
added up over chunks.
"""

from collections.abc import Callable, Mapping
from functools import partial

import einops
import jax
import jax.numpy as jnp

from uvim_fsq.models.uvim.stage1.model import apply_head
from uvim_fsq.types import Array, DType, Float, Num, Tree

TaskLoss = Callable[[Mapping[str, Array], Mapping[str, Array]], Mapping[str, Array]]
"""Per-pixel losses by channel of outputs (..., classes, pixels) and planes (..., pixels)."""


def number_of_chunks(pixels: int, bytes_per_pixel: int, limit: int) -> int:
    """The fewest equal chunks of a patch's pixels that keep their logits within `limit` bytes."""
    for chunks in range(1, pixels + 1):
        if pixels % chunks == 0 and pixels // chunks * bytes_per_pixel <= limit:
            return chunks
    return pixels


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
      chunks: into how many equal parts the pixels of every patch are cut.
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
        heads, planes = chunk
        new = _chunk_loss(task_loss, dtype, tokens, heads, planes, weights)
        return jax.tree.map(jnp.add, sums, new), None

    zeros = (jnp.zeros(()), {name: jnp.zeros(()) for name in heads})
    if chunks == 1:
        return add(zeros, (heads, planes))[0]
    return jax.lax.scan(
        add, zeros, (_cut_heads(heads, chunks), _cut_planes(planes, chunks))
    )[0]


def _chunk_loss(task_loss, dtype, tokens, heads, planes, weights):
    outputs = {name: apply_head(head, tokens, dtype) for name, head in heads.items()}
    losses = task_loss(outputs, planes)
    sums = {
        name: jnp.einsum("bp...,b->", loss.astype(jnp.float32), weights)
        for name, loss in losses.items()
    }
    return sum(sums.values(), jnp.zeros(())), sums


def _cut_heads(heads, chunks):
    return jax.tree.map(
        lambda array: einops.rearrange(array, "... (i x) -> i ... x", i=chunks), heads
    )


def _join_heads(heads):
    return jax.tree.map(
        lambda array: einops.rearrange(array, "i ... x -> ... (i x)"), heads
    )


def _cut_planes(planes, chunks):
    return {
        name: einops.rearrange(plane, "b p (i x) ... -> i b p x ...", i=chunks)
        for name, plane in planes.items()
    }


def _forward(task_loss, chunks, dtype, tokens, heads, planes, weights):
    def add(carry, chunk):
        def loss(tokens, heads):
            return _chunk_loss(task_loss, dtype, tokens, heads, chunk[1], weights)

        gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        new_sums, (token_gradient, head_gradients) = gradient(tokens, chunk[0])
        new = (new_sums, token_gradient.astype(jnp.float32))
        return jax.tree.map(jnp.add, carry, new), head_gradients

    sums: Tree = (jnp.zeros(()), {name: jnp.zeros(()) for name in heads})
    start = (sums, jnp.zeros(tokens.shape, jnp.float32))
    if chunks == 1:
        (sums, token_gradient), head_gradients = add(start, (heads, planes))
    else:
        cut = (_cut_heads(heads, chunks), _cut_planes(planes, chunks))
        (sums, token_gradient), head_gradients = jax.lax.scan(add, start, cut)
        head_gradients = _join_heads(head_gradients)
    return sums, (token_gradient.astype(tokens.dtype), head_gradients)


def _backward(task_loss, chunks, dtype, gradients, cotangents):
    factor, _ = cotangents
    tokens, heads = jax.tree.map(lambda g: (g * factor).astype(g.dtype), gradients)
    return tokens, heads, None, None


head_loss.defvjp(_forward, _backward)
