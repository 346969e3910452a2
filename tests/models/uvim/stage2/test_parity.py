"""Stage II against the public code: forward pass, loss, gradients, sampling."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.models.uvim.stage2.model import Stage2Model, indices_to_tokens
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.models.uvim.stage2.sampling import Sampling, sample
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.weights.big_vision.names import STAGE2_NAMES, read_npz, translate

VARIANTS = ["learn", "sincos2d"]
# The public code's own eager and jitted logits differ by up to 1.5e-5.
TOLERANCE = 5e-5


@pytest.fixture(scope="module", params=VARIANTS)
def case(request, golden, golden_path):
    config = json.loads(golden_path("stage2/configs.json").read_text())[request.param][
        "model"
    ]
    model = Stage2Model(
        codebook_size=config["vocab_size"] - 1,
        code_length=config["seq_len"],
        image_size=tuple(config["input_size"]),
        patch_size=tuple(config["patches"]["size"]),
        width=config["emb_dim"],
        encoder_depth=config["num_layers"],
        decoder_depth=config["num_layers"],
        mlp_width=config["mlp_dim"],
        num_heads=config["num_heads"],
        positions={"learn": "learned"}.get(
            config["posemb_type"], config["posemb_type"]
        ),
    )
    arrays = golden(f"stage2/{request.param}.npz")
    arrays |= {k: jnp.asarray(v) for k, v in arrays.items() if k.startswith("in/")}
    expected = jax.eval_shape(
        model.init,
        jax.random.key(0),
        arrays["in/image"],
        arrays["in/tokens"],
    )
    file = read_npz(golden_path(f"stage2/{request.param}_ckpt.npz"))
    params = jax.tree.map(
        jnp.asarray, translate(file, STAGE2_NAMES, expected)["params"]
    )
    return model, params, arrays


def indices(arrays):
    # The published tokens of the test are drawn over the whole vocabulary, 0 included.
    return jnp.asarray(arrays["in/tokens"]) - 1


def test_encoder(case):
    model, params, arrays = case
    encoded = model.apply({"params": params}, arrays["in/image"], method="encode")
    np.testing.assert_allclose(encoded, arrays["out/encoded"], atol=TOLERANCE)


def test_teacher_forced_logits(case):
    model, params, arrays = case
    logits = model.apply({"params": params}, arrays["in/image"], indices(arrays))
    np.testing.assert_allclose(logits, arrays["out/logits"], atol=TOLERANCE)


def test_loss_and_gradient(case):
    model, params, arrays = case
    loss_function = stage2_loss(model, lambda frozen, batch: frozen)
    batch = {"image": arrays["in/image"]}

    def loss(params):
        return loss_function(params, {}, indices(arrays), batch, None)

    (value, _), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    np.testing.assert_allclose(value, arrays["out/loss"], rtol=1e-5)
    named = {
        name.removeprefix("out/grad/"): array
        for name, array in arrays.items()
        if name.startswith("out/grad/")
    }
    norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(norm, arrays["out/grad_global_norm"], rtol=1e-5)
    compared = 0
    for name, ours in {
        "decoder/LogitsDense/kernel": gradient["logits"]["kernel"],
        "decoder/EmbedTargets/embedding": gradient["token_embedding"]["embedding"],
        "EmbedPatches/kernel": gradient["patches"]["kernel"],
        "pos_embedding_encoder": gradient["encoder_positions"]["embedding"][None]
        if "encoder_positions" in gradient
        else None,
    }.items():
        if name in named:
            np.testing.assert_allclose(ours, named[name], atol=2e-6, rtol=2e-4)
            compared += 1
    assert compared >= 2


def test_per_example_loss(case):
    model, params, arrays = case
    logits = model.apply({"params": params}, arrays["in/image"], indices(arrays))
    losses = softmax_cross_entropy(
        logits[..., None], jnp.asarray(arrays["in/tokens"])[..., None]
    )
    np.testing.assert_allclose(
        losses[..., 0].mean(-1), arrays["out/loss_per_example"], rtol=2e-5
    )


def test_greedy_sequences_and_log_probabilities(case):
    model, params, arrays = case
    image = jnp.asarray(arrays["in/image"])
    keys = jax.random.split(jax.random.key(0), (image.shape[0], 1))
    samples = sample(model, params, image, keys, Sampling(temperature=1e-7))
    expected = arrays["greedy/sequences"]
    # The public sampler can draw the start token; ours never does. Compare up to there.
    legal = np.cumprod(expected != 0, axis=-1).astype(bool)
    assert legal.mean() > 0.9
    tokens = np.asarray(indices_to_tokens(samples.indices))
    np.testing.assert_array_equal(tokens[legal], expected[legal])
    np.testing.assert_allclose(
        np.asarray(samples.log_probs)[legal],
        arrays["greedy/logprobs"][legal],
        atol=TOLERANCE,
    )
    assert tokens.min() >= 1


@pytest.mark.parametrize(
    "name, sampling",
    [
        ("sample_t1", Sampling()),
        ("sample_topk5", Sampling(temperature=0.7, top_k=5)),
        ("sample_topp", Sampling(top_p=0.6)),
    ],
)
def test_published_samples_are_possible_here(case, name, sampling):
    """Keys are split otherwise, so samples differ; what may be drawn must not."""
    model, params, arrays = case
    allowed = 0
    for sequence in np.moveaxis(arrays[f"{name}/sequences"], 1, 0):
        logits = model.apply(
            {"params": params}, arrays["in/image"], jnp.asarray(sequence) - 1
        )
        restricted = np.asarray(sampling.restrict(logits))
        chosen = np.take_along_axis(restricted, sequence[..., None], -1)[..., 0]
        legal = np.cumprod(sequence != 0, axis=-1).astype(bool)
        # The public top-k counts the start token among the k; ours does not need to.
        assert np.isfinite(chosen[legal]).mean() > 0.97
        allowed += np.isfinite(restricted).sum(-1).mean()
    if sampling.top_k:
        assert allowed / 2 == pytest.approx(sampling.top_k, abs=0.01)
