"""No bottleneck: the latents pass as they are."""

import flax.linen as nn
import jax.numpy as jnp

from uvim_fsq.quantizers.base import QuantizerOutput, check_channels, zero_loss
from uvim_fsq.types import Array, Bool, Float, Integer, Key, Tree


class Identity(nn.Module):
    """The null quantizer: codes are the latents in float32, and there are no indices.

    It shows what a stage-I model reaches without quantization. It has no codebook, so stage II
    cannot be trained on it.
    """

    code_dim: int

    def __post_init__(self):
        if self.code_dim < 1:
            raise ValueError(f"code_dim must be at least 1, found {self.code_dim}.")
        super().__post_init__()

    @property
    def codebook_size(self) -> None:
        return None

    def __call__(
        self,
        z: Float[Array, "*b d"],
        *,
        train: bool,
        mask: Bool[Array, "*b"] | None = None,
    ) -> QuantizerOutput:
        """Latents (*b code_dim) of any float type to float32 codes of the same shape."""
        del train, mask
        check_channels("Identity", z, self.code_dim)
        codes = z.astype(jnp.float32)
        return QuantizerOutput(codes, indices=None, loss=zero_loss(), statistics={})

    def indices_to_codes(self, indices: Integer[Array, "*b"]) -> Float[Array, "*b d"]:
        """Always an error: there is no codebook to look indices up in."""
        raise ValueError(
            "Identity has no codebook, so there are no indices to turn into codes: "
            "use FSQ or VQ where indices are needed."
        )

    @nn.nowrap
    def update(self, codebook: Tree, statistics: Tree, key: Key) -> Tree:
        """The state unchanged: nothing is learned outside the gradient."""
        del statistics, key
        return codebook
