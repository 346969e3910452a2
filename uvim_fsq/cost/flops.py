"""Operations of the models' matrix products, per image and by part, counted from their shapes.

A multiplication and an addition are two operations; elementwise work, normalization, softmax and
gathered embeddings count as none. Causal self-attention counts the half of its scores that is
needed, in training as in sampling. A training step counts each product three times: forward, and
the gradients of both its factors. What the backward pass computes again to save memory is counted
apart, by `recomputed`, so that speeds compare whatever is kept.

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

Model = Stage1Model | Stage2Model
Flops = dict[str, float]

FORWARD_AND_BACKWARD = 3
IMAGE_CHANNELS = 3
NEAREST = "nearest codeword"


def total(*counts: Flops) -> float:
    """The sum over all parts."""
    return sum(sum(parts.values()) for parts in counts)


def positions(model: Model) -> int:
    """Patches of an image."""
    return math.prod(grid_size(model.image_size, model.patch_size))


def stage1_encoder(model: Stage1Model, plane_dtype: DType = np.uint8) -> Flops:
    """From a target to its guiding code; labels of integer dtype are gathered, not multiplied."""
    length, code_dim = model.code_length, model.quantizer.code_dim
    parts = {}
    if jnp.issubdtype(plane_dtype, np.floating):
        parts["label embedding"] = _dense(positions(model), _values(model), model.width)
    if model.encoder_context:
        parts["image embedding"] = _patch_embedding(model)
    parts["encoder"] = model.encoder_depth * _layer(model)
    parts["to code"] = _resizing(model) + _dense(length, model.width, code_dim)
    if isinstance(model.quantizer, VQ):
        parts[NEAREST] = _dense(length, code_dim, model.quantizer.codebook_size)
    return parts


def stage1_decoder(model: Stage1Model) -> Flops:
    """From a guiding code to the outputs of all heads."""
    product = _dense(model.code_length, model.quantizer.code_dim, model.width)
    parts = {"from code": _resizing(model) + product}
    if model.decoder_context:
        parts["decoder image embedding"] = _patch_embedding(model)
    parts["decoder"] = model.decoder_depth * _layer(model)
    parts["heads"] = _dense(positions(model), model.width, _values(model))
    return parts


def stage1_training(model: Stage1Model, plane_dtype: DType = np.uint8) -> Flops:
    """A training step of the autoencoder; the search for the nearest codeword has no gradient."""
    forward = stage1_encoder(model, plane_dtype) | stage1_decoder(model)
    return _trained(forward) | {k: v for k, v in forward.items() if k == NEAREST}


def stage2_encoder(model: Stage2Model) -> Flops:
    """The image encoder, and the keys and values of all layers' cross-attention."""
    products = 2 * _dense(positions(model), model.width, model.width)
    return {
        "image embedding": _patch_embedding(model),
        "encoder": model.encoder_depth * _layer(model),
        "cross keys and values": model.decoder_depth * products,
    }


def stage2_decoder(model: Stage2Model) -> Flops:
    """The decoder over a whole guiding code: teacher-forced at once, or sampled step by step."""
    length, width, depth = model.code_length, model.width, model.decoder_depth
    return {
        # Query, key, value and output of self-attention; query and output of cross-attention.
        "decoder projections": depth * 6 * _dense(length, width, width),
        "causal self-attention": depth * _attention(length, length, width) / 2,
        "cross-attention": depth * _attention(length, positions(model), width),
        "decoder MLP": depth * 2 * _dense(length, width, model.mlp_width),
        "logits": _dense(length, width, model.vocabulary_size),
    }


def stage2_training(
    model: Stage2Model, stage1: Stage1Model, plane_dtype: DType = np.uint8
) -> Flops:
    """A training step of the code model, with the frozen stage-I encoder's forward pass."""
    frozen = total(stage1_encoder(stage1, plane_dtype))
    trained = _trained(stage2_encoder(model) | stage2_decoder(model))
    return trained | {"frozen encoder": frozen}


def recomputed(model: Model) -> float:
    """What the backward pass computes again, see `rematerialize` in `nn.transformer.scan_layers`.

    "cheap" computes attention's two products again, "everything" whole layers.
    """
    layers, patches = model.encoder_depth, positions(model)
    attention, whole = 0.0, 0.0
    if isinstance(model, Stage2Model):
        decoder = stage2_decoder(model)
        attention = decoder["causal self-attention"] + decoder["cross-attention"]
        whole = stage2_encoder(model)["cross keys and values"]
        whole += total(decoder) - decoder["logits"]
    else:
        layers += model.decoder_depth
    attention += layers * _attention(patches, patches, model.width)
    whole += layers * _layer(model)
    return {"nothing": 0.0, "cheap": attention, "everything": whole}[
        model.rematerialize
    ]


def _trained(forward: Flops) -> Flops:
    return {name: FORWARD_AND_BACKWARD * value for name, value in forward.items()}


def _dense(rows: int, inputs: int, outputs: int) -> float:
    return 2.0 * rows * inputs * outputs


def _attention(queries: int, keys: int, width: int) -> float:
    """Scores, and the sum of the values they weigh."""
    return 4.0 * queries * keys * width


def _layer(model: Model) -> float:
    """Of an encoder: attention's four projections, attention, and the MLP."""
    patches, width = positions(model), model.width
    projections = 4 * _dense(patches, width, width)
    mlp = 2 * _dense(patches, width, model.mlp_width)
    return projections + mlp + _attention(patches, patches, width)


def _patch_embedding(model: Model) -> float:
    values = IMAGE_CHANNELS * math.prod(model.patch_size)
    return _dense(positions(model), values, model.width)


def _values(model: Stage1Model) -> int:
    """Of a patch of labels, all classes of all pixels."""
    return sum(model.channels.values()) * math.prod(model.patch_size)


def _resizing(model: Stage1Model) -> float:
    """The learned resizing's product; interpolation, a few additions, counts as none."""
    if model.resize == "linear":
        return 0.0
    return _dense(model.width, positions(model), model.code_length)
