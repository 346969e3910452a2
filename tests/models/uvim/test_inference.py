"""Predictions in groups of images: as many as fit the bound, with the same result to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.quantizers import FSQ
from uvim_fsq.tasks.depth.task import DepthTask

BATCH, BINS = 6, 20
TASK = DepthTask((16, 16), bins=BINS, crop="none")
MODEL = Stage1Model(
    channels=FrozenDict(TASK.channels),
    quantizer=FSQ((5, 5)),
    image_size=TASK.image_size,
    patch_size=(8, 8),
    width=8,
    encoder_depth=1,
    decoder_depth=1,
    mlp_width=16,
    num_heads=2,
    code_length=4,
)
OF_ONE = 4 * 16 * 16 * BINS
"""Bytes of an image's logits."""


@pytest.fixture(scope="module")
def inputs():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (BATCH, 16, 16, 3), np.uint8)
    return jnp.asarray(generator.integers(0, 25, (BATCH, 4)), jnp.int32), image


@pytest.fixture(scope="module")
def variables():
    """With heads that are not zero, as fresh ones are."""
    planes = {"depth": jnp.zeros((1, 16, 16), jnp.int32)}
    image = jnp.zeros((1, 16, 16, 3))
    start = MODEL.init(jax.random.key(0), planes, image, method="reconstruct")
    leaves, tree = jax.tree.flatten(start)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    pairs = zip(leaves, keys, strict=True)
    return tree.unflatten([a + 0.2 * jax.random.normal(k, a.shape) for a, k in pairs])


@pytest.mark.parametrize(
    ("images", "groups"), [(6, 1), (5.9, 2), (3, 2), (2.9, 3), (1, 6), (0.1, 6)]
)
def test_groups_keep_to_the_bound_and_change_nothing(
    inputs, variables, scan_lengths, images, groups
):
    """Groups of one size, so that 5 of 6 are two groups of 3; one image is the least."""

    def decode(fit):
        bound = int(fit * OF_ONE)
        return Inference(TASK, MODEL, variables, chunk_bytes=bound).decode

    lengths = scan_lengths(decode(images), *inputs)
    assert (groups in lengths) or groups == 1
    assert max(lengths) == max(groups, 1)
    whole, found = decode(BATCH)(*inputs)["depth"], decode(images)(*inputs)["depth"]
    np.testing.assert_array_equal(found, whole)
    assert len(np.unique(whole)) > 5
