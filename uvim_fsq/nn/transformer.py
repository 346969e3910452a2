"""The pre-LayerNorm transformer encoder (ViT) of both stages, its layers scanned."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.nn.attention import MultiHeadAttention
from uvim_fsq.nn.products import rounded_product, summed_product
from uvim_fsq.types import Array, DType, Float

LAYER_NORM_EPSILON = 1e-6


def layer_norm(name: str | None = None) -> nn.LayerNorm:
    """LayerNorm as everywhere in UViM: epsilon 1e-6."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, name=name)


class Mlp(nn.Module):
    """`expand -> GELU (tanh form) -> contract`."""

    mlp_width: int
    dtype: DType = jnp.float32
    kernel_init: Callable = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        def dense(features, name, product):
            return nn.Dense(
                features,
                kernel_init=self.kernel_init,
                bias_init=nn.initializers.normal(1e-6),
                dot_general=product(self.dtype),
                name=name,
            )

        expanded = dense(self.mlp_width, "expand", rounded_product)(x)
        hidden = nn.gelu(expanded, approximate=True)
        return dense(x.shape[-1], "contract", summed_product)(hidden)


class EncoderBlock(nn.Module):
    """`x + attention(norm(x))`, then `x + mlp(norm(x))`."""

    mlp_width: int
    num_heads: int
    dtype: DType = jnp.float32
    attention: str = "xla"

    @nn.compact
    def __call__(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        x = x + MultiHeadAttention(
            x.shape[-1],
            self.num_heads,
            dtype=self.dtype,
            implementation=self.attention,
            name="attention",
        )(layer_norm("attention_norm")(x))
        return x + Mlp(self.mlp_width, self.dtype, name="mlp")(
            layer_norm("mlp_norm")(x)
        )


def is_stacked(name: str) -> bool:
    """Whether a parameter of this path, such as `encoder/layers/mlp/expand/kernel`, has all layers
    of a scan along its first axis."""
    return any(part.endswith("layers") for part in name.split("/"))


REMATERIALIZE = ("nothing", "cheap", "everything")
"""What of a layer the backward pass computes again."""


def scan_layers(
    body: Callable, depth: int, unroll: int, rematerialize: str = "cheap"
) -> Callable:
    """`scan(block, x, None) -> (x, None)`: `x = body(block, x)` for each of `depth` layers.

    Every layer's input is kept for the backward pass; of what else the pass needs, it computes
    `rematerialize` again:

    - "nothing": all intermediate results are kept, attention's scores (b heads s s) included.
    - "cheap": the products with weights are kept; attention's scores, GELU and normalization are
      computed again. Kept for all layers, these are most of the memory, and on a CPU writing and
      reading them takes longer than computing them.
    - "everything": the whole layer is computed again, a third more arithmetic in all.

    Results are the same up to rounding. Raises ValueError for another name.
    """
    if rematerialize not in REMATERIALIZE:
        raise ValueError(
            f"rematerialize must be one of {', '.join(REMATERIALIZE)}, got {rematerialize!r}"
        )

    def layer(block, x, _):
        return body(block, x), None

    if rematerialize != "nothing":
        cheap = jax.checkpoint_policies.checkpoint_dots_with_no_batch_dims
        layer = nn.remat(
            layer,
            prevent_cse=False,  # A scan does not merge what its passes compute.
            policy=cheap if rematerialize == "cheap" else None,
        )
    return nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=depth,
        unroll=unroll,
    )


class Transformer(nn.Module):
    """A stack of encoder blocks and a final LayerNorm, float32 but for its products.

    The blocks are scanned: one block is compiled whatever the depth, and every parameter below
    `layers` has a leading axis over the layers. `rematerialize`: see `scan_layers`.
    """

    depth: int
    mlp_width: int
    num_heads: int
    dtype: DType = jnp.float32
    attention: str = "xla"
    unroll: int = 1
    rematerialize: str = "cheap"

    @nn.compact
    def __call__(self, x: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        scan = scan_layers(
            lambda block, x: block(x), self.depth, self.unroll, self.rematerialize
        )
        block = EncoderBlock(
            self.mlp_width, self.num_heads, self.dtype, self.attention, name="layers"
        )
        x, _ = scan(block, x, None)
        return layer_norm("norm")(x)
