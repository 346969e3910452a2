"""Memory of one device while it predicts."""

import math

from uvim_fsq.cost import working
from uvim_fsq.cost.memory import Memory
from uvim_fsq.cost.parameters import size
from uvim_fsq.cost.shapes import Models

_FLOAT32 = 4


def prediction_memory(models: Models, images: int, samples: int = 1) -> Memory:
    """Of a batch of images: both stages' weights, and the fullest of what runs one after another.

    The code is sampled with the keys and values of all positions kept; the heads decode as many
    images at once as their bound on logits allows.
    """
    held = {"weights of stage I": size(models.stage1.variables)}
    if models.stage2 is not None:
        held["weights of stage II"] = size(models.stage2.variables)
    held["images"] = images * size(models.batch(1)["image"])
    phases = _decoding(models, images * samples)
    if models.stage2 is not None:
        phases += _sampling(models, images, samples)
    return Memory(held, max(phases, key=lambda phase: sum(phase.values())))


def _sampling(models: Models, images: int, samples: int) -> list[dict[str, int]]:
    """While the image is encoded, and while indices are drawn."""
    model = models.code_model
    assert models.stage2 is not None
    patches, itemsize = working.positions(model), working.itemsize(model)
    token = model.width * itemsize
    entry = 2 * model.decoder_depth * token
    encoding = {"at work: a layer": working.forward_layer(model, images, patches)}
    return [
        encoding,
        {
            # Layers are taken out of their stack once, not at every index.
            "decoder's layers, apart": size(models.stage2.params["decoder_layers"]),
            "encoded image": 2 * images * patches * token,
            "keys and values of the image": images * patches * entry,
            "keys and values of the code": images * samples * model.code_length * entry,
            "logits": working.LOGITS
            * _FLOAT32
            * images
            * samples
            * model.vocabulary_size,
        },
    ]


def _decoding(models: Models, images: int) -> list[dict[str, int]]:
    """While the code becomes tokens, and while tokens become predictions."""
    model = models.autoencoder
    pixels = math.prod(model.image_size)
    logits = _FLOAT32 * pixels * sum(model.channels.values())
    group = max(1, min(images, models.chunk_bytes // logits))
    patches = working.positions(model)
    return [
        {"at work: a layer": working.forward_layer(model, images, patches)},
        {
            "head logits": group * logits,
            "predictions": _FLOAT32 * images * pixels * len(model.channels),
        },
    ]
