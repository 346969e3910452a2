"""Stage I with a float channel: it learns colours, in chunks too, from 8-bit and float images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from uvim_fsq.data.loader import evaluation_batches, training_batches
from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.quantizers import FSQ
from uvim_fsq.tasks.base import example_transform
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.training.optimizer import adamw, make_optimizer
from uvim_fsq.training.schedule import cosine
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import make_step

BATCH, STEPS = 8, 80
TASK = ColorizationTask((16, 16), crop_area=(0.5, 1.0))
MODEL = Stage1Model(
    channels=FrozenDict(TASK.channels),
    quantizer=FSQ((8, 6, 5)),
    image_size=TASK.image_size,
    patch_size=(8, 8),
    width=32,
    encoder_depth=1,
    decoder_depth=1,
    mlp_width=64,
    num_heads=2,
    code_length=4,
    code_dropout="none",
)


class Gradients:
    """Pictures of two colours each, of one luminance: grey does not tell them apart."""

    categories = ()

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        ramp = np.linspace(0, 1, 24)[None, :, None]
        chroma = rng.normal(size=(2, 3))
        chroma -= (chroma @ [0.2989, 0.587, 0.114])[:, None]
        chroma *= 90 / np.abs(chroma).max(axis=1, keepdims=True)
        image = np.rint(128 + chroma[0] * ramp + chroma[1] * (1 - ramp))
        image = np.broadcast_to(image, (20, 24, 3)).astype(np.uint8)
        return {"image": image, "id": str(index)}

    def example_id(self, index):
        return str(index)

    def reference(self, index):
        return {**self[index], "size": (20, 24)}


def transform(example, generator):
    prepared = TASK.preprocess(example, generator, train=True)
    return {"image": prepared["image"], "planes": TASK.encode(prepared["target"])}


def losses(chunk_bytes, train):
    return stage1_loss(MODEL, TASK.loss, chunk_bytes=chunk_bytes, train=train)


def first_variables():
    planes = {"color": jnp.zeros((1, 16, 16, 3))}
    image = jnp.zeros((1, 16, 16, 3))
    return MODEL.init(jax.random.key(0), planes, image, method="reconstruct")


@pytest.fixture(scope="module")
def trained():
    """Losses of every step, and the parameters after the last."""
    optimizer = make_optimizer(
        adamw(), learning_rate=5e-3, schedule=cosine(STEPS), clip_norm=1.0
    )
    # In two chunks: half of a patch's pixels at a time.
    step = make_step(
        losses(4 * BATCH * 4 * 3 * 32, train=True),
        lambda collections, statistics, key: collections,
        optimizer,
        lambda step: jnp.float32(0),
        batch_size=BATCH,
        seed=0,
    )
    state = step.replicate(create_state(first_variables()["params"], {}, optimizer))
    batches = training_batches(
        Gradients(400), transform, batch_size=BATCH, seed=0, threads=1
    )
    found = []
    for _, batch in zip(range(STEPS), batches, strict=False):
        assert batch["image"].dtype == np.uint8
        arrays = {name: batch[name] for name in ("image", "planes", "mask")}
        state, metrics = step(state, {}, step.put(arrays))
        found.append(float(metrics["loss"]))
    batches.close()
    return found, {"params": jax.device_get(state.params)}


@pytest.fixture(scope="module")
def held_out():
    """Eight pictures of the evaluation protocol that were not trained on."""
    (batch,) = evaluation_batches(
        Gradients(408),
        example_transform(TASK, train=False),
        batch_size=BATCH,
        indices=range(400, 408),
        threads=1,
    )
    return {name: batch[name] for name in ("image", "planes", "mask")}


def test_training_from_8_bit_images_lowers_the_loss(trained):
    found, _ = trained
    assert np.isfinite(found).all()
    assert np.mean(found[-10:]) < 0.35 * np.mean(found[:3])


def test_evaluation_with_float_images(trained, held_out):
    """Colours of unseen pictures come through the code: far better than grey would be."""
    _, variables = trained
    assert held_out["image"].dtype == held_out["planes"].dtype == np.float32
    loss, _ = jax.jit(losses(2**20, train=False))(
        variables["params"], {}, {}, held_out, None
    )
    grey = np.square(held_out["planes"] - held_out["image"]).mean()
    assert float(loss) < 0.35 * grey
    inference = Inference(TASK, MODEL, variables)
    prediction, _ = inference.reconstruct(held_out["image"], held_out["planes"])
    color = np.asarray(prediction["color"])
    assert color.shape == held_out["planes"].shape
    # No value left [-1, 1], so clipping changes nothing, and the loss is the mean squared error.
    assert np.abs(color).max() < 1
    error = np.square(color - held_out["planes"]).mean()
    np.testing.assert_allclose(loss, error, rtol=1e-5)
    codes = np.asarray(inference.encode(held_out["image"], held_out["planes"]))
    foreign = inference.decode(np.roll(codes, 1, axis=0), held_out["image"])["color"]
    assert np.square(foreign - held_out["planes"]).mean() > grey, "the code tells it"


def test_8_bit_and_float_images_of_one_picture_agree(trained, held_out):
    _, variables = trained
    inference = Inference(TASK, MODEL, variables)
    pixels = np.rint((held_out["image"] + 1) * 127.5).astype(np.uint8)
    scaled = pixels.astype(np.float32) / np.float32(127.5) - 1
    codes = inference.encode(pixels, held_out["planes"])
    np.testing.assert_array_equal(codes, inference.encode(scaled, held_out["planes"]))
    predictions = [
        inference.decode(codes, image)["color"] for image in (pixels, scaled)
    ]
    np.testing.assert_allclose(predictions[0], predictions[1], atol=1e-5)


def test_chunks_give_the_same_loss_and_gradient(held_out, scan_lengths):
    params = first_variables()["params"]
    # Heads start at zero, where the gradient of everything else is zero too.
    head = jax.random.normal(jax.random.key(1), (32, 3, 64)) * 0.1
    params = {**params, "head_color": {**params["head_color"], "kernel": head}}

    def of(chunk_bytes):
        function = losses(chunk_bytes, train=False)

        def loss(params, batch):
            return function(params, {}, {}, batch, None)[0]

        gradient = jax.value_and_grad(loss)
        chunks = max(scan_lengths(gradient, params, held_out))
        return chunks, *jax.jit(gradient)(params, held_out)

    (one, *whole), (four, *chunked) = of(2**20), of(4 * BATCH * 4 * 3 * 16)
    assert (one, four) == (1, 4)
    np.testing.assert_allclose(whole[0], chunked[0], rtol=1e-6)
    for one, other in zip(
        jax.tree.leaves(whole[1]), jax.tree.leaves(chunked[1]), strict=True
    ):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
