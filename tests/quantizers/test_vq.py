"""VQ: parity with the public UViM code, gradients, and a codebook that stays finite."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import VQ, straight_through, vq_update
from uvim_fsq.quantizers.vq import codewords, nearest_codeword, standardize


def initialized(vq):
    initialize = jax.jit(functools.partial(vq.init, train=False))
    return initialize(jax.random.key(0), jnp.zeros((1, vq.code_dim)))


def test_golden_quantize(golden):
    a = golden("stage1/quantize.npz")
    x = jnp.asarray(a["x"].reshape(-1, a["x"].shape[-1]))
    indices = nearest_codeword(x, jnp.asarray(a["e"]))
    np.testing.assert_array_equal(indices, a["idx"].ravel())
    np.testing.assert_allclose(a["e"][indices], a["x_q"].reshape(x.shape), atol=1e-6)


def test_a_codeword_without_a_direction_is_never_taken(golden):
    a = golden("stage1/quantize.npz")
    x = jnp.asarray(a["x"].reshape(-1, a["x"].shape[-1]))
    assert (a["idx_with_nan_row"] == 4).all(), "the public code falls for it"
    for bad in (np.nan, np.inf, 0.0):
        e = jnp.asarray(a["e"]).at[4].set(bad)
        others = np.delete(np.arange(len(e)), 4)
        expected = others[nearest_codeword(x, e[others])]
        np.testing.assert_array_equal(nearest_codeword(x, e), expected)


@pytest.mark.parametrize("case", ["nosplit", "split", "split_many"])
def test_golden_update(golden, golden_path, case):
    config = json.loads(golden_path("stage1/vq_update.json").read_text())[case]
    a = {
        k.removeprefix(f"{case}/"): jnp.asarray(v)
        for k, v in golden("stage1/vq_update.npz").items()
    }
    before = {"counts": a["before/counts"], "sums": a["before/dictionary"]}
    vq = VQ(*before["sums"].shape, decay=config["dict_momentum"])

    # Standardizing standardized latents changes them by the eps only.
    out = vq.apply({"codebook": before}, a["bottleneck"], train=True)
    np.testing.assert_array_equal(out.indices, a["code"])
    np.testing.assert_array_equal(out.statistics["counts"], a["batch_counts"])

    rows = a["bottleneck"].reshape(-1, before["sums"].shape[1])
    sums = jnp.zeros_like(before["sums"]).at[a["code"].ravel()].add(rows)
    statistics = {"counts": jnp.asarray(a["batch_counts"], jnp.float32), "sums": sums}
    options = dict(decay=config["dict_momentum"], min_count=config["min_count"])
    key = a["key_from_make_rng"]
    for stage, splitting in (("mid", False), ("after", True)):
        after = vq_update(before, statistics, key, splitting=splitting, **options)
        np.testing.assert_allclose(
            after["counts"], a[f"{stage}/counts"], rtol=1e-6, err_msg=stage
        )
        np.testing.assert_allclose(
            after["sums"], a[f"{stage}/dictionary"], rtol=1e-5, atol=1e-5
        )
    after = vq.update(before, statistics, key)
    np.testing.assert_allclose(after["sums"], a["after/dictionary"], atol=1e-5)
    assert len(a["split_i_min"]) == config["n_splits"]


def test_golden_gradient_of_quantize(golden):
    a = golden("stage1/gradient.npz")
    x, e, w = (a[f"quantize/{name}"] for name in "xew")

    def objective(x, e):
        flat = jax.lax.stop_gradient(x.reshape(-1, x.shape[-1]))
        codes = e[nearest_codeword(flat, e)].reshape(x.shape)
        return jnp.sum(w * straight_through(x, codes))

    grad_x, grad_e = jax.grad(objective, argnums=(0, 1))(jnp.asarray(x), jnp.asarray(e))
    np.testing.assert_array_equal(grad_x, a["quantize/grad_x"])
    np.testing.assert_array_equal(grad_e, a["quantize/grad_e"])


def test_standardize():
    z = jax.random.normal(jax.random.key(0), (7, 12)) * 5 + 3
    x = np.asarray(z, np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(standardize(z), x, atol=1e-5)
    # The same value in all channels, however large, must not become NaN.
    assert np.abs(standardize(jnp.full((1, 768), 1234.567))).max() < 1


def test_first_index_wins_a_tie():
    codebook = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    z = jnp.array([[0.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(nearest_codeword(z, codebook), [1, 0, 0])


def test_nearest_codeword_is_the_nearest():
    rng = np.random.default_rng(0)
    for k in (1, 2, 37):
        z = rng.normal(size=(50, 5))
        codebook = rng.normal(size=(k, 5))
        exact = ((z[:, None] - codebook[None]) ** 2).sum(-1)
        found = nearest_codeword(
            jnp.asarray(z, jnp.float32), jnp.asarray(codebook, jnp.float32)
        )
        found = np.asarray(found)
        np.testing.assert_allclose(
            exact[np.arange(50), found], exact.min(-1), atol=1e-5
        )


def test_codewords_have_unit_length_and_the_direction_of_the_sums():
    sums = jax.random.normal(jax.random.key(0), (9, 4))
    e = codewords(sums)
    np.testing.assert_allclose(jnp.linalg.norm(e, axis=-1), 1, rtol=1e-6)
    cosine = jnp.sum(e * sums, axis=-1) / jnp.linalg.norm(sums, axis=-1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-6)


def test_sums_without_a_direction_give_the_zero_vector():
    sums = [[np.inf, 1.0], [np.nan, 1.0], [0.0, 0.0], [3e38, -3e38], [3.0, 4.0]]
    e = codewords(jnp.array(sums))
    np.testing.assert_array_equal(e[:4], 0)
    np.testing.assert_allclose(e[4], [0.6, 0.8], rtol=1e-6)


def test_distances_are_of_full_precision_on_every_platform(equations):
    z, codebook = jnp.ones((5, 4)), jnp.ones((3, 4))
    products = [
        equation.params["precision"]
        for equation in equations(nearest_codeword, z, codebook)
        if equation.primitive.name == "dot_general"
    ]
    assert products == [(jax.lax.Precision.HIGHEST,) * 2]


def test_codewords_below_the_least_count_of_the_settings_are_replaced():
    vq = VQ(codebook_size=3, code_dim=2, decay=0.5, min_count=4.0)
    before = {"counts": jnp.array([64.0, 8.0, 6.0]), "sums": jnp.ones((3, 2))}
    nothing = {"counts": jnp.zeros(3), "sums": jnp.zeros((3, 2))}
    after = vq.update(before, nothing, jax.random.key(0))
    # Halved by the decay, and then the last takes half of the first.
    np.testing.assert_array_equal(after["counts"], [16, 4, 16])


def test_initial_state():
    vq = VQ(codebook_size=400, code_dim=50)
    codebook = initialized(vq)["codebook"]
    np.testing.assert_array_equal(codebook["counts"], np.ones(400))
    assert codebook["sums"].std() == pytest.approx(1 / 20, rel=0.03)
    assert abs(float(codebook["sums"].mean())) < 0.002


def test_statistics_are_counts_and_sums_of_the_standardized_latents():
    vq = VQ(codebook_size=10, code_dim=4)
    z = jax.random.normal(jax.random.key(1), (6, 5, 4)) * 3
    state = initialized(vq)
    out = jax.jit(lambda state, z: vq.apply(state, z, train=True))(state, z)
    counts, sums = np.zeros(10), np.zeros((10, 4))
    rows = np.asarray(standardize(z)).reshape(-1, 4)
    for index, row in zip(np.asarray(out.indices).ravel(), rows, strict=True):
        counts[index] += 1
        sums[index] += row
    np.testing.assert_array_equal(out.statistics["counts"], counts)
    np.testing.assert_allclose(out.statistics["sums"], sums, atol=1e-5)


def test_commitment_loss_pulls_the_latents_only():
    plain, committed = (
        VQ(codebook_size=16, code_dim=4, commitment_weight=weight)
        for weight in (0.0, 0.25)
    )
    z = jax.random.normal(jax.random.key(1), (30, 4))
    state = initialized(plain)
    out = committed.apply(state, z, train=True)
    error = np.square(np.asarray(standardize(z)) - np.asarray(out.codes)).mean()
    assert float(out.loss) == pytest.approx(0.25 * error, rel=1e-5)
    assert float(plain.apply(state, z, train=True).loss) == 0

    @jax.jit
    def loss(state, z):
        return committed.apply(state, z, train=True).loss

    on_state, on_z = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, z)
    assert all(not leaf.any() for leaf in jax.tree.leaves(on_state))
    assert np.abs(on_z).max() > 1e-5
    step = z - 0.5 * on_z / jnp.abs(on_z).max()
    assert loss(state, step) < loss(state, z)


def test_gradient_of_the_codes_is_that_of_the_standardized_latents():
    vq = VQ(codebook_size=16, code_dim=4)
    z = jax.random.normal(jax.random.key(1), (30, 4))
    w = jax.random.normal(jax.random.key(2), (30, 4))
    state = initialized(vq)
    through = jax.grad(lambda z: jnp.sum(w * vq.apply(state, z, train=True).codes))(z)
    direct = jax.grad(lambda z: jnp.sum(w * standardize(z)))(z)
    np.testing.assert_allclose(through, direct, atol=1e-6)


def test_codewords_that_are_never_used_stay_finite_for_100_000_updates():
    k, d = 6, 4
    vq = VQ(codebook_size=k, code_dim=d, splitting=False)
    before = initialized(vq)["codebook"]
    used = jax.random.normal(jax.random.key(1), (d,))
    statistics = {
        "counts": jnp.zeros(k).at[2].set(8.0),
        "sums": jnp.zeros((k, d)).at[2].set(8 * used),
    }

    @jax.jit
    def many(codebook, key):
        return jax.lax.fori_loop(
            0, 100_000, lambda _, c: vq.update(c, statistics, key), codebook
        )

    after = many(dict(before), jax.random.key(0))
    assert np.isfinite(after["sums"]).all()
    counts = np.delete(after["counts"], 2)
    assert 1e-6 <= counts.min() and counts.max() < 1.01e-6, "they decay no further"
    e = codewords(after["sums"])
    np.testing.assert_allclose(jnp.linalg.norm(e, axis=-1), 1, rtol=1e-6)
    unused = np.array([0, 1, 3, 4, 5])
    np.testing.assert_allclose(e[unused], codewords(before["sums"])[unused], atol=1e-5)
    # They are still there to be taken, and the first use moves them all the way.
    out = vq.apply({"codebook": after}, before["sums"], train=True)
    assert np.isfinite(out.codes).all()
    back = {"counts": jnp.eye(k)[0], "sums": jnp.eye(k)[:1].T * used[None]}
    moved = codewords(vq.update(after, back, jax.random.key(0))["sums"])[0]
    np.testing.assert_allclose(moved, used / jnp.linalg.norm(used), atol=1e-5)


def test_updates_bring_the_codewords_to_the_latents():
    """Clusters far apart: with splitting, the nearest codeword ends up close to every latent."""
    centres = standardize(jax.random.normal(jax.random.key(0), (12, 8)))
    vq = VQ(codebook_size=16, code_dim=8, decay=0.9)
    state = initialized(vq)

    def step(state, key):
        noise_key, split_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (16, 12, 8))
        out = vq.apply(state, centres[None] + 0.05 * noise, train=True)
        codebook = vq.update(state["codebook"], out.statistics, split_key)
        return {"codebook": codebook}, None

    keys = jax.random.split(jax.random.key(2), 150)
    state, _ = jax.jit(lambda state: jax.lax.scan(step, state, keys))(state)
    out = vq.apply(state, centres, train=False)
    assert len(np.unique(out.indices)) == 12
    cosine = jnp.sum(out.codes * centres, axis=-1) / 8**0.5
    assert cosine.min() > 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        {"codebook_size": 0},
        {"code_dim": 1},
        {"decay": 1.0},
        {"min_count": 0.0},
        {"commitment_weight": -1.0},
    ],
    ids=str,
)
def test_settings_are_checked_at_construction(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"VQ expects.*{name}.*found.*{value}"):
        VQ(**{"codebook_size": 8, "code_dim": 4} | wrong)
