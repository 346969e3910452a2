"""Position embeddings: learned, or fixed sines and cosines."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from uvim_fsq.fields import Size
from uvim_fsq.types import Array, Float, Int

POSITION_KINDS = ("learned", "sincos2d")


def sincos2d(grid: Size, width: int, temperature: float = 10_000.0) -> np.ndarray:
    """Fixed two-dimensional position embedding, float32 (positions, width).

    Row-major over the grid; `concat(sin(x w), cos(x w), sin(y w), cos(y w))` with
    `w_i = temperature^(-i / (width / 4 - 1))`, as in MoCo v3.

    Raises:
      ValueError: if the width is not a multiple of 4 above 4.
    """
    if width % 4 or width <= 4:
        raise ValueError(
            f"sincos2d positions need a width that is a multiple of 4 above 4, not {width}"
        )
    y, x = np.mgrid[: grid[0], : grid[1]].astype(np.float64)
    omega = temperature ** -(np.arange(width // 4) / (width // 4 - 1))
    x, y = (np.outer(axis.ravel(), omega) for axis in (x, y))
    table = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)
    return table.astype(np.float32)


class PositionEmbedding(nn.Module):
    """Adds the embedding of its position to every token.

    Attributes:
      kind: "learned" (a parameter, normal with standard deviation 1/sqrt(width)) or
        "sincos2d" (`sincos2d`, no parameter).
      grid: rows and columns of the positions.
    """

    kind: str
    grid: Size
    width: int

    def setup(self):
        if self.kind == "learned":
            init = nn.initializers.normal(1 / np.sqrt(self.width))
            shape = (self.grid[0] * self.grid[1], self.width)
            self.embedding = self.param("embedding", init, shape)
        elif self.kind == "sincos2d":
            self.embedding = jnp.asarray(sincos2d(self.grid, self.width))
        else:
            raise ValueError(
                f"unknown kind of positions {self.kind!r}: choose one of "
                + ", ".join(POSITION_KINDS)
            )

    def __call__(self, tokens: Float[Array, "b s d"]) -> Float[Array, "b s d"]:
        return tokens + self.embedding[None].astype(tokens.dtype)

    def at(
        self, tokens: Float[Array, "b r d"], position: Int[Array, ""]
    ) -> Float[Array, "b r d"]:
        """Adds one and the same position's embedding to every token."""
        return tokens + self.embedding[position][None, None].astype(tokens.dtype)
