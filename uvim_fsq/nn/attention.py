"""Multi-head attention whose keys and values can be computed once and kept."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from uvim_fsq.nn.products import rounded_product, summed_product
from uvim_fsq.types import Array, Bool, DType, Float


def attend(
    query: Float[Array, "b q heads e"],
    key: Float[Array, "b s heads e"],
    value: Float[Array, "b s heads e"],
    *,
    causal: bool = False,
    mask: Bool[Array, "#b #heads #q s"] | None = None,
    implementation: str = "xla",
) -> Float[Array, "b q heads e"]:
    """`softmax(query key^T / sqrt(e)) value` for each head, softmax in float32.

    Args:
      query, key, value: one vector of `e` numbers per position and head.
      causal: position i sees positions 0..i only.
      mask: True where a key may be seen.
      implementation: "xla" or, on an NVIDIA GPU in bfloat16 or float16 with a head size that is
        a multiple of 8, "cudnn".
    """
    if query.shape[1] == 1 and not causal:
        return _attend_one(query, key, value, mask)
    return jax.nn.dot_product_attention(
        query,
        key,
        value,
        mask=mask,
        is_causal=causal,
        implementation=implementation,  # type: ignore[arg-type]
    )


def cudnn_refusal(head_size: int, dtype: DType) -> str | None:
    """Why attention "cudnn" cannot be used here, as a clause; None if it can.

    What depends on this machine (the library's presence and version, the GPU's generation, the
    largest head size) is found by compiling a small attention and its gradient.
    """
    if jnp.dtype(dtype) not in (jnp.bfloat16, jnp.float16):
        return f"it works in bfloat16 or float16, found {jnp.dtype(dtype).name}"
    if head_size % 8:
        return f"its heads must have a multiple of 8 channels, found {head_size}"
    if jax.default_backend() != "gpu":
        return f"it needs an NVIDIA GPU, found {jax.devices()[0].device_kind}"
    tokens = jax.ShapeDtypeStruct((1, 8, 1, head_size), dtype)

    def loss(query, key, value):
        attended = attend(query, key, value, causal=True, implementation="cudnn")
        return attended.astype(jnp.float32).sum()

    try:
        jax.jit(jax.grad(loss, (0, 1, 2))).lower(tokens, tokens, tokens).compile()
    except Exception as error:  # Of many kinds: each says what is missing.
        return f"it does not run here: {str(error).strip().splitlines()[0]}"
    return None


def _attend_one(query, key, value, mask):
    """A single query, as when sampling: bound by memory, and faster without matrix products."""
    query = query.astype(jnp.float32) * query.shape[-1] ** -0.5
    logits = (query * key).sum(-1)  # (b s heads)
    if mask is not None:
        logits = jnp.where(jnp.moveaxis(mask[:, :, 0], 1, 2), logits, -jnp.inf)
    weights = jax.nn.softmax(logits, axis=1)
    return (weights[..., None] * value).sum(1, keepdims=True).astype(value.dtype)


class MultiHeadAttention(nn.Module):
    """Attention of `width`-wide tokens with `num_heads` heads.

    Parameters are `query`, `key`, `value` with kernels (width, heads, head size) and `out` with
    a kernel (heads, head size, width); biases where `use_bias`. Products are in `dtype`, the result
    is float32.
    """

    width: int
    num_heads: int
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: DType = jnp.float32
    implementation: str = "xla"

    def setup(self):
        if self.width % self.num_heads:
            raise ValueError(
                f"width {self.width} is not a multiple of the number of heads "
                f"{self.num_heads}: choose a number of heads that divides it"
            )
        head_size = self.width // self.num_heads

        def dense(features, axis, product):
            return nn.DenseGeneral(
                features,
                axis=axis,
                use_bias=self.use_bias,
                kernel_init=self.kernel_init,
                dot_general=product(self.dtype),
            )

        self.query, self.key, self.value = (
            dense((self.num_heads, head_size), -1, rounded_product) for _ in range(3)
        )
        self.out = dense(self.width, (-2, -1), summed_product)

    def keys_values(
        self, tokens: Float[Array, "b s d"]
    ) -> tuple[Float[Array, "b s heads e"], Float[Array, "b s heads e"]]:
        """Keys and values of a sequence, in `dtype`, for `__call__`'s `kept`."""
        return self.key(tokens).astype(self.dtype), self.value(tokens).astype(
            self.dtype
        )

    def __call__(
        self,
        tokens: Float[Array, "b q d"],
        kept: tuple[Array, Array] | None = None,
        *,
        causal: bool = False,
        mask: Bool[Array, "#b #heads #q s"] | None = None,
    ) -> Float[Array, "b q d"]:
        """Attends to `kept` keys and values, or to the tokens themselves."""
        key, value = self.keys_values(tokens) if kept is None else kept
        attended = attend(
            self.query(tokens).astype(self.dtype),
            key,
            value,
            causal=causal,
            mask=mask,
            implementation=self.implementation,
        )
        return self.out(attended)
