"""Arithmetic of the models, counted from their shapes: floating-point operations per image.

Only matrix products count, a multiplication and an addition as two operations; elementwise work,
normalization, softmax and the gathered label embedding (additions alone) count as none. Causal
self-attention counts half of its scores, those that are needed, in training as in sampling. A
training step counts each product three times: forward, and the gradients of both its factors; the
head loss computes nothing twice, so the chunks of the heads change nothing. The search for the
nearest codeword has no gradient and counts once. What the backward pass computes again to save
memory (`rematerialize`) is no part of these counts, so that speeds given as operations per second
compare whatever is kept; `stage1_recomputation` and `stage2_recomputation` give it apart.

The compiler's own figure (`compiled.cost_analysis()`) takes a scanned layer once and counts
elementwise work, hence this count; the tests compare the two where all is unrolled.

    >>> parts = stage1_training(model)
    >>> parts["heads"], total(parts)
"""

import math

import jax.numpy as jnp
import numpy as np

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.quantizers import VQ
from uvim_fsq.types import DType

Flops = dict[str, float]
"""Operations per image by part; parts are named after the models' modules."""

FORWARD_AND_BACKWARD = 3
IMAGE_CHANNELS = 3


def total(parts: Flops) -> float:
    """The sum over the parts."""
    return sum(parts.values())


def stage1_encoder(model: Stage1Model, plane_dtype: DType = np.uint8) -> Flops:
    """From a target to its guiding code; labels of integer dtype are gathered, not multiplied."""
    positions = _positions(model)
    parts = {}
    if jnp.issubdtype(plane_dtype, np.floating):
        values = sum(model.channels.values()) * math.prod(model.patch_size)
        parts["label embedding"] = _dense(positions, values, model.width)
    if model.encoder_context:
        parts["image embedding"] = _patch_embedding(model)
    parts["encoder"] = _transformer(model, model.encoder_depth)
    parts["to code"] = _resizing(model) + _dense(
        model.code_length, model.width, model.quantizer.code_dim
    )
    if isinstance(model.quantizer, VQ):
        parts["nearest codeword"] = _dense(
            model.code_length, model.quantizer.code_dim, model.quantizer.codebook_size
        )
    return parts


def stage1_decoder(model: Stage1Model) -> Flops:
    """From a guiding code to the outputs of all heads."""
    logits = sum(model.channels.values()) * math.prod(model.patch_size)
    parts = {
        "from code": _resizing(model)
        + _dense(model.code_length, model.quantizer.code_dim, model.width)
    }
    if model.decoder_context:
        parts["decoder image embedding"] = _patch_embedding(model)
    parts["decoder"] = _transformer(model, model.decoder_depth)
    parts["heads"] = _dense(_positions(model), model.width, logits)
    return parts


def stage1_training(model: Stage1Model, plane_dtype: DType = np.uint8) -> Flops:
    """A training step of the autoencoder."""
    forward = stage1_encoder(model, plane_dtype) | stage1_decoder(model)
    return {
        name: flops * (1 if name == "nearest codeword" else FORWARD_AND_BACKWARD)
        for name, flops in forward.items()
    }


def stage2_encoder(model: Stage2Model) -> Flops:
    """The image encoder, and the keys and values of all layers' cross-attention."""
    products = 2 * _dense(_positions(model), model.width, model.width)
    return {
        "image embedding": _patch_embedding(model),
        "encoder": _transformer(model, model.encoder_depth),
        "cross keys and values": model.decoder_depth * products,
    }


def stage2_decoder(model: Stage2Model) -> Flops:
    """The decoder over a whole guiding code: teacher-forced at once, or sampled step by step."""
    length, width = model.code_length, model.width
    # Query, key, value and output of self-attention; query and output of cross-attention.
    projections = 6 * _dense(length, width, width)
    attention = _attention(length, length, width) / 2
    cross_attention = _attention(length, _positions(model), width)
    mlp = 2 * _dense(length, width, model.mlp_width)
    return {
        "decoder projections": model.decoder_depth * projections,
        "causal self-attention": model.decoder_depth * attention,
        "cross-attention": model.decoder_depth * cross_attention,
        "decoder MLP": model.decoder_depth * mlp,
        "logits": _dense(length, width, model.vocabulary_size),
    }


def stage2_training(
    model: Stage2Model, stage1: Stage1Model, plane_dtype: DType = np.uint8
) -> Flops:
    """A training step of the code model, with the frozen stage-I encoder's forward pass."""
    parts = {
        name: FORWARD_AND_BACKWARD * flops
        for name, flops in (stage2_encoder(model) | stage2_decoder(model)).items()
    }
    return parts | {"frozen encoder": total(stage1_encoder(stage1, plane_dtype))}


def stage1_recomputation(model: Stage1Model, rematerialize: str) -> float:
    """What the backward pass of a training step computes again, see `nn.transformer.scan_layers`."""
    layers = model.encoder_depth + model.decoder_depth
    positions = _positions(model)
    attention = layers * _attention(positions, positions, model.width)
    return _recomputed(rematerialize, _transformer(model, layers), attention)


def stage2_recomputation(model: Stage2Model, rematerialize: str) -> float:
    """As `stage1_recomputation`, of stage II; the frozen encoder has no backward pass."""
    encoder, decoder = stage2_encoder(model), stage2_decoder(model)
    positions = _positions(model)
    attention = (
        model.encoder_depth * _attention(positions, positions, model.width)
        + decoder["causal self-attention"]
        + decoder["cross-attention"]
    )
    layers = (
        encoder["encoder"]
        + encoder["cross keys and values"]
        + total(decoder)
        - decoder["logits"]
    )
    return _recomputed(rematerialize, layers, attention)


def _recomputed(rematerialize: str, layers: float, attention: float) -> float:
    """All of the layers' forward pass, its products without weights, or nothing."""
    return {"nothing": 0.0, "cheap": attention, "everything": layers}[rematerialize]


def sampling(model: Stage2Model) -> Flops:
    """Drawing one guiding code: the image encoded once, then one decoder step per index."""
    return stage2_encoder(model) | stage2_decoder(model)


def prediction(model: Stage2Model, stage1: Stage1Model) -> Flops:
    """From an image to the outputs: a guiding code is drawn, then decoded."""
    return {
        "sampling": total(sampling(model)),
        "stage-I decoder": total(stage1_decoder(stage1)),
    }


def _positions(model: Stage1Model | Stage2Model) -> int:
    return math.prod(grid_size(model.image_size, model.patch_size))


def _dense(positions: int, inputs: int, outputs: int) -> float:
    return 2.0 * positions * inputs * outputs


def _attention(queries: int, keys: int, width: int) -> float:
    """Scores, and the sum of the values they weigh."""
    return 4.0 * queries * keys * width


def _patch_embedding(model: Stage1Model | Stage2Model) -> float:
    values = IMAGE_CHANNELS * math.prod(model.patch_size)
    return _dense(_positions(model), values, model.width)


def _transformer(model: Stage1Model | Stage2Model, depth: int) -> float:
    positions, width = _positions(model), model.width
    projections = 4 * _dense(positions, width, width)
    mlp = 2 * _dense(positions, width, model.mlp_width)
    return depth * (projections + mlp + _attention(positions, positions, width))


def _resizing(model: Stage1Model) -> float:
    """The learned resizing's product; interpolation, a few additions, counts as none."""
    if model.resize == "linear":
        return 0.0
    return _dense(model.width, _positions(model), model.code_length)
