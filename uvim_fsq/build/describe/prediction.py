"""Memory of one device while it predicts."""

import math

from uvim_fsq.build.describe import working
from uvim_fsq.build.describe.memory import Memory
from uvim_fsq.build.describe.models import Models
from uvim_fsq.build.describe.parameters import size

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
    decoding = _decoding(models, images * samples)
    if models.stage2 is None:
        return Memory(held, decoding)
    sampling = _sampling(models, images, samples)
    return Memory(held, max(sampling, decoding, key=lambda phase: sum(phase.values())))


def _sampling(models: Models, images: int, samples: int) -> dict[str, int]:
    model = models.code_model
    assert models.stage2 is not None
    patches, itemsize = working.positions(model), working.itemsize(model)
    entry = 2 * model.decoder_depth * model.width * itemsize
    return {
        # Layers are taken out of their stack once, not at every index.
        "decoder's layers, apart": size(models.stage2.params["decoder_layers"]),
        "keys and values of the image": images * patches * entry,
        "keys and values of the code": images * samples * model.code_length * entry,
        "at work: logits": 3 * _FLOAT32 * images * samples * model.vocabulary_size,
    }


def _decoding(models: Models, images: int) -> dict[str, int]:
    model = models.autoencoder
    pixels = math.prod(model.image_size)
    logits = _FLOAT32 * pixels * sum(model.channels.values())
    group = max(1, min(images, models.chunk_bytes // logits))
    positions = working.positions(model)
    return {
        "head logits": 2 * group * logits,
        "predictions": _FLOAT32 * images * pixels * len(model.channels),
        "at work: a layer": working.forward_layer(model, images, positions),
    }
