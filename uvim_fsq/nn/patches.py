"""Between images and sequences of patches: the one place where pixels are rearranged.

A patch sequence runs over the grid row by row, and the pixels of a patch row by row too.
"""

import math
from functools import partial

import einops
import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.fields import Size
from uvim_fsq.nn.products import summed_product
from uvim_fsq.types import Array, DType, Float, Int, Num, Shaped, UInt8


def grid_size(image_size: Size, patch_size: Size) -> Size:
    """Rows and columns of patches in an image.

    Raises:
      ValueError: if the patch size does not divide the image size.
    """
    if image_size[0] % patch_size[0] or image_size[1] % patch_size[1]:
        raise ValueError(
            f"image size {image_size[0]} x {image_size[1]} is not a multiple of the patch "
            f"size {patch_size[0]} x {patch_size[1]}: choose an image size that it divides"
        )
    return image_size[0] // patch_size[0], image_size[1] // patch_size[1]


def patchify(
    planes: Shaped[Array, "b h w *c"], patch_size: Size
) -> Shaped[Array, "b p x *c"]:
    """Cuts planes into patches: `p` patches of `x` pixels each."""
    return einops.rearrange(
        planes,
        "b (i y) (j x) ... -> b (i j) (y x) ...",
        y=patch_size[0],
        x=patch_size[1],
    )


def unpatchify(
    patches: Shaped[Array, "b p x *c"], grid: Size, patch_size: Size
) -> Shaped[Array, "b h w *c"]:
    """Joins patches to planes; undoes `patchify`."""
    return einops.rearrange(
        patches,
        "b (i j) (y x) ... -> b (i y) (j x) ...",
        i=grid[0],
        y=patch_size[0],
    )


def scale_image(image: Num[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Scales a uint8 image to [-1, 1]; a float image is taken to be scaled already."""
    if jnp.issubdtype(image.dtype, jnp.floating):
        return image.astype(jnp.float32)
    return image.astype(jnp.float32) / 127.5 - 1.0


class PatchEmbedding(nn.Module):
    """Embeds each patch of an image by one linear map.

    `kernel` has the shape of a convolution's, (rows, columns, channels, width), which is how
    published weights are stored and what the optimizer's factoring looks at; the product itself
    is a plain matrix product, its factors in `dtype`, its sum float32.
    """

    width: int
    patch_size: Size
    dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b p d"]:
        grid_size((image.shape[1], image.shape[2]), self.patch_size)
        shape = (*self.patch_size, image.shape[-1], self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,))
        patches = einops.rearrange(
            patchify(image, self.patch_size), "b p x c -> b p (x c)"
        )
        table = kernel.reshape(-1, self.width)
        product = summed_product(self.dtype)
        return product(patches, table, (((2,), (0,)), ((), ()))) + bias[None, None]


class LabelEmbedding(nn.Module):
    """Embeds each patch of a label plane: the sum over its pixels of one row per (class, pixel).

    For integers, `e = bias + sum_x kernel[label_x, x]`, a gather and a sum; the one-hot planes
    are never built. A label outside [0, classes) contributes nothing. For floats (a plane of
    `classes` continuous values per pixel), `e = bias + sum_{x, v} value_{x, v} kernel[v, x]`, a
    product with factors in `dtype`. The sums are float32.
    """

    classes: int
    width: int
    dtype: DType = jnp.float32

    @nn.compact
    def __call__(
        self,
        patches: Int[Array, "b p x"] | UInt8[Array, "b p x"] | Float[Array, "b p x v"],
    ) -> Float[Array, "b p d"]:
        pixels = patches.shape[2]
        shape = (self.classes, pixels, self.width)
        init = nn.initializers.variance_scaling(
            1.0, "fan_in", "truncated_normal", in_axis=(0, 1), out_axis=2
        )
        kernel = self.param("kernel", init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.width,))
        if jnp.issubdtype(patches.dtype, jnp.integer):
            embedded = gather_sum(kernel, patches)
        else:
            product = summed_product(self.dtype)
            embedded = product(patches, kernel, (((3, 2), (0, 1)), ((), ())))
        return embedded + bias[None, None]


def gather_sum(
    kernel: Float[Array, "v x d"],
    labels: Int[Array, "b p x"] | UInt8[Array, "b p x"],
    at_once: int | None = None,
) -> Float[Array, "b p d"]:
    """`sum_x kernel[labels[b, p, x], x]`, labels outside [0, v) contributing nothing.

    Some pixels of every patch are gathered and added at a time, and so is the gradient: each time
    from and into a slice of the kernel that a processor's cache holds. All at once takes an array
    of (b p x d) and, on a CPU, six times as long.

    Args:
      kernel: one row per class and pixel.
      labels: the classes.
      at_once: how many pixels at a time; a divisor of x. By default 1 on a CPU, and enough on an
        accelerator to keep it busy.
    """
    pixels = kernel.shape[1]
    if at_once is None:
        at_once = 1 if jax.default_backend() == "cpu" else math.gcd(pixels, 16)
    classes = kernel.shape[0]
    labels = labels.astype(jnp.int32)
    # Negative indices would count from the end; beyond the end they are dropped.
    labels = jnp.where(labels < 0, classes, labels)
    cut = einops.rearrange(labels, "b p (i x) -> i b p x", x=at_once)
    return _gather_sum(at_once, classes, kernel, cut)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _gather_sum(at_once, classes, kernel, labels):
    del classes  # The kernel has it here; the gradient does without the kernel.
    pixels = jnp.arange(at_once)[None, None]

    def add(total, step):
        number, labels = step
        rows = jax.lax.dynamic_slice_in_dim(kernel, number * at_once, at_once, 1)
        gathered = rows.at[labels, pixels].get(mode="fill", fill_value=0)
        return total + gathered.sum(axis=2), None

    start = jnp.zeros((*labels.shape[1:3], kernel.shape[2]), kernel.dtype)
    return jax.lax.scan(add, start, (jnp.arange(labels.shape[0]), labels))[0]


def _gather_sum_forward(at_once, classes, kernel, labels):
    return _gather_sum(at_once, classes, kernel, labels), labels


def _gather_sum_backward(at_once, classes, labels, cotangent):
    width = cotangent.shape[-1]
    pixels = jnp.arange(at_once)[None, None]

    def write(gradient, step):
        number, labels = step
        rows = jnp.zeros((classes, at_once, width), cotangent.dtype)
        rows = rows.at[labels, pixels].add(cotangent[:, :, None], mode="drop")
        start = number * at_once
        return jax.lax.dynamic_update_slice_in_dim(gradient, rows, start, 1), None

    start = jnp.zeros((classes, labels.shape[0] * at_once, width), cotangent.dtype)
    steps = (jnp.arange(labels.shape[0]), labels)
    return jax.lax.scan(write, start, steps)[0], None


_gather_sum.defvjp(_gather_sum_forward, _gather_sum_backward)
