"""Memory of one device while a stage is trained, and while it predicts.

What stays from step to step is exact, and so is what the backward pass keeps of the forward pass
(see `kept`). What a moment needs beside it is a count of the large arrays that then stand beside
one another; the counts come from looking at what XLA's compiler for processors allots, see
`tests/cost/test_memory.py`. A compiler for accelerators fuses more, and its own will be less.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from uvim_fsq.cost.flops import Model, positions
from uvim_fsq.cost.kept import kept_by_pass
from uvim_fsq.cost.parameters import size
from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.stage1.heads import number_of_chunks
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.quantizers import VQ
from uvim_fsq.training.optimizer import select

TOLERANCE = 0.25
"""How far what comes and goes within a step may be off, as a share; what is held is exact."""
LOGITS = 3
"""Arrays of logits at once: themselves, their softmax, their gradient."""
_FLOAT32 = 4


@dataclass(frozen=True)
class Memory:
    """Bytes of one device by what they are for.

    Attributes:
      held: what stays from step to step; exact.
      passing: what comes and goes within a step; an estimate.
    """

    held: dict[str, int]
    passing: dict[str, int]

    @property
    def total(self) -> int:
        """What is needed at the fullest moment."""
        return sum(self.held.values()) + sum(self.passing.values())

    @property
    def at_most(self) -> int:
        """The total if the estimate is as much too low as `TOLERANCE` allows."""
        return self.total + math.ceil(TOLERANCE * sum(self.passing.values()))

    def fits(self, budget: int | float) -> str:
        """ "yes", "maybe" (within the estimate's tolerance) or "no"."""
        if self.at_most <= budget:
            return "yes"
        return "maybe" if self.total <= budget else "no"

    def described(self, budget: int | float) -> dict[str, Any]:
        """For JSON."""
        return {
            "held": self.held,
            "passing": self.passing,
            "total": self.total,
            "at_most": self.at_most,
            "fits": self.fits(budget),
        }


class TrainingMemory:
    """The memory that a stage's training takes, by how many images it takes at once."""

    def __init__(self, models: Models, stage: Stage):
        trained, params = stage.config, stage.params
        # The optimizer's state has the shapes that its settings give, whatever the steps.
        optimizer, _ = build.build_optimizer(trained, trained.warmup_steps + 1)
        mask = optimizer.trainable(params)
        self._models, self._stage = models, stage
        self._held = {
            "weights": size(params),
            "codebook": size(stage.collections),
            "optimizer state": size(jax.eval_shape(optimizer.init, params)),
            "moving average": size(params) if trained.average_decay > 0 else 0,
            "frozen stage I": size(stage.frozen),
        }
        self._gradients = size(select(params, mask))
        self._kept = kept_by_pass(models, stage, mask)

    def of(self, images: int, micro_batches: int = 1) -> Memory:
        """For so many images at once on a device, and so many micro-batches after another."""
        batch = images * micro_batches * size(self._models.batch(1))
        # The loop puts the next batch there while a step runs.
        held = self._held | {"batch, and the next": 2 * batch}
        gradients = {"gradients": self._gradients}
        if micro_batches > 1:
            gradients["gradients, added up"] = self._gradients
        moments = [{"updates": self._gradients}]
        works = _at_work(self._models, self._stage, images)
        for kept, work in zip(self._kept, works, strict=True):
            part = max(work, key=lambda part: work[part])
            moment = {"activations kept": kept.fixed + images * kept.per_image}
            moments.append(moment | {f"at work: {part}": work[part]})
        held = {name: number for name, number in held.items() if number}
        return Memory(held, gradients | _fullest(moments))

    def fitting(
        self, batch_size: int, devices: int, budget: int | float
    ) -> dict[str, int] | None:
        """The fewest micro-batches of a device's share that surely fit; None if not one image does."""
        share = batch_size // devices
        for micro_batches in range(1, share + 1):
            images, rest = divmod(share, micro_batches)
            if not rest and self.of(images, micro_batches).fits(budget) == "yes":
                return {"images_at_once": images, "micro_batches": micro_batches}
        return None


def _at_work(models: Models, stage: Stage, images: int) -> list[dict[str, int]]:
    """Bytes by part when the decoder's, then the encoder's backward pass runs: the largest counts."""
    model = stage.model
    patches = positions(model)
    encoder = layer(model, images, patches, patches)
    if isinstance(model, Stage2Model):
        logits = _FLOAT32 * images * model.code_length * model.vocabulary_size
        decoder = {
            "a layer of the decoder": _decoder_layer(model, images),
            "logits": LOGITS * logits,
        }
        return [decoder, {"a layer of the encoder": encoder}]
    pixels = math.prod(model.patch_size)
    per_pixel = _FLOAT32 * images * patches * sum(model.channels.values())
    chunks = number_of_chunks(pixels, per_pixel, models.chunk_bytes)
    parts = {
        "a layer of the decoder": encoder,
        "head logits": LOGITS * per_pixel * pixels // chunks,
    }
    if isinstance(model.quantizer, VQ):
        distances = images * model.code_length * model.quantizer.codebook_size
        parts["nearest codeword"] = 2 * _FLOAT32 * distances
    return [parts]


def layer(model: Model, images: int, queries: int, keys: int) -> int:
    """The backward pass of one layer: its attention or its MLP, whichever takes more."""
    token, stream = _token(model) * images * queries, _FLOAT32 * images * queries
    # Inputs and their gradients in float32, projections and theirs in the model's type.
    attention = 8 * (stream + token) * model.width
    if model.attention == "xla":  # Weights and their gradient, copies of both.
        attention += 4 * _FLOAT32 * images * model.num_heads * queries * keys
    mlp = 7 * stream * model.width + 5 * token * model.mlp_width
    again = 0
    if model.rematerialize == "everything":
        # The layer's products are there again: queries, keys, values, outputs, hidden layer.
        again = token * (4 * model.width + model.mlp_width)
    return again + max(attention, mlp)


def _decoder_layer(model: Stage2Model, images: int) -> int:
    """As `layer`, and 8 arrays of cross-attention, 4 more where it is computed again."""
    patches, length = positions(model), model.code_length
    arrays = 12 if model.rematerialize == "everything" else 8
    # Half of them, keys and values, stand at the patches.
    cross = arrays * images * (length + patches) * model.width * _token(model) // 2
    return cross + layer(model, images, length, max(patches, length))


def prediction_memory(models: Models, images: int) -> Memory:
    """Of a batch of images: both stages' weights, and the fullest of what runs one after another.

    The code is sampled with the keys and values of all positions kept; the heads decode as many
    images at once as their bound on logits allows.
    """
    model, stage2 = models.autoencoder, models.stage2
    held = {"weights of stage I": size(models.stage1.variables)}
    pixels = math.prod(model.image_size)
    logits = _FLOAT32 * pixels * sum(model.channels.values())
    moments = [
        {"at work: a layer": _forward_layer(model, images)},
        {
            "head logits": max(1, min(images, models.chunk_bytes // logits)) * logits,
            "predictions": _FLOAT32 * images * pixels * len(model.channels),
        },
    ]
    if stage2 is not None:
        held["weights of stage II"] = size(stage2.variables)
        moments.append({"at work: a layer": _forward_layer(models.code_model, images)})
        # Layers are taken out of their stack once, not at every index.
        layers = {"decoder's layers, apart": size(stage2.params["decoder_layers"])}
        moments.append(layers | _sampling(models.code_model, images))
    held["images"] = images * size(models.batch(1)["image"])
    return Memory(held, _fullest(moments))


def _sampling(model: Stage2Model, images: int) -> dict[str, int]:
    """What stands there while indices are drawn."""
    patches, length = positions(model), model.code_length
    token = images * model.width * _token(model)
    entry = 2 * model.decoder_depth * token
    return {
        "encoded image": 2 * patches * token,
        "keys and values of the image": patches * entry,
        "keys and values of the code": length * entry,
        "logits": LOGITS * _FLOAT32 * images * model.vocabulary_size,
    }


def _forward_layer(model: Model, images: int) -> int:
    """One encoder layer without a backward pass: its scores twice, or its hidden layer twice."""
    tokens = images * positions(model)
    hidden = 2 * _token(model) * tokens * model.mlp_width
    attention = 0
    if model.attention == "xla":
        attention = 2 * _FLOAT32 * tokens * model.num_heads * positions(model)
    return 3 * _FLOAT32 * tokens * model.width + max(attention, hidden)


def _token(model: Model) -> int:
    """Bytes of a number that goes into or out of a product; the residual stream is float32."""
    return jnp.dtype(model.dtype).itemsize


def _fullest(moments: list[dict[str, int]]) -> dict[str, int]:
    return max(moments, key=lambda moment: sum(moment.values()))
