"""In other people's programs: meshes with explicit axes, 64 bits, empty and padded batches."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import FSQ, VQ, Identity

FSQS, VQS = FSQ((8, 5, 3)), VQ(16, 3, commitment_weight=0.25)
QUANTIZERS = [FSQS, VQS, VQ(5, 4, splitting=False), Identity(3)]

ON_A_MESH = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from uvim_fsq.quantizers import FSQ, VQ, Identity

z = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
mesh = jax.make_mesh((2, 2), ("a", "b"))
assert set(mesh.axis_types) == {jax.sharding.AxisType.Explicit}
specs = [P("a"), P("a", "b"), P(None, "b"), P(("a", "b")), P()]
for quantizer in (FSQ((8, 5, 3)), VQ(16, 3, commitment_weight=0.25), Identity(3)):
    state = quantizer.init(jax.random.key(0), z, train=False)

    @jax.jit
    def run(state, z):
        def loss(z):
            out = quantizer.apply(state, z, train=True)
            return (out.codes**2).sum() + out.loss, out

        (_, out), gradient = jax.value_and_grad(loss, has_aux=True)(z)
        codebook = state.get("codebook", {})
        codebook = quantizer.update(codebook, out.statistics, jax.random.key(1))
        if out.indices is None:
            return out, gradient
        codes = quantizer.apply(state, out.indices, method="indices_to_codes")
        return out, gradient, codebook, codes

    expected = run(state, z)
    for spec in specs:
        place = NamedSharding(mesh, spec)
        with jax.set_mesh(mesh):
            found = run(state, jax.device_put(z, place))
        for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        lies = found[0].codes.sharding
        assert lies.is_equivalent_to(place, 3), (lies, place)
"""


def test_meshes_with_explicit_axes_which_are_the_default():
    """Sharded over the first axis, the second, both, and not; codes lie where latents did."""
    command = [sys.executable, "-W", "error", "-c", ON_A_MESH]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def everything(quantizer, z):
    """All that a quantizer computes in a training step, from fresh variables."""
    state = quantizer.init(jax.random.key(0), z, train=False)
    out = quantizer.apply(state, z, train=True)
    codebook = state.get("codebook", {})
    codebook = quantizer.update(codebook, out.statistics, jax.random.key(1))
    if out.indices is None:
        return state, out, codebook
    codes = quantizer.apply(state, out.indices, method="indices_to_codes")
    return state, out, codebook, codes


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
def test_64_bits_change_no_type_and_no_value(quantizer):
    z = np.random.default_rng(0).normal(size=(4, 6, quantizer.code_dim))
    z = z.astype(np.float32)
    expected = jax.jit(everything, static_argnums=0)(quantizer, z)
    with jax.enable_x64(True):
        found = jax.jit(everything, static_argnums=0)(quantizer, z)
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
def test_an_empty_batch_has_no_loss(quantizer):
    z = np.zeros((0, 6, quantizer.code_dim), np.float32)
    _, out, codebook, *_ = jax.jit(everything, static_argnums=0)(quantizer, z)
    assert out.codes.shape == z.shape and out.loss == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(codebook))


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=str)
def test_padding_has_codes_and_no_part_in_loss_and_statistics(quantizer):
    z = np.random.default_rng(0).normal(size=(4, 6, quantizer.code_dim))
    z = jnp.asarray(z, jnp.float32)
    state = quantizer.init(jax.random.key(0), z, train=False)
    mask = jnp.broadcast_to(jnp.array([True, False, True, False])[:, None], (4, 6))
    whole, masked, real, none = (
        quantizer.apply(state, z, train=True, mask=mask)
        for z, mask in ((z, None), (z, mask), (z[::2], None), (z, mask & False))
    )
    np.testing.assert_array_equal(masked.codes, whole.codes)
    assert masked.loss == pytest.approx(float(real.loss), rel=1e-6) and none.loss == 0
    if quantizer is VQS:
        assert masked.loss > 0 and abs(masked.loss - whole.loss) > 1e-4
    for ours, theirs in zip(
        *map(jax.tree.leaves, (masked.statistics, real.statistics)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32]
)
@pytest.mark.parametrize("quantizer", [FSQ((8, 8, 8)), VQ(512, 4)])
def test_indices_of_any_integer_type(quantizer, dtype):
    """As `indices.npy` keeps them; beyond the codebook they count as the nearest."""
    latents = jnp.zeros((1, quantizer.code_dim))
    state = quantizer.init(jax.random.key(0), latents, train=False)
    indices = np.array([0, 3, 100, np.iinfo(dtype).max], dtype)
    codes = quantizer.apply(state, jnp.asarray(indices), method="indices_to_codes")
    near = np.minimum(indices.astype(np.int64), 511).astype(np.int32)
    expected = quantizer.apply(state, jnp.asarray(near), method="indices_to_codes")
    np.testing.assert_array_equal(codes, expected)


def test_two_levels_and_nan_are_as_the_docstring_says():
    fsq = FSQ((2, 2, 2))
    z = jax.random.normal(jax.random.key(0), (100_000, 3))
    indices = np.asarray(fsq.apply({}, z, train=False).indices)
    assert np.mean(indices & 1) == pytest.approx(0.94, abs=0.005)
    assert np.mean(indices == 7) == pytest.approx(0.83, abs=0.005)
    out = fsq.apply({}, z[:5] * np.nan, train=False)
    assert np.isfinite(out.codes).all() and np.isin(out.indices, np.arange(8)).all()
