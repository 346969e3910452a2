"""FSQ: parity with the authors' code, exact indices, choice of levels."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.quantizers import BOUNDS, FSQ, recommended_levels, search_levels

GOLDEN = "8_6_5 8_5_5_5 7_5_5_5_5 8_8_8_6_5 8_8_8_5_5_5 3_5_4 5_5_5 4_4_4_4 15_15_15 2_2_2 9_7"
SIZES = [2**8, 2**10, 2**12, 2**14, 2**16]


@pytest.mark.parametrize("name", GOLDEN.split())
def test_golden(golden, name):
    arrays = golden("fsq/fsq.npz")
    a = {k.split("/")[1]: v for k, v in arrays.items() if k.startswith(f"{name}/")}
    z = jnp.asarray(a["z"])
    fsq = FSQ(levels=tuple(map(int, name.split("_"))))
    levels = np.asarray(fsq.levels)
    np.testing.assert_allclose(BOUNDS["tan"](z, levels), a["bound"], atol=2e-6)

    out = jax.jit(lambda z: fsq.apply({}, z, train=True))(z)
    # One row of 16,500 lies closer to a rounding edge than float32 can tell.
    sure = a["margin"] > 1e-5
    assert sure.mean() > 0.999
    np.testing.assert_array_equal(out.indices[sure], a["indices"][sure])
    np.testing.assert_allclose(out.codes[sure], a["codes"][sure], atol=1e-6)

    weights = a["grad_weights"][None]
    gradient = jax.grad(
        lambda z: jnp.sum(fsq.apply({}, z, train=True).codes * weights)
    )(z)
    np.testing.assert_allclose(gradient, a["grad"], atol=2e-6)


def test_gradient_is_that_of_the_bound():
    fsq = FSQ(levels=(8, 5, 3))
    levels = np.asarray(fsq.levels)
    z = jax.random.normal(jax.random.key(0), (100, 3))
    w = jax.random.normal(jax.random.key(1), (100, 3))
    step = jnp.asarray(1 / (levels // 2), jnp.float32)[None]

    def smooth(z):
        return jnp.sum(w * BOUNDS["tan"](z, levels) * step)

    def quantized(z):
        return jnp.sum(w * fsq.apply({}, z, train=True).codes)

    np.testing.assert_array_equal(jax.grad(quantized)(z), jax.grad(smooth)(z))


LEVEL_SETS = [
    *map(recommended_levels, SIZES),
    (15, 15, 15),
    (2,) * 16,
    (40, 40, 40),
    (255, 257),
    (3, 2, 7, 5, 11, 13),
    (1000,),
    (6, 10923),
]


@pytest.mark.parametrize("levels", LEVEL_SETS, ids=str)
def test_indices_count_the_codewords_in_order(levels):
    """Index i, taken apart with Python's integers, is digit by digit the code of i."""
    fsq = FSQ(levels=levels)
    rng = np.random.default_rng(0)
    indices = np.unique(rng.integers(0, fsq.codebook_size, 3000))
    codes = fsq.apply({}, jnp.asarray(indices, jnp.int32), method="indices_to_codes")
    for index, code in zip(indices[:300].tolist(), np.asarray(codes), strict=False):
        for level, value in zip(levels, code, strict=True):
            index, digit = divmod(index, level)
            assert value == np.float32(digit - level // 2) * np.float32(
                1 / (level // 2)
            )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("levels", LEVEL_SETS, ids=str)
def test_index_is_exact(levels, dtype):
    """The index equals that of the digits, computed by Python's integers from the codes."""
    fsq = FSQ(levels=levels)
    z = np.random.default_rng(1).normal(size=(2000, len(levels)), scale=1.2)
    out = jax.jit(lambda z: fsq.apply({}, z, train=False))(jnp.asarray(z, dtype))
    half = np.asarray(levels) // 2
    digits = np.rint(np.asarray(out.codes, np.float64) * half).astype(int) + half
    assert (digits >= 0).all() and (digits < np.asarray(levels)).all()
    basis = [math.prod(levels[:i]) for i in range(len(levels))]
    np.testing.assert_array_equal(out.indices, digits @ np.array(basis))


@pytest.mark.parametrize("levels", [(8, 6, 5), (7, 5, 5), (2, 3, 4), (15, 15)], ids=str)
@pytest.mark.parametrize("bound", BOUNDS)
def test_every_codeword_can_be_reached(levels, bound):
    if bound == "atanh" and 2 in levels:
        pytest.skip("atanh has no value at two levels")
    fsq = FSQ(levels=levels, bound=bound)
    axes = [np.linspace(-6, 6, 400) for _ in levels]
    reached = [
        {int(i) // basis % level for i in indices}
        for basis, level, indices in _sweep(fsq, axes)
    ]
    assert reached == [set(range(level)) for level in levels]


def _sweep(fsq, axes):
    basis = 1
    for channel, axis in enumerate(axes):
        z = np.zeros((len(axis), fsq.code_dim), np.float32)
        z[:, channel] = axis
        yield (
            basis,
            fsq.levels[channel],
            fsq.apply({}, jnp.asarray(z), train=False).indices,
        )
        basis *= fsq.levels[channel]


def test_atanh_centres_exactly_and_tan_nearly():
    zero, levels = jnp.zeros((1, 3)), np.array([4, 6, 8])
    assert np.abs(BOUNDS["atanh"](zero, levels)).max() < 1e-6
    assert 1e-4 < np.abs(BOUNDS["tan"](zero, levels)).max() < 0.06


def test_another_bound_joins_by_name(monkeypatch):
    def clipped(z, levels):
        low, high = -(levels // 2), (levels - 1) // 2
        return jnp.clip(z, jnp.asarray(low)[None], jnp.asarray(high)[None])

    monkeypatch.setitem(BOUNDS, "clip", clipped)
    fsq = FSQ(levels=(5, 4), bound="clip")
    out = fsq.apply({}, jnp.array([[-9.0, 9.0], [0.4, -1.6]]), train=False)
    np.testing.assert_array_equal(out.codes, [[-1.0, 0.5], [0.0, -1.0]])


def test_nothing_is_allocated_in_proportion_to_the_codebook(largest_array):
    fsq = FSQ(levels=(8,) * 10)
    z = jnp.zeros((6, 10))

    def round_trip(z):
        out = fsq.apply({}, z, train=True)
        return fsq.apply({}, out.indices, method="indices_to_codes"), out.codes

    memory = jax.jit(round_trip).lower(z).compile().memory_analysis()
    assert fsq.codebook_size == 2**30
    assert memory.temp_size_in_bytes + memory.output_size_in_bytes < 10_000
    assert largest_array(round_trip, z) <= z.nbytes
    assert max(map(np.size, jax.make_jaxpr(round_trip)(z).consts)) <= z.size


@pytest.mark.parametrize(
    "levels",
    [
        (),
        (5, 1),
        (5, 0),
        (-3, 5),
        (7.5, 5),
        (5.0, 5),
        ("8", 5),
        "855",
        (True, 5),
        8,
        None,
    ],
    ids=repr,
)
def test_levels_must_be_integers_of_two_or_more(levels):
    with pytest.raises(ValueError, match="integers >= 2.*found"):
        FSQ(levels=levels)


def test_numpy_integers_are_levels():
    assert FSQ(levels=np.array([8, 5])).levels == (8, 5)


def test_the_largest_codebook_has_as_many_codewords_as_int32_has_indices():
    assert FSQ(levels=(2**31 - 1,)).codebook_size == 2**31 - 1
    with pytest.raises(ValueError, match="2,147,483,648 codewords"):
        FSQ(levels=(2**31,))


def test_other_refusals_say_what_to_do():
    with pytest.raises(ValueError, match="use fewer channels"):
        FSQ(levels=(8,) * 11)
    with pytest.raises(ValueError, match="choose one of atanh, tan"):
        FSQ(levels=(8, 5), bound="sigmoid")
    with pytest.raises(ValueError, match="use the bound 'tan'"):
        FSQ(levels=(8, 2), bound="atanh")


def test_recommended_levels_are_those_of_the_paper():
    sizes = [math.prod(recommended_levels(size)) for size in SIZES]
    assert sizes == [240, 1000, 4375, 15360, 64000]
    assert recommended_levels(4096) == (7, 5, 5, 5, 5)
    with pytest.raises(ValueError, match="search_levels"):
        recommended_levels(1000)


def test_search_finds_the_closest_product():
    products = sorted(
        math.prod(levels)
        for m in range(2, 7)
        for levels in itertools.combinations_with_replacement((5, 6, 7, 8), m)
    )
    for size in [25, 27, 100, 240, 1000, 1024, 4096, 5000, 12345]:
        levels = search_levels(size)
        closest = min(abs(product - size) for product in products)
        assert abs(math.prod(levels) - size) == closest
        assert min(levels) >= 5 and list(levels) == sorted(levels, reverse=True)
    assert search_levels(1000) == (8, 5, 5, 5)
    for size in (5, 17, 24):
        assert search_levels(size) == (size,)
    # Of 36 and 40, and of 40 and 42, the larger, whichever is found first.
    assert search_levels(38) == (8, 5) and search_levels(41) == (7, 6)
    assert math.prod(search_levels(2**31 - 1)) < 2**31


@pytest.mark.parametrize("size", [-1, 0, 1, 4, 2**31])
def test_search_refuses_what_cannot_be_reached(size):
    with pytest.raises(ValueError, match=f"found {size}"):
        search_levels(size)


def test_a_bound_that_overshoots_cannot_leave_the_codebook(monkeypatch):
    monkeypatch.setitem(BOUNDS, "none", lambda z, levels: z)
    out = FSQ(levels=(5, 4), bound="none").apply(
        {}, jnp.array([[-9.0, -9.0], [9.0, 9.0]]), train=False
    )
    np.testing.assert_array_equal(out.indices, [0, 19])
