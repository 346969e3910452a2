"""Running trained models: encode, sample and decode in batches of one fixed size."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import split_planes
from uvim_fsq.models.uvim.stage2.model import Stage2Model, indices_to_tokens
from uvim_fsq.models.uvim.stage2.sampling import Samples, Sampling, sample
from uvim_fsq.nn.patches import grid_size, scale_image, unpatchify
from uvim_fsq.tasks.base import Task
from uvim_fsq.types import AnyArray, Array, Tree


def stable_hash(text: str) -> np.uint32:
    """The same 32 bits for the same text on every machine and in every process."""
    return np.frombuffer(
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:4], "<u4"
    )[0]


def content_hash(image: np.ndarray) -> np.uint32:
    """As `stable_hash`, of a picture's pixels."""
    digest = hashlib.sha256(
        repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    )
    return np.frombuffer(digest.digest()[:4], "<u4")[0]


@dataclass(frozen=True, eq=False)
class Inference:
    """Both stages with their variables, compiled once for one batch size.

    Every method takes whole batches, images uint8 (b h w 3), and returns JAX arrays; predictions
    are dicts of (b h w ...) as the task's `decode` names them. An image's result is the same to
    the bit whoever its neighbours are.

    Attributes:
      task: turns outputs into predictions.
      stage1, variables1: the autoencoder, its `params` and codebook.
      stage2, params2: the model of the code; None where stage I alone is used.
      chunk_bytes: bound on the float32 logits of the heads that are held at once.
    """

    task: Task
    stage1: Stage1Model
    variables1: Tree
    stage2: Stage2Model | None = None
    params2: Tree = None
    chunk_bytes: int = 2**28

    def encode(self, image: AnyArray, planes: AnyArray) -> Array:
        """Guiding codes (b n) of targets, given as planes."""
        return _encode(self.stage1, self.variables1, image, planes)

    def reconstruct(
        self, image: AnyArray, planes: AnyArray
    ) -> tuple[dict[str, Array], Array | None]:
        """Stage I alone: predictions of the targets' own codes, and these codes' indices."""
        return _reconstruct(
            self.stage1, self.task, self.chunk_bytes, self.variables1, image, planes
        )

    def decode(self, indices: AnyArray, image: AnyArray) -> dict[str, Array]:
        """Predictions of guiding codes (b n) with the images as context."""
        return _decode(
            self.stage1, self.task, self.chunk_bytes, self.variables1, indices, image
        )

    def sample(
        self,
        image: AnyArray,
        hashes: Sequence[np.uint32] | AnyArray,
        sampling: Sampling,
        *,
        samples: int = 1,
        seed: int = 0,
    ) -> Samples:
        """Guiding codes (b r n) of images, `r` samples each, and their log-probabilities.

        The random key of a sample comes from (seed, the image's hash, the sample's number).
        """
        if self.stage2 is None:
            raise ValueError(
                "this run has no trained stage II, which predicts the code from the image: "
                "train it first (--stage 2)"
            )
        return _sample(
            self.stage2,
            sampling,
            samples,
            self.params2,
            image,
            np.asarray(hashes),
            np.uint32(seed),
        )

    def code_log_probs(self, image: AnyArray, indices: AnyArray) -> Array:
        """Log-probabilities (b n), in nats, of given guiding codes under stage II."""
        assert self.stage2 is not None
        return _code_log_probs(self.stage2, self.params2, image, indices)


@partial(jax.jit, static_argnums=0)
def _encode(model, variables, image, planes):
    planes = split_planes(planes, model.channels)
    return model.apply(variables, planes, scale_image(image), method="encode")


@partial(jax.jit, static_argnums=(0, 1, 2))
def _reconstruct(model, task, chunk_bytes, variables, image, planes):
    planes = split_planes(planes, model.channels)
    output = model.apply(variables, planes, scale_image(image), train=False)
    prediction = _predict(model, task, chunk_bytes, variables, output.tokens)
    return prediction, output.quantized.indices


@partial(jax.jit, static_argnums=(0, 1, 2))
def _decode(model, task, chunk_bytes, variables, indices, image):
    def tokens(model, indices, image):
        codes = model.quantizer.indices_to_codes(indices)
        return model.decode_tokens(codes, image)

    decoded = model.apply(variables, indices, scale_image(image), method=tokens)
    return _predict(model, task, chunk_bytes, variables, decoded)


def _predict(model, task, chunk_bytes, variables, tokens) -> dict[str, Any]:
    """Heads and the task's `decode`, some images at a time, joined to planes."""
    grid = grid_size(model.image_size, model.patch_size)
    logits = sum(model.channels.values()) * math.prod(model.image_size)
    batch = tokens.shape[0]
    fits = max(1, chunk_bytes // (4 * logits))
    group = max(size for size in range(1, min(fits, batch) + 1) if batch % size == 0)

    def predict(tokens):
        prediction = task.decode(model.apply(variables, tokens, method="outputs"))
        return {
            name: unpatchify(plane, grid, model.patch_size)
            for name, plane in prediction.items()
        }

    if group == batch:
        return predict(tokens)
    groups = tokens.reshape(batch // group, group, *tokens.shape[1:])
    predictions = jax.lax.map(predict, groups)
    return jax.tree.map(
        lambda plane: plane.reshape(batch, *plane.shape[2:]), predictions
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _sample(model, sampling, samples, params, image, hashes, seed):
    def keys(image_hash):
        key = jax.random.fold_in(jax.random.key(seed), image_hash)
        return jax.vmap(lambda number: jax.random.fold_in(key, number))(
            jnp.arange(samples)
        )

    return sample(model, params, scale_image(image), jax.vmap(keys)(hashes), sampling)


@partial(jax.jit, static_argnums=0)
def _code_log_probs(model, params, image, indices):
    logits = model.apply({"params": params}, scale_image(image), indices)
    tokens = indices_to_tokens(indices)[..., None]
    return jnp.take_along_axis(jax.nn.log_softmax(logits), tokens, axis=-1)[..., 0]
