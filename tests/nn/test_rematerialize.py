"""What the backward pass computes again changes its memory, and no result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.transformer import REMATERIALIZE, Transformer
from uvim_fsq.quantizers import FSQ

BATCH = 4
SIZES = dict(
    image_size=(32, 32),
    patch_size=(4, 4),
    width=32,
    encoder_depth=5,
    decoder_depth=5,
    mlp_width=128,
    num_heads=4,
    code_length=16,
)
TOLERANCE = 1e-5
"""Of float32 results, relative to the largest of all entries: other fusions round otherwise."""


def stage1(rematerialize, **changes):
    """(model, arguments after the variables) of the decoder's and encoder's whole trunk."""
    model = Stage1Model(
        channels={"depth": 8},
        quantizer=FSQ((5, 5)),
        code_dropout="none",
        rematerialize=rematerialize,
        **(SIZES | changes),
    )
    image = jax.random.uniform(jax.random.key(1), (BATCH, 32, 32, 3), minval=-1.0)
    planes = jax.random.randint(jax.random.key(2), (BATCH, 32, 32), 0, 8)
    return model, ({"depth": planes}, image), "reconstruct"


def stage2(rematerialize, **changes):
    model = Stage2Model(
        codebook_size=25, rematerialize=rematerialize, **(SIZES | changes)
    )
    image = jax.random.uniform(jax.random.key(1), (BATCH, 32, 32, 3), minval=-1.0)
    indices = jax.random.randint(jax.random.key(2), (BATCH, 16), 0, 25)
    return model, (image, indices), "__call__"


def gradient(make, rematerialize, **changes):
    """`params -> (loss, outputs, gradient)` jitted, and noisy parameters, so that all matter."""
    model, arguments, method = make(rematerialize, **changes)
    init = jax.jit(model.init, static_argnames="method")
    params = init(jax.random.key(0), *arguments, method=method)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    noisy = [
        a + 0.1 * jax.random.normal(k, a.shape)
        for a, k in zip(leaves, keys, strict=True)
    ]

    def loss(params, arguments):
        outputs = model.apply({"params": params}, *arguments, method=method)
        squares = [jnp.mean(jnp.square(x)) for x in jax.tree.leaves(outputs)]
        return sum(squares), outputs

    def run(params, arguments):
        return jax.value_and_grad(loss, has_aux=True)(params, arguments)

    return jax.jit(run), (jax.tree.unflatten(tree, noisy), arguments)


@pytest.mark.parametrize(
    "make, changes",
    [(stage1, {}), (stage2, {"decoder_depth": 1}), (stage2, {"encoder_depth": 1})],
)
def test_memory_shrinks_and_results_stay(make, changes):
    """Temporary bytes, as the compiler counts them, of the gradient of a deep model."""
    sizes, results = [], []
    for name in REMATERIALIZE:
        run, arguments = gradient(make, name, **changes)
        compiled = run.lower(*arguments).compile()
        sizes.append(compiled.memory_analysis().temp_size_in_bytes)
        results.append(compiled(*arguments))
    nothing, cheap, everything = sizes
    assert nothing > 1.5 * cheap and cheap > 1.2 * everything, sizes

    for part, expected in enumerate(results[0]):  # the loss with outputs, the gradient
        scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(expected))
        for found in results[1:]:
            assert jax.tree.structure(found[part]) == jax.tree.structure(expected)
            for ours, theirs in zip(
                jax.tree.leaves(found[part]), jax.tree.leaves(expected), strict=True
            ):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale)
    assert np.abs(results[0][1]["encoder"]["norm"]["scale"]).max() > 100 * TOLERANCE


def test_fresh_parameters_are_the_same():
    trees = [
        jax.jit(Transformer(2, 32, 2, rematerialize=name).init)(
            jax.random.key(0), jnp.zeros((1, 3, 8))
        )
        for name in REMATERIALIZE
    ]
    for tree in trees[1:]:
        jax.tree.map(np.testing.assert_array_equal, tree, trees[0])


def test_another_name_is_refused():
    with pytest.raises(
        ValueError, match="one of nothing, cheap, everything, got 'all'"
    ):
        Transformer(2, 32, 2, rematerialize="all").init(
            jax.random.key(0), jnp.zeros((1, 3, 8))
        )
