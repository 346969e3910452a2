"""Layers against plain formulas."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.nn.attention import MultiHeadAttention, attend
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.nn.patches import (
    LabelEmbedding,
    PatchEmbedding,
    gather_sum,
    grid_size,
    patchify,
    scale_image,
    unpatchify,
)
from uvim_fsq.nn.positions import PositionEmbedding, sincos2d
from uvim_fsq.nn.resize import SequenceResize
from uvim_fsq.nn.transformer import Transformer


def test_patches_are_cut_row_by_row():
    image = jnp.arange(4 * 6).reshape(1, 4, 6)
    patches = patchify(image, (2, 3))
    np.testing.assert_array_equal(patches[0, 0], [0, 1, 2, 6, 7, 8])
    np.testing.assert_array_equal(patches[0, 1], [3, 4, 5, 9, 10, 11])
    np.testing.assert_array_equal(patches[0, 2], [12, 13, 14, 18, 19, 20])


@pytest.mark.parametrize("channels", [(), (3,)])
def test_unpatchify_undoes_patchify(channels):
    planes = jax.random.uniform(jax.random.key(0), (2, 8, 12, *channels))
    patches = patchify(planes, (4, 2))
    np.testing.assert_array_equal(unpatchify(patches, (2, 6), (4, 2)), planes)


def test_patch_size_must_divide_the_image():
    with pytest.raises(
        ValueError, match="30 x 32 is not a multiple of the patch size 8 x 8"
    ):
        grid_size((30, 32), (8, 8))


def test_images_are_scaled_to_minus_one_and_one():
    image = jnp.array([0, 51, 255], jnp.uint8).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(scale_image(image).ravel(), [-1, -0.6, 1], atol=1e-6)
    np.testing.assert_array_equal(scale_image(image.astype(jnp.float32)), image)


def test_patch_embedding_is_a_strided_convolution():
    image = jax.random.uniform(jax.random.key(0), (2, 8, 12, 3))
    variables = PatchEmbedding(5, (4, 2)).init(jax.random.key(1), image)
    ours = PatchEmbedding(5, (4, 2)).apply(variables, image)
    conv = nn.Conv(5, (4, 2), strides=(4, 2), padding="VALID").apply(variables, image)
    np.testing.assert_allclose(ours, conv.reshape(2, -1, 5), atol=1e-5)


def one_hot_sum(kernel, labels):
    return jnp.einsum("bpxv,vxd->bpd", jax.nn.one_hot(labels, kernel.shape[0]), kernel)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int16, jnp.int32])
def test_gathered_embedding_equals_one_hot_product(dtype):
    """Forward and gradient; labels outside the classes contribute nothing to either."""
    kernel = jax.random.normal(jax.random.key(0), (6, 8, 5))
    labels = jax.random.randint(
        jax.random.key(1), (2, 7, 8), 0 if dtype == jnp.uint8 else -3, 10
    )
    labels = labels.astype(dtype)
    weight = jax.random.normal(jax.random.key(2), (2, 7, 5))
    wide = labels.astype(jnp.int32)
    np.testing.assert_allclose(
        gather_sum(kernel, labels), one_hot_sum(kernel, wide), atol=1e-5
    )
    ours = jax.grad(lambda k: (gather_sum(k, labels) * weight).sum())(kernel)
    theirs = jax.grad(lambda k: (one_hot_sum(k, wide) * weight).sum())(kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(ours[5]).max() > 0


def test_continuous_planes_are_embedded_linearly():
    values = jax.random.normal(jax.random.key(0), (2, 7, 8, 3))
    module = LabelEmbedding(3, 5)
    variables = module.init(jax.random.key(1), values)
    kernel = variables["params"]["kernel"]
    expected = sum(values[:, :, :, v] @ kernel[v] for v in range(3))
    np.testing.assert_allclose(module.apply(variables, values), expected, atol=1e-5)


def test_cross_entropy():
    logits = jax.random.normal(jax.random.key(0), (3, 6, 4)) * 5
    labels = jnp.array([[0, 5, 2, 3], [-1, 6, 1, 4], [255, 0, 5, 5]])
    inside = (labels >= 0) & (labels < 6)
    picked = jnp.take_along_axis(
        jax.nn.log_softmax(logits, axis=1), jnp.clip(labels, 0, 5)[:, None], axis=1
    )[:, 0]
    expected = jnp.where(inside, -picked, 0.0)
    np.testing.assert_allclose(
        softmax_cross_entropy(logits, labels), expected, atol=1e-5
    )
    gradient = jax.grad(lambda x: softmax_cross_entropy(x, labels).sum())(logits)
    moved = np.abs(np.asarray(gradient)).max(1) > 0
    np.testing.assert_array_equal(moved, inside)


def test_positions():
    table = sincos2d((3, 4), 8)
    assert table.shape == (12, 8)
    # Row 1, column 2 of the grid; frequencies 1 and 1/10000.
    np.testing.assert_allclose(
        table[6],
        [np.sin(2), np.sin(2e-4), np.cos(2), 1, np.sin(1), np.sin(1e-4), np.cos(1), 1],
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos2d((3, 4), 6)
    with pytest.raises(ValueError, match="learned, sincos2d"):
        PositionEmbedding("sine", (3, 4), 8).init(
            jax.random.key(0), jnp.zeros((1, 12, 8))
        )


def test_learned_positions_have_the_published_scale():
    module = PositionEmbedding("learned", (64, 64), 64)
    params = module.init(jax.random.key(0), jnp.zeros((1, 4096, 64)))
    assert np.std(params["params"]["embedding"]) == pytest.approx(1 / 8, rel=0.02)


def test_linear_resize_keeps_a_ramp_and_learned_resize_is_a_matrix():
    ramp = jnp.broadcast_to(jnp.arange(8.0)[:, None], (8, 8)).reshape(1, 64, 1)
    module = SequenceResize("linear", (8, 8), (4, 4))
    small = module.apply({}, ramp).reshape(4, 4)
    np.testing.assert_allclose(small[1:3], [[2.5] * 4, [4.5] * 4], atol=1e-5)
    learned = SequenceResize("learned", (2, 3), (1, 4))
    tokens = jax.random.normal(jax.random.key(0), (2, 6, 5))
    variables = learned.init(jax.random.key(1), tokens)
    expected = jnp.einsum("bsd,sq->bqd", tokens, variables["params"]["matrix"])
    np.testing.assert_allclose(learned.apply(variables, tokens), expected, atol=1e-6)
    with pytest.raises(ValueError, match="cubic.*linear, learned"):
        SequenceResize("cubic", (2, 3), (1, 4)).apply({}, tokens)


def test_heads_must_divide_the_width():
    with pytest.raises(
        ValueError, match="width 30 is not a multiple of the number of heads 4"
    ):
        MultiHeadAttention(30, 4).init(jax.random.key(0), jnp.zeros((1, 2, 30)))


def test_layers_differ_and_unrolling_changes_nothing():
    tokens = jax.random.normal(jax.random.key(0), (2, 5, 16))
    rolled = Transformer(3, 32, 2)
    variables = rolled.init(jax.random.key(1), tokens)
    kernel = variables["params"]["layers"]["mlp"]["expand"]["kernel"]
    assert kernel.shape == (3, 16, 32)
    assert not np.allclose(kernel[0], kernel[1])
    np.testing.assert_allclose(
        rolled.apply(variables, tokens),
        Transformer(3, 32, 2, unroll=3).apply(variables, tokens),
        atol=1e-5,
    )


def test_bfloat16_products_stay_close_and_parameters_stay_float32():
    tokens = jax.random.normal(jax.random.key(0), (2, 5, 16))
    exact = Transformer(2, 32, 2)
    variables = exact.init(jax.random.key(1), tokens)
    rough = Transformer(2, 32, 2, dtype=jnp.bfloat16)
    assert {
        a.dtype for a in jax.tree.leaves(rough.init(jax.random.key(1), tokens))
    } == {np.dtype(np.float32)}
    out = rough.apply(variables, tokens)
    assert out.dtype == jnp.float32
    difference = np.abs(out - exact.apply(variables, tokens))
    assert 0 < difference.max() < 0.15


@pytest.mark.parametrize(
    "dtype, tolerance", [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)]
)
def test_a_single_query_attends_as_one_of_several(dtype, tolerance):
    """Sampling's own formula against the library's, masked keys included."""
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (
        jax.random.normal(k, (2, length, 3, 8), dtype)
        for k, length in zip(keys, (4, 7, 7), strict=True)
    )
    mask = (jnp.arange(7) <= 4)[None, None, None]
    together = attend(query, key, value, mask=mask)
    alone = attend(query[:, :1], key, value, mask=mask)
    assert alone.dtype == together.dtype == dtype
    np.testing.assert_allclose(
        alone.astype(jnp.float32), together[:, :1].astype(jnp.float32), atol=tolerance
    )
