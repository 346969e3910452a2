"""From the logits of both panoptic channels to instances with one class each."""

import jax
import jax.numpy as jnp

from uvim_fsq.types import Array, Float, Int


def one_class_per_instance(
    semantics: Float[Array, "b p v x"],
    instances: Float[Array, "b p k x"],
    min_fraction: float,
) -> tuple[Int[Array, "b p x"], Int[Array, "b p x"]]:
    """The class and the instance of every pixel of whole pictures, int32, from their logits.

    A pixel's instance is the one with the largest logit, and an instance's class that with the
    largest sum of logits over its pixels. An instance whose share of the picture is not above
    `min_fraction` becomes class 0, instance 0. Instance 0 is no exception to any of it: it is void
    only if its class is. This is the rule of the published UViM models.
    """
    slots = instances.shape[-2]
    instances = jnp.argmax(instances, axis=-2)
    votes, areas = _votes(semantics, instances, slots)
    pixels = instances.shape[-1] * instances.shape[-2]
    kept = areas >= _smallest_area(min_fraction, pixels)
    classes = jnp.where(kept, jnp.argmax(votes, axis=-1), 0)
    numbers = jnp.where(kept, jnp.arange(slots)[None], 0)

    def of_pixels(values):
        picked = jnp.take_along_axis(values, instances.reshape(len(values), -1), 1)
        return picked.reshape(instances.shape).astype(jnp.int32)

    return of_pixels(classes), of_pixels(numbers)


def _votes(
    logits: Float[Array, "b p v x"], instances: Int[Array, "b p x"], slots: int
) -> tuple[Float[Array, "b k v"], Float[Array, "b k"]]:
    """Sums of the logits over each instance's pixels, and the pixels of each instance.

    A product with one-hot instances, a patch at a time, which holds nothing beyond one patch and
    the sums; the one-hot instances of all pixels would take as much memory as their logits.
    """
    batch, patches, classes, _ = logits.shape

    def add_patch(patch, sums):
        of_patch = jax.lax.dynamic_index_in_dim(instances, patch, 1, keepdims=False)
        values = jax.lax.dynamic_index_in_dim(logits, patch, 1, keepdims=False)
        onehot = jax.nn.one_hot(of_patch, slots, axis=1)
        votes = jnp.einsum(
            "bkx,bvx->bkv", onehot, values.astype(jnp.float32), precision="highest"
        )
        return sums[0] + votes, sums[1] + onehot.sum(-1)

    zeros = jnp.zeros((batch, slots, classes)), jnp.zeros((batch, slots))
    return jax.lax.fori_loop(0, patches, add_patch, zeros)


def _smallest_area(min_fraction: float, pixels: int) -> int:
    """The fewest pixels, at least 1, whose share of all is above `min_fraction`."""
    area = max(1, int(min_fraction * pixels) - 1)
    while area / pixels <= min_fraction:
        area += 1
    return area
