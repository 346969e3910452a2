"""What `dtype` is of: the factors of matrix products, and nothing else, as the traces show."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.configs import colorization, depth
from uvim_fsq.cost.shapes import shape_models
from uvim_fsq.models.uvim.stage2.sampling import Sampling, sample
from uvim_fsq.nn.products import rounded_product, summed_product
from uvim_fsq.settings import replace

BATCH, BINS = 3, 37
MOVES = {
    *("convert_element_type", "reshape", "transpose", "broadcast_in_dim", "squeeze"),
    *("slice", "dynamic_slice", "dynamic_update_slice", "concatenate", "copy"),
    *("reduce_precision", "optimization_barrier"),
}
"""Primitives that round to a type or move values, and compute nothing."""


def subtraces(equation):
    for value in jax.tree.leaves(
        list(equation.params.values()),
        is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr"),
    ):
        if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
            yield getattr(value, "jaxpr", value)


def equations(trace):
    """All of a trace, those of functions and loops within it too; these themselves are left out."""
    for equation in trace.eqns:
        inner = list(subtraces(equation))
        if not inner:
            yield equation
        for each in inner:
            yield from equations(each)


def scans(trace):
    for equation in trace.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for each in subtraces(equation):
            yield from scans(each)


def dtypes(variables):
    """Names of their types; of random keys too."""
    return [str(getattr(v.aval, "dtype", "")) for v in variables]


def computes_in_bfloat16(trace):
    """Names of primitives that compute with bfloat16 numbers, products aside."""
    return {
        equation.primitive.name
        for equation in equations(trace)
        if "bfloat16" in dtypes([*equation.invars, *equation.outvars])
    } - {*MOVES, "dot_general"}


def products(trace):
    """(types of both factors, type of the result, its shape and those of the factors).

    JAX's own attention names its factors' type by an algorithm, to which the compiler casts them.
    """
    for equation in equations(trace):
        if equation.primitive.name == "dot_general":
            factors, (result,) = equation.invars, equation.outvars
            shapes = [result.aval.shape, *(factor.aval.shape for factor in factors)]
            types = set(dtypes(factors))
            if equation.params["precision"] is jax.lax.DotAlgorithmPreset.BF16_BF16_F32:
                types = {"bfloat16"}
            yield types, str(result.aval.dtype), shapes


@functools.cache
def models(module, variant, rematerialize):
    config = module.get_config(variant, "tiny")
    if module is depth:
        config = replace(config, task__bins=BINS)
    for stage in ("stage1", "stage2"):
        changes = dict(dtype="bfloat16", rematerialize=rematerialize)
        changes |= dict(encoder_depth=2, decoder_depth=2)
        model = replace(getattr(config, stage).model, **changes)
        config = replace(config, **{f"{stage}__model": model})
    return shape_models(config)


@functools.cache
def gradient_trace(number, *settings):
    """Of a stage's loss, of which some examples are masked, and its gradient."""
    found = models(*settings)
    stage = found.stages[number - 1]
    function = found.loss_function(stage)
    key = jax.eval_shape(lambda: jax.random.key(0))
    mask = jax.ShapeDtypeStruct((BATCH,), jnp.bool)
    batch = {**found.batch(BATCH), "mask": mask}

    def run(params, *rest):
        return jax.value_and_grad(function, has_aux=True)(params, *rest)

    rest = (stage.collections, stage.frozen, batch, key)
    trace = jax.make_jaxpr(run)(stage.params, *rest)
    return trace.jaxpr, stage


@pytest.mark.parametrize(
    "module, variant, rematerialize",
    [(depth, "fsq", "cheap"), (depth, "vq", "everything")]
    + [(colorization, "fsq", "nothing")],
)
@pytest.mark.parametrize("number", [1, 2])
def test_training_computes_in_float32_but_for_products(
    module, variant, rematerialize, number
):
    trace, stage = gradient_trace(number, module, variant, rematerialize)
    assert computes_in_bfloat16(trace) == set()
    # The residual stream is what the scan over layers carries, either way.
    layers = [each for each in scans(trace) if each.params["length"] == 2]
    assert len(layers) >= 4
    for scan in layers:
        first = scan.params["num_consts"]
        carried = scan.invars[first : first + scan.params["num_carry"]]
        floats = {name for name in dtypes(carried) if "float" in name}
        assert floats == {"float32"}
    found = list(products(trace))
    # Nothing widens a factor for a product: both are bfloat16 or both are float32.
    assert all(len(factors) == 1 for factors, _, _ in found)
    narrow = [shapes for factors, _, shapes in found if factors == {"bfloat16"}]
    wide = [shapes for factors, _, shapes in found if factors == {"float32"}]
    # To the code and from it, the codeword search and the resizing of stage I stay float32.
    assert len(narrow) > 30 and len(wide) <= 15
    for leaf in jax.tree.leaves(stage.params):
        assert leaf.dtype == jnp.float32


def logits_products(trace, classes):
    return [
        (factors, result)
        for factors, result, shapes in products(trace)
        if any(classes in shape for shape in shapes)
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_logits_and_their_gradient_have_narrow_factors_and_float32_sums(number):
    trace, _ = gradient_trace(number, depth, "fsq", "cheap")
    classes = (
        BINS
        if number == 1
        else models(depth, "fsq", "cheap").code_model.vocabulary_size
    )
    logits = logits_products(trace, classes)
    assert len(logits) == 3  # Forward, towards the tokens, towards the kernel.
    assert all(each == ({"bfloat16"}, "float32") for each in logits)


def test_sampling_computes_in_float32_but_for_products():
    found = models(depth, "fsq", "cheap")
    model, stage = found.code_model, found.stages[1]
    image = jax.ShapeDtypeStruct((2, *model.image_size, 3), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (2, 3)))

    def run(params, image, keys):
        return sample(model, params, image, keys, Sampling(0.9, top_k=5, top_p=0.9))

    trace = jax.make_jaxpr(run)(stage.params, image, keys).jaxpr
    assert computes_in_bfloat16(trace) == set()
    logits = logits_products(trace, model.vocabulary_size)
    assert logits == [({"bfloat16"}, "float32")]
    (steps,) = [s for s in scans(trace) if s.params["length"] == model.code_length]
    first = steps.params["num_consts"]
    carried = steps.invars[first : first + steps.params["num_carry"]]
    caches = dtypes(v for v in carried if v.aval.ndim == 4)
    assert caches == ["bfloat16"] * 2 * model.decoder_depth


def whole(seed, shape):
    """Whole numbers, which bfloat16 holds exactly, and whose sums float32 does."""
    generator = np.random.default_rng(seed)
    return generator.integers(-9, 10, shape).astype(np.float32)


def result_and_gradients(product, dimensions, x, kernel, cotangent):
    def run(x, kernel, cotangent):
        result, back = jax.vjp(lambda *a: product(*a, dimensions), x, kernel)
        return result, *back(cotangent)

    return jax.jit(run)(x, kernel, cotangent)


@pytest.mark.parametrize(
    "x, kernel, contracted",
    [
        ((2, 3, 4), (4, 5), ((2,), (0,))),
        ((2, 3, 4, 5), (4, 5, 6), ((2, 3), (0, 1))),
        ((2, 3, 4, 5), (5, 4, 6), ((3, 2), (0, 1))),
        ((2, 3, 4), (4, 5, 6), ((2,), (0,))),
        ((4, 2, 5, 3), (6, 3, 7, 4), ((0, 3), (3, 1))),
    ],
)
def test_products_of_what_a_narrow_type_holds_are_exact(x, kernel, contracted):
    x, kernel = whole(0, x), whole(1, kernel)
    dimensions = (contracted, ((), ()))
    cotangent = whole(2, np.tensordot(x, kernel, contracted).shape)
    results = [
        result_and_gradients(product, dimensions, x, kernel, cotangent)
        for product in (jax.lax.dot_general, summed_product(jnp.bfloat16))
    ]
    for theirs, ours in zip(*results, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_array_equal(ours, theirs)
    rounded = rounded_product(jnp.bfloat16)(x, kernel, dimensions)
    assert rounded.dtype == jnp.float32
    np.testing.assert_array_equal(rounded, near(results[0][0]))


def near(array):
    return np.asarray(array).astype(jnp.bfloat16).astype(np.float32)


def test_sums_and_gradients_are_those_of_rounded_factors():
    generator = np.random.default_rng(0)
    x, kernel, cotangent = generator.normal(size=(3, 64, 64)).astype(np.float32)
    product = summed_product(jnp.bfloat16)
    found = result_and_gradients(
        product, (((1,), (0,)), ((), ())), x, kernel, cotangent
    )
    a, b, g = near(x), near(kernel), near(cotangent)
    for ours, theirs in zip(found, (a @ b, g @ b.T, a.T @ g), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_float32_is_left_alone():
    for product in (rounded_product, summed_product):
        assert product(jnp.float32) is jax.lax.dot_general


def test_likeliest_tokens_are_rarely_others_and_logits_rarely_tie():
    """The logits of stage II against float32's: no step of bfloat16's between them."""
    generator = np.random.default_rng(0)
    x, kernel = generator.normal(size=(256, 64)), generator.normal(size=(64, 1000))
    exact, summed = (
        np.asarray(product(np.float32(x), np.float32(kernel), (((1,), (0,)), ((), ()))))
        for product in (jax.lax.dot_general, summed_product(jnp.bfloat16))
    )
    assert 0 < np.mean(exact.argmax(-1) != summed.argmax(-1)) < 0.02
    in_order = np.sort(summed, axis=-1)
    assert not np.any(in_order[:, -1] == in_order[:, -2])
