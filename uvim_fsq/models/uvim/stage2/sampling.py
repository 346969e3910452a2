"""Drawing guiding codes from stage II, one index after another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from uvim_fsq.models.uvim.stage2.model import (
    START_TOKEN,
    Stage2Model,
    tokens_to_indices,
)
from uvim_fsq.nn.decoder import KeysValues
from uvim_fsq.types import Array, Bool, Float, Int, Key, Tree

GREEDY_TEMPERATURE = 1e-6
"""At this temperature or below, the most likely token is taken; UViM's 1e-7 means greedy."""


@dataclass(frozen=True)
class Sampling:
    """How an index is drawn from the logits.

    Attributes:
      temperature: divides the logits; 0 is greedy.
      top_k: only the k most likely indices; 0 for all.
      top_p: only the most likely indices whose probabilities, at this temperature and within
        `top_k`, first add up to p; 1 for all.

    Of indices that are equally likely the lower one counts as the more likely, so that `top_k` keeps
    exactly k.

    Raises:
      ValueError: if a value is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self):
        if not self.temperature >= 0:
            raise ValueError(
                f"temperature must be 0 (greedy) or above, not {self.temperature}"
            )
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (all) or above, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")

    @property
    def greedy(self) -> bool:
        """Whether the draw needs no randomness."""
        return self.temperature <= GREEDY_TEMPERATURE

    def restrict(self, logits: Float[Array, "*b v"]) -> Float[Array, "*b v"]:
        """Tempered logits, minus infinity where a token may not be drawn."""
        tokens = jnp.arange(logits.shape[-1]).reshape((1,) * (logits.ndim - 1) + (-1,))
        logits = jnp.where(tokens == START_TOKEN, -jnp.inf, logits)
        if self.greedy:
            return logits
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            # top_k puts the lower index first where values are equal, but 0.0 before -0.0.
            level = jnp.where(logits == 0, 0.0, logits)
            places = jax.lax.top_k(level, self.top_k)[1]
            logits = _keep(logits, places, jnp.ones(places.shape, bool))
        if self.top_p < 1:
            places = jnp.argsort(logits, axis=-1, descending=True, stable=True)
            probabilities = jax.nn.softmax(
                jnp.take_along_axis(logits, places, axis=-1), axis=-1
            )
            before = jnp.cumsum(probabilities, axis=-1) - probabilities
            logits = _keep(logits, places, before < self.top_p)
        return logits

    def draw(self, logits: Float[Array, "b r v"], keys: Key) -> Int[Array, "b r"]:
        """One token per row; row (b, r) depends on its own logits and key alone."""
        restricted = self.restrict(logits)
        if self.greedy:
            return restricted.argmax(-1).astype(jnp.int32)
        draw = jax.vmap(jax.vmap(jax.random.categorical))
        return draw(keys, restricted).astype(jnp.int32)


def _keep(
    logits: Float[Array, "*b v"], places: Int[Array, "*b k"], kept: Bool[Array, "*b k"]
) -> Float[Array, "*b v"]:
    """Minus infinity but at those of the places that are kept."""
    mask = jnp.put_along_axis(
        jnp.zeros(logits.shape, bool), places, kept, axis=-1, inplace=False
    )
    return jnp.where(mask, logits, -jnp.inf)


class Samples(NamedTuple):
    """Guiding codes, `indices` (b r n), and their `log_probs` (b r n) under stage II.

    Log-probabilities are in nats, of the full, untempered softmax over the whole vocabulary:
    restrictions of the draw do not enter.
    """

    indices: Array
    log_probs: Array


def sample(
    model: Stage2Model,
    params: Tree,
    image: Float[Array, "b h w c"],
    keys: Key,
    sampling: Sampling,
) -> Samples:
    """Draws `r` guiding codes per image.

    The image is encoded once, and so are the keys and values of cross-attention, which an
    image's samples share. An image's result depends on its pixels and its keys alone.

    Args:
      model: the stage-II model.
      params: its parameters.
      image: scaled to [-1, 1].
      keys: typed random keys (b, r), one per image and sample; greedy draws ignore their values.
      sampling: how to draw.
    """
    images, sequences = keys.shape
    encoded = model.apply({"params": params}, image, method="encode")
    layers = _unstack(params["decoder_layers"], model.decoder_depth)
    block = model.block()

    def run(layer, *arguments, method):
        return block.apply({"params": layer}, *arguments, method=method)

    cross = [run(layer, encoded, method="cross_keys_values") for layer in layers]
    head_size = model.width // model.num_heads
    shape = (images * sequences, model.code_length, model.num_heads, head_size)
    empty = KeysValues(jnp.zeros(shape, model.dtype), jnp.zeros(shape, model.dtype))

    def step(carry, position):
        tokens, caches = carry
        x = model.apply({"params": params}, tokens, position, method="embed_token")
        new_caches = []
        for layer, cache, kept in zip(layers, caches, cross, strict=True):
            x, cache = run(layer, x, cache, position, kept, method="step")
            new_caches.append(cache)
        logits = cast(Array, model.apply({"params": params}, x, method="token_logits"))
        position_keys = jax.vmap(
            jax.vmap(lambda key: jax.random.fold_in(key, position))
        )(keys)
        tokens = sampling.draw(logits, position_keys)
        log_probs = jnp.take_along_axis(
            jax.nn.log_softmax(logits, axis=-1), tokens[..., None], axis=-1
        )[..., 0]
        return (tokens, new_caches), (tokens, log_probs)

    start = jnp.full((images, sequences), START_TOKEN, jnp.int32)
    positions = jnp.arange(model.code_length)
    _, (tokens, log_probs) = jax.lax.scan(
        step, (start, [empty] * len(layers)), positions
    )
    return Samples(
        tokens_to_indices(jnp.moveaxis(tokens, 0, -1)), jnp.moveaxis(log_probs, 0, -1)
    )


def _unstack(layers: Mapping, depth: int) -> list[Tree]:
    """One tree per layer of a scanned stack: taken apart once, not at every step."""
    return [jax.tree.map(lambda array, i=i: array[i], layers) for i in range(depth)]
