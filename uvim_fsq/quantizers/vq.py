"""Vector quantization with running averages and codebook splitting, as in UViM.

Kolesnikov et al., "UViM: A Unified Modeling Approach for Vision", arXiv 2205.10337.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

from uvim_fsq.quantizers.base import (
    QuantizerOutput,
    check_channels,
    on_any_mesh,
    straight_through,
    within,
    zero_loss,
)
from uvim_fsq.quantizers.splitting import split_codewords
from uvim_fsq.types import Array, Bool, Float, Int, Integer, Key

STANDARDIZE_EPS = 1e-5
COUNT_FLOOR = 1e-6


class VQ(nn.Module):
    """Vector quantization with a codebook of running averages.

    Latents are standardized over their channels; the nearest codeword by squared distance is taken,
    the lower index where two are equally near; the gradient passes straight through to the
    standardized latents. The codebook is no parameter: the collection "codebook" holds running
    `counts` (k,) and `sums` (k, d), and a codeword is its sum scaled to unit length. `__call__` uses
    the codebook as it is; `update`, called once per training step with the statistics of the global
    batch, moves it (see `vq_update`).

    Arguments:
      codebook_size: number of codewords k.
      code_dim: channels d of the latents and of the codewords, at least 2.
      decay: share of counts and sums kept per update, in (0, 1).
      splitting: replace codewords whose count falls below `min_count` (see `split_codewords`).
        Without it codewords that are never used stay where they are.
      min_count: see `splitting`.
      commitment_weight: weight of `mean((z - stop_gradient(codes))^2)`, z standardized, in the loss;
        0 in the published UViM runs.

    Example:
      >>> vq = VQ(codebook_size=64, code_dim=8)
      >>> z = jnp.ones((2, 16, 8))
      >>> state = vq.init(jax.random.key(0), z, train=False)
      >>> out = vq.apply(state, z, train=True)
      >>> codebook = vq.update(state["codebook"], out.statistics, jax.random.key(1))
    """

    codebook_size: int
    code_dim: int
    decay: float = 0.995
    splitting: bool = True
    min_count: float = 0.1
    commitment_weight: float = 0.0

    def __post_init__(self):
        checks = {
            "codebook_size >= 1": self.codebook_size >= 1,
            "code_dim >= 2 (a single channel standardizes to 0)": self.code_dim >= 2,
            "0 < decay < 1": 0 < self.decay < 1,
            "min_count > 0": self.min_count > 0,
            "commitment_weight >= 0": self.commitment_weight >= 0,
        }
        for what, holds in checks.items():
            if not holds:
                raise ValueError(
                    f"VQ expects {what}, found codebook_size={self.codebook_size}, "
                    f"code_dim={self.code_dim}, decay={self.decay}, min_count={self.min_count}, "
                    f"commitment_weight={self.commitment_weight}."
                )
        super().__post_init__()

    def setup(self):
        k, d = self.codebook_size, self.code_dim
        self.counts = self.variable(
            "codebook", "counts", lambda: jnp.ones((k,), jnp.float32)
        )
        self.sums = self.variable(
            "codebook",
            "sums",
            lambda: (
                jax.random.normal(self.make_rng("params"), (k, d), jnp.float32)
                * k**-0.5
            ),
        )

    def __call__(
        self,
        z: Float[Array, "*b d"],
        *,
        train: bool,
        mask: Bool[Array, "*b"] | None = None,
    ) -> QuantizerOutput:
        """Latents (*b d) of any float type to codes (*b d) and indices (*b)."""
        check_channels("VQ", z, self.code_dim)

        def specs(axes):
            statistics = {"counts": P(), "sums": P()} if train else {}
            return P(*axes), P(*axes[:-1]), P(), statistics

        def quantize(z, sums, mask):
            return self._quantize(z, sums, mask, train)

        arguments = (self.sums.value, mask)
        return QuantizerOutput(*on_any_mesh(quantize, z, specs, *arguments))

    @nn.nowrap
    def _quantize(self, z, sums, mask, train):
        z = standardize(z)
        codebook = codewords(sums)
        flat = jax.lax.stop_gradient(z.reshape(-1, self.code_dim))
        indices = nearest_codeword(flat, codebook)
        codes = codebook[indices].reshape(z.shape)
        loss = zero_loss()
        if self.commitment_weight > 0:
            error = jnp.square(z - jax.lax.stop_gradient(codes))
            loss = self.commitment_weight * _mean(error, mask)
        statistics = {}
        if train:
            real = None if mask is None else mask.ravel()
            statistics = _statistics(flat, indices, real, self.codebook_size)
        codes = straight_through(z, codes)
        return codes, indices.reshape(z.shape[:-1]), loss, statistics

    def indices_to_codes(self, indices: Integer[Array, "*b"]) -> Float[Array, "*b d"]:
        """Indices in [0, codebook_size) to codewords; others count as the nearest of these."""

        def look_up(indices, sums):
            return codewords(sums)[within(indices, self.codebook_size)]

        return on_any_mesh(
            look_up, indices, lambda axes: P(*axes, None), self.sums.value
        )

    @nn.nowrap
    def update(
        self,
        codebook: Mapping[str, Float[Array, "..."]],
        statistics: Mapping[str, Float[Array, "..."]],
        key: Key,
    ) -> dict[str, Float[Array, "..."]]:
        """`vq_update` with the settings of this module."""
        return vq_update(
            codebook,
            statistics,
            key,
            decay=self.decay,
            min_count=self.min_count,
            splitting=self.splitting,
        )


def vq_update(
    codebook: Mapping[str, Float[Array, "..."]],
    statistics: Mapping[str, Float[Array, "..."]],
    key: Key,
    *,
    decay: float,
    min_count: float,
    splitting: bool,
) -> dict[str, Float[Array, "..."]]:
    """The codebook after a step: `x <- decay x + batch x` for counts and sums, then splitting.

    `codebook` and `statistics` hold `counts` (k,) and `sums` (k, d); statistics are those of the
    global batch. `key` serves the noise of splitting only.

    A codeword whose count has decayed to 1e-6 decays no further. Its direction, all that a codeword
    is, would not change anyway, and what it weighs against a single new latent is nothing; but its
    count and sum would run into 0 / 0 after some twenty thousand updates.
    """
    counts, sums = codebook["counts"], codebook["sums"]
    kept = jnp.where(counts * decay >= COUNT_FLOOR, decay, 1.0)
    counts = counts * kept + statistics["counts"]
    sums = sums * kept[:, None] + statistics["sums"]
    if splitting:
        counts, sums = split_codewords(counts, sums, key, min_count=min_count)
    return {"counts": counts, "sums": sums}


def standardize(z: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    """Each vector with mean 0 and variance 1 over its channels, in float32 (eps 1e-5)."""
    z = z.astype(jnp.float32)
    z = z - jnp.mean(z, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(z), axis=-1, keepdims=True)
    return z * jax.lax.rsqrt(variance + STANDARDIZE_EPS)


def codewords(sums: Float[Array, "k d"]) -> Float[Array, "k d"]:
    """The codewords: sums scaled to unit length (dividing by counts first changes nothing).

    A sum without a direction (zero, infinite or NaN) gives the zero vector, which
    `nearest_codeword` never returns as long as there is another.
    """
    norm = jnp.sqrt(jnp.sum(jnp.square(sums), axis=-1, keepdims=True))
    usable = (norm > 0) & jnp.isfinite(norm)
    return jnp.where(usable, sums / jnp.where(usable, norm, 1.0), 0.0)


def nearest_codeword(
    z: Float[Array, "b d"], codebook: Float[Array, "k d"]
) -> Int[Array, "b"]:
    """Index of the codeword with the least squared distance; the lower one where two tie.

    Computed as `|e|^2 - 2 z e`, one float32 matrix product, whatever the platform's default
    precision. Codewords that are zero or not finite are never the nearest.
    """
    squared = jnp.sum(jnp.square(codebook), axis=-1)
    unusable = ~(jnp.isfinite(squared) & (squared > 0))
    codebook = jnp.where(unusable[:, None], 0.0, codebook)
    squared = jnp.where(unusable, jnp.inf, squared)
    products = jnp.matmul(z, codebook.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.argmin(squared[None] - 2 * products, axis=-1).astype(jnp.int32)


def _mean(error, mask):
    """Over the entries that are no padding; 0 where there are none."""
    if mask is None:
        return jnp.sum(error) / float(max(error.size, 1))
    total = jnp.sum(jnp.where(mask[..., None], error, 0.0))
    return total / jnp.maximum(jnp.sum(mask, dtype=jnp.float32) * error.shape[-1], 1.0)


def _statistics(z, indices, mask, codebook_size):
    """How often each codeword was taken, and the sum of what it was taken for."""
    empty = jnp.zeros((codebook_size,), jnp.float32)
    if mask is not None:
        indices = jnp.where(mask, indices, codebook_size)  # Which is dropped.
    return {
        "counts": empty.at[indices].add(1.0),
        "sums": jnp.zeros((codebook_size, z.shape[1]), jnp.float32).at[indices].add(z),
    }
