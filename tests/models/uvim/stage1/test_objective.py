"""The objective of stage I: examples that only fill up a batch count nowhere; metrics of the code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.quantizers import FSQ

MODEL = Stage1Model(
    channels=FrozenDict({"kind": 5}),
    quantizer=FSQ((3, 3)),
    image_size=(8, 8),
    patch_size=(4, 4),
    width=8,
    encoder_depth=1,
    decoder_depth=1,
    mlp_width=8,
    num_heads=2,
    code_length=4,
)


def task_loss(outputs, planes):
    return {n: softmax_cross_entropy(outputs[n], planes[n]) for n in outputs}


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(0)
    return {
        "image": generator.integers(0, 256, (4, 8, 8, 3), np.uint8),
        "planes": generator.integers(0, 5, (4, 8, 8, 1)).astype(np.int16),
        "mask": np.array([True, True, True, False]),
    }


@pytest.fixture(scope="module")
def params(batch):
    """Noise in every array: fresh heads are zero, and all losses equal."""
    planes = {"kind": jnp.asarray(batch["planes"][..., 0])}
    image = jnp.zeros((4, 8, 8, 3))
    start = MODEL.init(jax.random.key(0), planes, image, method="reconstruct")
    leaves, tree = jax.tree.flatten(start["params"])
    keys = jax.random.split(jax.random.key(1), len(leaves))
    pairs = zip(leaves, keys, strict=True)
    return tree.unflatten([a + 0.3 * jax.random.normal(k, a.shape) for a, k in pairs])


@pytest.fixture(scope="module")
def objective():
    loss = stage1_loss(MODEL, task_loss, chunk_bytes=2**20, train=False)
    return jax.jit(
        jax.value_and_grad(lambda p, b: loss(p, {}, {}, b, None), has_aux=True)
    )


def test_what_fills_up_a_batch_counts_nowhere(objective, params, batch):
    """The mean is over the real ones, and so is the gradient."""
    (padded, (_, metrics)), gradient = objective(params, batch)
    real = {name: array[:3] for name, array in batch.items() if name != "mask"}
    (loss, (_, expected)), expected_gradient = objective(params, real)
    np.testing.assert_allclose(padded, loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss_kind"], expected["loss_kind"], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        gradient,
        expected_gradient,
    )


def test_metrics_of_the_code_are_those_of_its_histogram(objective, params, batch):
    real = {name: array for name, array in batch.items() if name != "mask"}
    (_, (_, metrics)), _ = objective(params, real)
    planes = {"kind": jnp.asarray(real["planes"][..., 0])}
    image = jnp.asarray(real["image"] / np.float32(127.5) - 1)
    quantized = MODEL.apply({"params": params}, planes, image, train=False).quantized
    share = np.bincount(np.ravel(quantized.indices), minlength=9) / 16
    assert 1 < (share > 0).sum() < 9
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    np.testing.assert_allclose(metrics["batch_codebook_usage"], (share > 0).mean())
    np.testing.assert_allclose(
        metrics["batch_codebook_perplexity"], np.exp(entropy), rtol=1e-5
    )
