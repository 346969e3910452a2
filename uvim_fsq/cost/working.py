"""What a step needs for a moment beside what it keeps: one layer, the heads, the codebook's search.

These are counts of the large arrays that stand beside one another at the fullest moment of each
part. The counts come from looking at what XLA's compiler for processors allots, see
`tests/cost/test_memory.py`; a compiler for accelerators fuses more, and its own will be less.
"""

import math

import jax.numpy as jnp

from uvim_fsq.cost.shapes import Models, Stage
from uvim_fsq.models.uvim.stage1.heads import number_of_chunks
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.quantizers import VQ

SCORES = 4
"""Arrays of attention's scores (b heads q s), float32: weights, their gradient, copies of both."""
STREAM = 8
"""Arrays of tokens (b s d) beside them that are float32 in every model: inputs and their gradients."""
TOKENS = 8
"""Likewise, in the model's type: projections and their gradients."""
CROSS_TOKENS = 8
"""Of tokens in the model's type, what cross-attention adds: half at the code's positions, half at the patches."""
PRODUCTS = 4
"""Products of attention as wide as a token: queries, keys, values, outputs."""
HIDDEN = 5
"""Arrays as wide as the MLP (b s mlp) in its backward pass."""
MLP_TOKENS = 7
"""Arrays of tokens beside them, float32."""
LOGITS = 3
"""Arrays of logits, float32: themselves, their softmax, their gradient."""
_FLOAT32 = 4


def positions(model: Stage1Model | Stage2Model) -> int:
    """Patches of an image."""
    return math.prod(grid_size(model.image_size, model.patch_size))


def itemsize(model: Stage1Model | Stage2Model) -> int:
    """Bytes of what goes into and comes out of a product; the residual stream is float32."""
    return jnp.dtype(model.dtype).itemsize


def decoding(models: Models, stage: Stage, images: int) -> dict[str, int]:
    """Bytes by part while all of the forward pass is kept; the largest counts, not their sum."""
    if stage is models.stage1:
        return _autoencoder(models, images)
    model = models.code_model
    logits = _FLOAT32 * images * model.code_length * model.vocabulary_size
    return {
        "a layer of the decoder": _decoder_layer(model, images),
        "logits": LOGITS * logits,
    }


def encoding(models: Models, stage: Stage, images: int) -> dict[str, int]:
    """As `decoding`, while only what the encoder needs is kept."""
    model = stage.model
    patches = positions(model)
    return {"a layer of the encoder": layer(model, images, patches, patches)}


def _autoencoder(models: Models, images: int) -> dict[str, int]:
    model = models.autoencoder
    tokens = images * positions(model)
    pixels = math.prod(model.patch_size)
    per_pixel = _FLOAT32 * tokens * sum(model.channels.values())
    chunks = number_of_chunks(pixels, per_pixel, models.chunk_bytes)
    parts = {
        "a layer of the decoder": layer(
            model, images, positions(model), positions(model)
        ),
        "head logits": LOGITS * per_pixel * pixels // chunks,
    }
    if isinstance(model.quantizer, VQ):
        distances = images * model.code_length * model.quantizer.codebook_size
        parts["nearest codeword"] = 2 * _FLOAT32 * distances
    return parts


def layer(
    model: Stage1Model | Stage2Model, images: int, queries: int, keys: int
) -> int:
    """The backward pass of one layer: its attention or its MLP, whichever takes more.

    Where everything is computed again, the layer's products are there too, for that moment.
    """
    token = itemsize(model) * images * queries
    stream = _FLOAT32 * images * queries
    scores = _FLOAT32 * images * model.num_heads * queries * keys
    attention = (STREAM * stream + TOKENS * token) * model.width
    if model.attention == "xla":
        attention += SCORES * scores
    mlp = MLP_TOKENS * stream * model.width + HIDDEN * token * model.mlp_width
    again = 0
    if model.rematerialize == "everything":
        again = token * (PRODUCTS * model.width + model.mlp_width)
    return again + max(attention, mlp)


def _decoder_layer(model: Stage2Model, images: int) -> int:
    """As `layer`, with cross-attention beside self-attention."""
    patches, length = positions(model), model.code_length
    arrays = CROSS_TOKENS
    if model.rematerialize == "everything":
        arrays += PRODUCTS
    # Half of them, keys and values, stand at the patches.
    cross = arrays * images * (length + patches) * model.width * itemsize(model) // 2
    return cross + layer(model, images, length, max(patches, length))


def forward_layer(model: Stage1Model | Stage2Model, images: int, queries: int) -> int:
    """One layer without a backward pass: its scores twice, or its hidden layer twice."""
    size = itemsize(model)
    scores = _FLOAT32 * images * model.num_heads * queries * queries
    attention = 2 * scores if model.attention == "xla" else 0
    hidden = 2 * size * images * queries * model.mlp_width
    return 3 * _FLOAT32 * images * queries * model.width + max(attention, hidden)
