"""The objective of stage II by hand: what fills up a batch counts nowhere."""

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.models.uvim.stage2.objective import stage2_loss

MODEL = Stage2Model(
    codebook_size=4,
    code_length=3,
    image_size=(8, 8),
    patch_size=(4, 4),
    width=8,
    encoder_depth=1,
    decoder_depth=1,
    mlp_width=8,
    num_heads=2,
)


def test_loss_and_accuracy_are_means_over_the_real_examples():
    """Of tokens, which are indices plus one; the last example only fills up the batch."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (3, 8, 8, 3), np.uint8)
    indices = jnp.array([[0, 1, 3], [2, 0, 1], [3, 3, 3]], jnp.int32)
    scaled = jnp.asarray(image / np.float32(127.5) - 1)
    params = MODEL.init(jax.random.key(0), scaled, indices)["params"]
    # Fresh logits are all zero.
    kernel = jax.random.normal(jax.random.key(1), params["logits"]["kernel"].shape)
    params = {**params, "logits": {**params["logits"], "kernel": kernel}}
    loss = stage2_loss(MODEL, lambda frozen, batch: batch["indices"])
    batch = {
        "image": image,
        "indices": indices,
        "mask": np.array([True, True, False]),
    }
    found, (_, metrics) = jax.jit(lambda p, b: loss(p, {}, {}, b, None))(params, batch)
    logits = np.asarray(MODEL.apply({"params": params}, scaled, indices), np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    own = np.take_along_axis(logs, np.asarray(indices)[..., None] + 1, -1)[..., 0]
    np.testing.assert_allclose(found, -own[:2].mean(), rtol=1e-5)
    hits = logits.argmax(-1) == np.asarray(indices) + 1
    np.testing.assert_allclose(metrics["accuracy"], hits[:2].mean(), rtol=1e-6)
    whole = {name: array for name, array in batch.items() if name != "mask"}
    found, (_, metrics) = jax.jit(lambda p, b: loss(p, {}, {}, b, None))(params, whole)
    np.testing.assert_allclose(found, -own.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], hits.mean(), rtol=1e-6)
