"""What must hold of every draw, whatever the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.models.uvim.stage2.model import START_TOKEN, Stage2Model
from uvim_fsq.models.uvim.stage2.sampling import Sampling, sample

BATCH, CODEBOOK, LENGTH = 5, 24, 9


@pytest.fixture(scope="module")
def trained():
    """A model with noise in every parameter, so that its draws differ by image."""
    model = Stage2Model(
        codebook_size=CODEBOOK,
        code_length=LENGTH,
        image_size=(16, 24),
        patch_size=(8, 8),
        width=32,
        encoder_depth=2,
        decoder_depth=2,
        mlp_width=48,
        num_heads=2,
    )
    image = jax.random.uniform(jax.random.key(1), (BATCH, 16, 24, 3), minval=-1.0)
    params = model.init(jax.random.key(0), image, jnp.zeros((BATCH, LENGTH), jnp.int32))
    leaves, tree = jax.tree.flatten(params["params"])
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noisy = [
        a + 0.3 * jax.random.normal(k, a.shape)
        for a, k in zip(leaves, keys, strict=True)
    ]
    return model, jax.tree.unflatten(tree, noisy), image


def keys_for(images, samples, seed=0):
    return jax.random.split(jax.random.key(seed), (images, samples))


def draw(trained, sampling, samples=1, image=None, keys=None):
    model, params, images = trained
    image = images if image is None else image
    keys = keys_for(image.shape[0], samples) if keys is None else keys
    return jax.jit(sample, static_argnums=(0, 4))(model, params, image, keys, sampling)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.0), Sampling(1.0), Sampling(2.0, top_k=3), Sampling(1.0, top_p=0.5)],
)
def test_cached_steps_equal_the_teacher_forced_pass(trained, sampling):
    """Log-probabilities of the drawn codes, step by step and in one pass, are the same."""
    model, params, image = trained
    samples = draw(trained, sampling, samples=3)
    assert samples.indices.shape == samples.log_probs.shape == (BATCH, 3, LENGTH)
    for number in range(3):
        indices = samples.indices[:, number]
        logits = model.apply({"params": params}, image, indices)
        chosen = jnp.take_along_axis(
            jax.nn.log_softmax(logits), indices[..., None] + 1, axis=-1
        )[..., 0]
        np.testing.assert_allclose(samples.log_probs[:, number], chosen, atol=2e-5)


def test_indices_lie_in_the_codebook_even_if_the_start_token_is_most_likely(trained):
    model, params, image = trained
    bias = params["logits"]["bias"].at[START_TOKEN].set(100.0)
    params = {**params, "logits": {**params["logits"], "bias": bias}}
    for sampling in (
        Sampling(0.0),
        Sampling(1.0),
        Sampling(1.0, top_k=1),
        Sampling(1.0, top_p=0.1),
    ):
        indices = np.asarray(draw((model, params, image), sampling, samples=4).indices)
        assert indices.min() >= 0 and indices.max() < CODEBOOK


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0, top_p=0.9)])
def test_an_image_does_not_depend_on_its_neighbours(trained, sampling):
    """Other neighbours, and another place in the batch: the same to the bit."""
    _, _, image = trained
    keys = keys_for(BATCH, 2)
    whole = draw(trained, sampling, image=image, keys=keys)
    order = np.array([3, 0, 4, 1, 2])
    moved = draw(trained, sampling, image=image[order], keys=keys[order])
    others = draw(trained, sampling, image=image.at[1:].set(0.5), keys=keys)
    for ours, theirs in ((moved, [a[order] for a in whole]), (others, whole)):
        count = BATCH if ours is moved else 1
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a[:count], b[:count])


def test_samples_of_an_image_differ_and_greedy_ones_do_not(trained):
    samples = draw(trained, Sampling(1.0), samples=4).indices
    assert len({bytes(np.asarray(code)) for code in samples[0]}) == 4
    greedy = draw(trained, Sampling(0.0), samples=2).indices
    np.testing.assert_array_equal(greedy[:, 0], greedy[:, 1])
    np.testing.assert_array_equal(
        greedy,
        draw(trained, Sampling(1e-7), samples=2, keys=keys_for(BATCH, 2, 9)).indices,
    )
    np.testing.assert_array_equal(
        greedy, draw(trained, Sampling(1.0, top_k=1), 2).indices
    )


def test_draws_follow_the_tempered_probabilities():
    logits = jnp.log(jnp.array([9.0, 1.0, 2.0, 3.0, 4.0]))[None, None]
    keys = jax.random.split(jax.random.key(0), (20_000, 1))
    drawn = Sampling(0.5).draw(jnp.broadcast_to(logits, (20_000, 1, 5)), keys)
    share = np.bincount(np.asarray(drawn).ravel(), minlength=5) / 20_000
    # The start token, 9, is out; the rest squared.
    np.testing.assert_allclose(share, np.array([0, 1, 4, 9, 16]) / 30, atol=0.01)


@pytest.mark.parametrize(
    "sampling, allowed",
    [
        (Sampling(1.0, top_k=2), [3, 4]),
        (Sampling(1.0, top_p=0.39), [4]),
        (Sampling(1.0, top_p=0.41), [3, 4]),
        (Sampling(1.0, top_k=3, top_p=0.5), [3, 4]),
        (Sampling(1.0), [1, 2, 3, 4]),
    ],
)
def test_restrictions(sampling, allowed):
    logits = jnp.log(jnp.array([9.0, 1.0, 2.0, 3.0, 4.0]))
    restricted = sampling.restrict(logits)
    assert np.flatnonzero(np.isfinite(restricted)).tolist() == allowed


@pytest.mark.parametrize(
    "sampling, allowed",
    [
        (Sampling(1.0, top_k=1), [2]),
        (Sampling(1.0, top_k=2), [2, 3]),
        (Sampling(1.0, top_k=4), [1, 2, 3, 5]),
        (Sampling(0.5, top_p=0.2), [2]),
        (Sampling(1.0, top_p=0.5), [2, 3]),
        (Sampling(1.0, top_k=4, top_p=0.25), [2]),
    ],
)
@pytest.mark.parametrize("highest", [0.0, -3.0])
def test_of_equally_likely_indices_the_lower_ones_are_kept(sampling, allowed, highest):
    logits = jnp.array([9.0, highest - 1, highest, highest, highest - 1, highest])
    if not highest:
        logits = logits.at[2].set(-0.0)  # Equal to 0.0, and before it by its place.
    for rows in (logits, jnp.tile(logits, (2, 3, 1))):
        restricted = np.asarray(sampling.restrict(rows))
        kept = np.isfinite(restricted)
        assert (kept == np.isin(np.arange(6), allowed)).all()
        assert (
            restricted[kept] == (np.asarray(rows) / sampling.temperature)[kept]
        ).all()


@pytest.mark.parametrize(
    "changes", [{"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}]
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Sampling(**changes)


def test_the_first_that_add_up_to_top_p_exactly_are_enough():
    logits = jnp.array(
        [9.0, 0.0, -np.log(2), -np.log(2)]
    )  # A half, a quarter, a quarter.
    for top_p, kept in ((0.5, [1]), (0.75, [1, 2]), (0.76, [1, 2, 3])):
        restricted = Sampling(1.0, top_p=top_p).restrict(logits)
        assert np.flatnonzero(np.isfinite(restricted)).tolist() == kept


def test_greedy_begins_at_a_millionth():
    logits = jnp.zeros((1, 400, 3)).at[..., 1].set(1e-9)
    keys = keys_for(1, 400)
    for temperature, kinds in ((0.0, 1), (1e-7, 1), (1e-6, 1), (2e-6, 2)):
        sampling = Sampling(temperature=temperature)
        assert sampling.greedy == (kinds == 1)
        assert len(np.unique(sampling.draw(logits, keys))) == kinds


def test_the_decoder_is_causal(trained):
    """Position i's logits depend on indices before i, on all of them, and on none after."""
    model, params, image = trained
    codes = jax.random.randint(jax.random.key(3), (1, LENGTH), 0, CODEBOOK)
    base = model.apply({"params": params}, image[:1], codes)
    for changed in range(LENGTH):
        other = model.apply(
            {"params": params}, image[:1], codes.at[0, changed].add(1) % CODEBOOK
        )
        moved = np.abs(np.asarray(other - base)).max(-1)[0] > 1e-6
        assert moved.tolist() == [i > changed for i in range(LENGTH)]
