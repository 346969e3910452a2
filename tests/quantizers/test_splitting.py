"""Splitting in groups equals splitting one after another, always ends, in few passes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import split_codewords


def one_after_another(counts, sums, key, min_count=0.1):
    counts, sums = np.array(counts, np.float32), np.array(sums, np.float32)
    least = np.float32(min_count)
    splits = 0
    while True:
        finite = np.where(np.isfinite(counts), counts, -np.inf)
        most, unused = (
            finite.argmax(),
            np.where(counts < least, counts, np.inf).argmin(),
        )
        if not (counts[unused] < least and finite[most] >= 2 * least):
            return counts, sums, splits
        key, row_key = jax.random.split(key)
        noise = jax.random.uniform(row_key, sums.shape[1:], minval=0.999, maxval=1.001)
        with np.errstate(over="ignore", invalid="ignore"):
            sums[unused] = sums[most] * np.asarray(noise) / 2
        sums[most] /= 2
        counts[unused] = counts[most] = counts[most] / 2
        splits += 1


def split(counts, sums, key, min_count=0.1):
    return _split(jnp.asarray(counts, jnp.float32), jnp.asarray(sums), key, min_count)


@jax.jit
def _split(counts, sums, key, min_count):
    return split_codewords(counts, sums, key, min_count=min_count)


@pytest.mark.parametrize("case", range(5))
def test_golden_single_split(golden, case):
    a = golden("stage1/split_direct.npz")
    a = {k.split("/", 1)[1]: v for k, v in a.items() if k.startswith(f"case{case}/")}
    counts = a["before/counts"]
    # The direct calls split whatever the counts: between the two smallest, one split remains.
    least = np.sort(counts)[:2]
    if least[0] == least[1]:
        pytest.skip("tied smallest counts: covered by the comparison below")
    counts_after, sums_after = split(
        counts, a["before/dictionary"], jnp.asarray(a["before/rng"]), least.mean()
    )
    np.testing.assert_array_equal(counts_after, a["after/counts"])
    np.testing.assert_allclose(sums_after, a["after/dictionary"], rtol=1e-6)


def test_golden_tied_counts(golden):
    a = golden("stage1/split_direct.npz")
    counts, sums = a["case3/before/counts"], a["case3/before/dictionary"]
    key = jnp.asarray(a["case3/before/rng"])
    # Two counts are too small: the first split, of the first of the tied, is the golden one.
    counts_after, sums_after = split(counts, sums, key)
    np.testing.assert_array_equal(counts_after[:2], a["case3/after/counts"][:2])
    np.testing.assert_allclose(
        sums_after[:2], a["case3/after/dictionary"][:2], rtol=1e-6
    )
    np.testing.assert_array_equal(counts_after[2:4], [12.5, 12.5])


def random_counts(rng, k):
    kind = rng.integers(5)
    if kind == 0:
        return rng.choice([0.0, 0.05, 0.1, 0.2, 1.0, 8.0, 16.0], size=k)
    if kind == 1:
        return rng.exponential(size=k) * rng.choice([0.1, 1, 100])
    if kind == 2:
        return np.where(rng.random(k) < rng.random(), rng.random(k) * 0.1, 3.0)
    if kind == 3:
        return np.where(np.arange(k) == rng.integers(k), rng.random() * 1e5, 0.0)
    return 2.0 ** rng.integers(-8, 12, size=k)


@pytest.mark.parametrize("k", [1, 2, 7, 64, 300])
def test_equals_splitting_one_after_another(k):
    total = 0
    for seed in range(24):
        rng = np.random.default_rng(seed)
        counts = random_counts(rng, k)
        sums = rng.normal(size=(k, 3)).astype(np.float32)
        key = jax.random.key(seed)
        expected_counts, expected_sums, splits = one_after_another(counts, sums, key)
        found_counts, found_sums = split(counts, sums, key)
        np.testing.assert_array_equal(found_counts, expected_counts)
        np.testing.assert_allclose(found_sums, expected_sums, rtol=1e-6)
        total += splits
    assert (total > 5) == (k > 1)


ODD = [0.0, -1.0, -0.0, 1e-37, 0.1, 0.2, 0.19999999, 1.0, 3e38, np.inf, -np.inf, np.nan]


def test_ends_for_every_input():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        counts = rng.choice(ODD, size=5)
        sums = rng.choice([*ODD, 2.0], size=(5, 2)).astype(np.float32)
        min_count = rng.choice([0.1, 1e-30, 5.0]).item()
        after, _ = split(counts, sums, jax.random.key(seed), min_count)
        finite = np.where(np.isfinite(after), after, -np.inf)
        done = not (after < np.float32(min_count)).any()
        assert done or finite.max() < 2 * np.float32(min_count)
        expected, _, _ = one_after_another(counts, sums, jax.random.key(0), min_count)
        np.testing.assert_array_equal(after, expected)


def test_mass_is_kept_where_unused_codewords_had_none():
    counts = np.zeros(50, np.float32)
    counts[[3, 20]] = 64, 32
    after, _ = split(counts, np.ones((50, 2), np.float32), jax.random.key(0))
    assert after.sum() == 96 and after.min() > 0


def split_pass_by_pass(counts, sums, key, monkeypatch):
    """The result of `split`, its loop run by Python, and how often that went round."""
    passes = []

    def while_loop(condition, body, state):
        body = jax.jit(body)
        while condition(state):
            state = body(state)
            passes.append(state)
        return state

    with monkeypatch.context() as patch:
        patch.setattr(jax.lax, "while_loop", while_loop)
        return *split_codewords(counts, sums, key, min_count=0.1), len(passes)


@pytest.mark.parametrize("used", [1, 32])
def test_4095_splits_take_few_passes(used, monkeypatch):
    """Of 128 splits each, after the first ones: each splits all that is much used."""
    counts = jnp.zeros(4096).at[:used].set(2048.0 / used)
    sums = jax.random.normal(jax.random.key(0), (4096, 8))
    key = jax.random.key(1)
    after, moved, passes = split_pass_by_pass(counts, sums, key, monkeypatch)
    # 1, 2, ... 64 splits, or 32 and 64, until 128 codewords are in use.
    assert passes == {1: 7, 32: 2}[used] + (4096 - 128) // 128
    assert after.min() >= 0.1
    in_one_program = split(counts, sums, key)
    np.testing.assert_array_equal(after, in_one_program[0])
    np.testing.assert_allclose(moved, in_one_program[1], rtol=1e-6)


@pytest.mark.parametrize("unused", [0, 1, 5])
def test_one_pass_where_one_is_enough(unused, monkeypatch):
    counts = jnp.full(200, 3.0).at[:unused].set(0.0)
    sums, key = jnp.ones((200, 2)), jax.random.key(0)
    *_, passes = split_pass_by_pass(counts, sums, key, monkeypatch)
    assert passes == (unused > 0)


def test_nothing_to_split_changes_nothing():
    counts, sums = jnp.full(9, 0.15).at[4].set(0.05), jnp.ones((9, 2))
    after_counts, after_sums = split(counts, sums, jax.random.key(0))
    np.testing.assert_array_equal(after_counts, counts)
    np.testing.assert_array_equal(after_sums, sums)
