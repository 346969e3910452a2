"""What stage I minimizes: the task's loss of the reconstruction, and the commitment loss."""

import math
from collections.abc import Callable, Mapping
from typing import cast

import jax.numpy as jnp

from uvim_fsq.models.uvim.stage1.heads import TaskLoss, head_loss, number_of_chunks
from uvim_fsq.models.uvim.stage1.model import Stage1Model, Stage1Output
from uvim_fsq.nn.patches import patchify, scale_image
from uvim_fsq.quantizers.usage import batch_usage
from uvim_fsq.types import Array, Key, Num, Tree

LossFunction = Callable[
    [Tree, Tree, Tree, Mapping[str, Array], Key | None], tuple[Array, tuple[Tree, dict]]
]


def split_planes(
    planes: Num[Array, "b h w c"], channels: Mapping[str, int]
) -> dict[str, Array]:
    """Splits the batch's planes by channel.

    Integer planes hold one channel each (b h w); float planes are the values of the one
    continuous channel (b h w v).
    """
    if jnp.issubdtype(planes.dtype, jnp.floating):
        (name,) = channels
        return {name: planes}
    return {name: planes[..., i] for i, name in enumerate(channels)}


def stage1_loss(
    model: Stage1Model, task_loss: TaskLoss, *, chunk_bytes: int, train: bool = True
) -> LossFunction:
    """The loss function of stage I: `(params, collections, frozen, batch, key) -> loss, ...`.

    `loss = mean over examples and pixels of the sum over channels of the task's loss, plus the
    quantizer's loss`. `batch` holds `image` uint8, `planes` and, where examples are padded,
    `mask`; `frozen` is not used. Metrics: `loss_<channel>`, `loss_quantizer` and the usage and
    perplexity of the codebook within the batch.

    Args:
      model: the autoencoder.
      task_loss: per-pixel losses by channel.
      chunk_bytes: bound on the float32 logits that are held at once.
      train: with code dropout and the quantizer's statistics; False to score held-out data.
    """
    pixels = math.prod(model.image_size)
    patch_pixels = math.prod(model.patch_size)
    logits_per_pixel = sum(model.channels.values())

    def loss_function(params, collections, frozen, batch, key):
        image = scale_image(batch["image"])
        planes = split_planes(batch["planes"], model.channels)
        variables = {"params": params, **collections}
        real = None
        if "mask" in batch:
            shape = (image.shape[0], model.code_length)
            real = jnp.broadcast_to(batch["mask"][:, None] > 0, shape)
        output = cast(
            Stage1Output,
            model.apply(variables, planes, image, train=train, key=key, mask=real),
        )
        patches = {
            name: patchify(plane, model.patch_size) for name, plane in planes.items()
        }
        heads = {name: params[f"head_{name}"] for name in model.channels}
        weights = batch.get("mask", jnp.ones(image.shape[0])).astype(jnp.float32)
        tokens = output.tokens
        chunks = number_of_chunks(
            patch_pixels,
            4 * math.prod(tokens.shape[:2]) * logits_per_pixel,
            chunk_bytes,
        )
        sums: tuple[Array, dict] = head_loss(
            task_loss, chunks, model.dtype, tokens, heads, patches, weights
        )
        total, by_channel = sums
        scale = 1 / (pixels * weights.sum())
        metrics = {f"loss_{name}": loss * scale for name, loss in by_channel.items()}
        quantized = output.quantized
        size = model.quantizer.codebook_size
        if size is not None:
            usage, perplexity = batch_usage(quantized.indices, size, real)
            metrics["batch_codebook_usage"] = usage
            metrics["batch_codebook_perplexity"] = perplexity
        metrics["loss_quantizer"] = quantized.loss
        return total * scale + quantized.loss, (quantized.statistics, metrics)

    return loss_function
