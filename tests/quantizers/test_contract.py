"""What every quantizer keeps to. A new one joins by adding a line to QUANTIZERS."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import FSQ, VQ, Identity, Quantizer
from uvim_fsq.quantizers.base import check_channels

QUANTIZERS = {
    "fsq_even_odd": FSQ(levels=(8, 5, 2, 3)),
    "fsq_atanh": FSQ(levels=(7, 5, 4), bound="atanh"),
    "fsq_one_channel": FSQ(levels=[9]),
    "vq_splitting": VQ(codebook_size=32, code_dim=6),
    "vq_no_splitting": VQ(codebook_size=19, code_dim=3, splitting=False),
    "vq_commitment": VQ(codebook_size=32, code_dim=6, commitment_weight=0.25),
    "identity": Identity(code_dim=4),
}
SHAPES = [(), (5,), (3, 4), (2, 3, 2)]
FLOATS = [jnp.float32, jnp.bfloat16, jnp.float16]


@pytest.fixture(params=QUANTIZERS, ids=str)
def quantizer(request):
    return QUANTIZERS[request.param]


def latents(quantizer, shape=(3, 50), seed=0, dtype=jnp.float32):
    z = np.random.default_rng(seed).normal(size=(*shape, quantizer.code_dim), scale=1.5)
    return jnp.asarray(z, dtype)


@functools.cache
def variables(quantizer):
    initialize = jax.jit(functools.partial(quantizer.init, train=False))
    return initialize(jax.random.key(0), latents(quantizer))


@functools.cache
def compiled(quantizer, train=True):
    return jax.jit(lambda state, z: quantizer.apply(state, z, train=train))


@functools.cache
def compiled_lookup(quantizer):
    def look_up(state, indices):
        return quantizer.apply(state, indices, method="indices_to_codes")

    return jax.jit(look_up)


def needs_indices(quantizer):
    if quantizer.codebook_size is None:
        pytest.skip("no codebook, hence no indices")


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_follows_the_protocol(quantizer):
    assert isinstance(quantizer, Quantizer)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", FLOATS)
def test_shapes_and_types(quantizer, shape, dtype):
    z = jax.ShapeDtypeStruct((*shape, quantizer.code_dim), dtype)
    out = jax.eval_shape(
        lambda key, z: quantizer.init_with_output(key, z, train=True)[0],
        jax.random.key(0),
        z,
    )
    assert out.codes.shape == z.shape and out.codes.dtype == jnp.float32
    assert out.loss.shape == () and out.loss.dtype == jnp.float32
    if quantizer.codebook_size is None:
        assert out.indices is None
    else:
        assert out.indices.shape == shape and out.indices.dtype == jnp.int32


def test_indices_are_in_range_whatever_the_latents(quantizer):
    needs_indices(quantizer)
    extremes = [0.0, 1e-30, -1e30, 1e30, 3e38, np.inf, -np.inf, np.nan, -20.0, 20.0]
    z = np.random.default_rng(1).choice(extremes, size=(400, quantizer.code_dim))
    out = compiled(quantizer)(variables(quantizer), jnp.asarray(z, jnp.float32))
    assert out.indices.min() >= 0 and out.indices.max() < quantizer.codebook_size


def test_indices_to_codes_equals_codes(quantizer):
    needs_indices(quantizer)
    state = variables(quantizer)
    out = compiled(quantizer)(state, latents(quantizer))
    codes = compiled_lookup(quantizer)(state, out.indices)
    assert_same(codes, out.codes)


def test_every_index_has_a_code_of_its_own(quantizer):
    needs_indices(quantizer)
    indices = jnp.arange(quantizer.codebook_size)
    codes = compiled_lookup(quantizer)(variables(quantizer), indices)
    assert len(np.unique(np.asarray(codes), axis=0)) == quantizer.codebook_size
    assert np.isfinite(codes).all()


def test_out_of_range_indices_count_as_the_nearest(quantizer):
    needs_indices(quantizer)
    last = quantizer.codebook_size - 1
    indices = jnp.array([-5, 0, last, last + 9])
    codes = compiled_lookup(quantizer)(variables(quantizer), indices)
    assert_same(codes[0], codes[1])
    assert_same(codes[2], codes[3])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_gives_the_result_of_its_float32_copy(quantizer, dtype):
    z = latents(quantizer, (1000,), dtype=dtype)
    state = variables(quantizer)
    assert_same(
        compiled(quantizer)(state, z),
        compiled(quantizer)(state, z.astype(jnp.float32)),
    )


@pytest.mark.parametrize("train", [False, True])
def test_calling_changes_no_state(quantizer, train):
    state = variables(quantizer)
    _, changed = quantizer.apply(
        state, latents(quantizer), train=train, mutable=["codebook"]
    )
    assert_same(changed.get("codebook", {}), state.get("codebook", {}))


def test_evaluation_gathers_no_statistics(quantizer):
    out = compiled(quantizer, train=False)(variables(quantizer), latents(quantizer))
    assert jax.tree.leaves(out.statistics) == []


def test_jit_equals_eager(quantizer):
    state, z = variables(quantizer), latents(quantizer)
    eager = quantizer.apply(state, z, train=True)
    jitted = compiled(quantizer)(state, z)
    assert_same(jitted.indices, eager.indices)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5),
        jitted,
        eager,
    )


def test_vmap_equals_batch(quantizer):
    state, z = variables(quantizer), latents(quantizer)
    whole = compiled(quantizer)(state, z)
    each = jax.vmap(compiled(quantizer), in_axes=(None, 0))(state, z)
    assert_same(each.indices, whole.indices)


def test_statistics_add_up_over_micro_batches(quantizer):
    state, z = variables(quantizer), latents(quantizer, (8, 16))
    whole = compiled(quantizer)(state, z)
    parts = [compiled(quantizer)(state, part) for part in jnp.split(z, 4)]
    added = jax.tree.map(lambda *s: sum(s), *(part.statistics for part in parts))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        added,
        whole.statistics,
    )
    key = jax.random.key(3)
    before = state.get("codebook", {})
    update = jax.jit(quantizer.update)
    after = [update(before, s, key) for s in (added, whole.statistics)]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *after
    )


def test_update_keeps_structure_and_is_jittable(quantizer):
    state = variables(quantizer).get("codebook", {})
    out = compiled(quantizer)(variables(quantizer), latents(quantizer))
    after = jax.jit(quantizer.update)(state, out.statistics, jax.random.key(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, dict(state))


def test_gradient_reaches_the_latents_through_the_codes(quantizer):
    state, z = variables(quantizer), latents(quantizer)
    w = latents(quantizer, seed=5)
    gradient = jax.grad(lambda z: jnp.sum(w * compiled(quantizer)(state, z).codes))(z)
    assert np.isfinite(gradient).all()
    assert (jnp.abs(gradient).max(axis=-1) > 0).mean() > 0.9


def test_no_gradient_reaches_the_codebook(quantizer):
    state, z = variables(quantizer), latents(quantizer)
    if not jax.tree.leaves(state):
        pytest.skip("no codebook state")

    def objective(state):
        out = compiled(quantizer)(state, z)
        return jnp.sum(jnp.sin(out.codes)) + out.loss

    for leaf in jax.tree.leaves(jax.grad(objective)(state)):
        assert not leaf.any()


def test_wrong_number_of_channels_is_refused(quantizer):
    z = jnp.zeros((2, quantizer.code_dim + 1))
    with pytest.raises(ValueError, match="code_dim = "):
        quantizer.apply(variables(quantizer), z, train=False)


def test_a_number_is_no_vector():
    with pytest.raises(ValueError, match=r"code_dim = 3 channels, found shape \(\)"):
        check_channels("FSQ", jnp.zeros(()), 3)


def test_identity_passes_latents_and_has_no_indices():
    identity = QUANTIZERS["identity"]
    z = latents(identity, dtype=jnp.bfloat16)
    assert_same(identity.apply({}, z, train=True).codes, z.astype(jnp.float32))
    with pytest.raises(ValueError, match="no codebook"):
        identity.apply({}, jnp.zeros(3, jnp.int32), method="indices_to_codes")
    with pytest.raises(ValueError, match="at least 1"):
        Identity(code_dim=0)
