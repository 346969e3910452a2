"""The loss of the heads: how many chunks, and that chunks keep the bound and the result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.core import FrozenDict

from uvim_fsq.models.uvim.stage1.heads import head_loss, number_of_chunks
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.quantizers import FSQ

BATCH = 16
CLASSES = {"kind": 200, "part": 56}
PIXEL_BYTES = 4 * BATCH * 4 * 256
"""Of the logits of one pixel of all patches."""


@pytest.mark.parametrize(
    ("pixels", "limit", "chunks"),
    [
        (12, 120, 1),
        (12, 119, 2),
        (12, 60, 2),
        (12, 59, 3),
        (12, 39, 4),
        (12, 29, 6),
        (12, 10, 12),
        (12, 9, 12),
        (7, 69, 7),
        (1, 1, 1),
    ],
)
def test_the_fewest_chunks_within_the_limit(pixels, limit, chunks):
    """Of 10 bytes a pixel; not even one pixel may fit, and then that is what a chunk is."""
    assert number_of_chunks(pixels, 10, limit) == chunks


def task_loss(outputs, planes):
    return {n: softmax_cross_entropy(outputs[n], planes[n]) for n in outputs}


@pytest.fixture(scope="module")
def model():
    return Stage1Model(
        channels=FrozenDict(CLASSES),
        quantizer=FSQ((5, 5)),
        image_size=(16, 16),
        patch_size=(8, 8),
        width=8,
        encoder_depth=1,
        decoder_depth=1,
        mlp_width=16,
        num_heads=2,
        code_length=4,
    )


@pytest.mark.parametrize("chunks", [1, 2, 8, 64])
def test_the_logits_held_at_once_stay_within_the_bound(model, chunks, largest_array):
    """In the whole program of loss and gradient nothing is larger, but for the heads themselves."""
    limit = PIXEL_BYTES * 64 // chunks
    loss = stage1_loss(model, task_loss, chunk_bytes=limit, train=False)
    image = jnp.zeros((BATCH, 16, 16, 3), jnp.uint8)
    planes = jnp.zeros((BATCH, 16, 16, 2), jnp.int16)
    by_name = {name: planes[..., 0] for name in CLASSES}
    params = jax.eval_shape(
        lambda: model.init(
            jax.random.key(0), by_name, image / jnp.float32(255), method="reconstruct"
        )["params"]
    )
    batch = {"image": image, "planes": planes}
    gradient = jax.value_and_grad(lambda params: loss(params, {}, {}, batch, None)[0])
    kernel = 4 * 8 * CLASSES["kind"] * 64
    logits = limit * CLASSES["kind"] // 256
    assert largest_array(gradient, params) == max(logits, kernel)


def inputs(dtype=jnp.float32):
    """Tokens, heads, planes and weights of 3 examples, 5 patches, 12 pixels."""
    keys = iter(jax.random.split(jax.random.key(0), 9))
    tokens = jax.random.normal(next(keys), (3, 5, 4)).astype(dtype)
    heads = {
        name: {
            "kernel": jax.random.normal(next(keys), (4, count, 12)),
            "bias": jax.random.normal(next(keys), (count, 12)),
        }
        for name, count in {"a": 7, "b": 3}.items()
    }
    planes = {
        name: jax.random.randint(next(keys), (3, 5, 12), 0, count)
        for name, count in {"a": 7, "b": 3}.items()
    }
    return tokens, heads, planes, jnp.array([1.0, 0.0, 0.5])


@pytest.mark.parametrize("chunks", [1, 3, 12])
def test_sums_and_gradients_are_those_of_the_plain_loss(chunks, scan_lengths):
    """With weights, a factor from outside, and a second channel."""
    tokens, heads, planes, weights = inputs()

    def plain(tokens, heads):
        logits = {
            name: jnp.einsum("bpd,dvx->bpvx", tokens, head["kernel"])
            + head["bias"][None, None]
            for name, head in heads.items()
        }
        logs = {
            name: jax.nn.log_softmax(value, axis=2) for name, value in logits.items()
        }
        sums = {}
        for name, log in logs.items():
            taken = jnp.take_along_axis(log, planes[name][:, :, None], axis=2)
            sums[name] = -(taken.sum((1, 2, 3)) * weights).sum()
        return 0.25 * (sums["a"] + sums["b"]), sums

    def chunked(tokens, heads):
        total, sums = head_loss(
            task_loss, chunks, jnp.float32, tokens, heads, planes, weights
        )
        return 0.25 * total, sums

    expected, found = (
        jax.value_and_grad(f, argnums=(0, 1), has_aux=True)(tokens, heads)
        for f in (plain, chunked)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6),
        found,
        expected,
    )
    # Without a gradient it is another program, with the same sums.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        chunked(tokens, heads),
        expected[0],
    )
    for function in (chunked, jax.grad(lambda *a: chunked(*a)[0], argnums=(0, 1))):
        lengths = scan_lengths(function, tokens, heads)
        assert lengths == ([chunks] if chunks > 1 else [])


def test_gradients_have_the_types_of_what_they_are_of():
    """Half-precision tokens: summed over chunks in float32, returned as bfloat16."""
    tokens, heads, planes, weights = inputs(jnp.bfloat16)

    def loss(tokens, heads):
        return head_loss(task_loss, 4, jnp.bfloat16, tokens, heads, planes, weights)[0]

    gradients = jax.grad(loss, argnums=(0, 1))(tokens, heads)
    assert gradients[0].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients[1])} == {jnp.dtype("f4")}
