"""Binary quantization: the sign of every channel, with a straight-through gradient."""

import flax.linen as nn
import jax.numpy as jnp

from uvim_fsq.quantizers.base import QuantizerOutput, straight_through, zero_loss


class Binary(nn.Module):
    """Codes are -1 or 1 in every channel; the index has a bit for each."""

    code_dim: int

    @property
    def codebook_size(self):
        return 2**self.code_dim

    def __call__(self, z, *, train, mask=None):
        bounded = jnp.tanh(z.astype(jnp.float32))
        bits = bounded > 0
        codes = straight_through(bounded, jnp.where(bits, 1.0, -1.0))
        indices = jnp.sum(bits * 2 ** jnp.arange(self.code_dim), -1, dtype=jnp.int32)
        return QuantizerOutput(codes, indices, loss=zero_loss(), statistics={})

    def indices_to_codes(self, indices):
        bits = (indices[..., None] >> jnp.arange(self.code_dim)) & 1
        return jnp.where(bits > 0, 1.0, -1.0)

    @nn.nowrap
    def update(self, codebook, statistics, key):
        return codebook
