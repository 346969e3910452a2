import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.training.optimizer import adafactor, adamw, make_optimizer
from uvim_fsq.training.schedule import constant
from uvim_fsq.training.state import create_state
from uvim_fsq.training.step import BatchSizeError, check_batch_size, make_step


def _linear_loss(params, collections, frozen, batch, key):
    del collections, frozen, key
    error = batch["x"] @ params["kernel"] - batch["y"]
    return jnp.mean(jnp.square(error)), (jnp.sum(error), {"l1": jnp.abs(error).mean()})


def _linear(micro_batches, optimizer=None):
    optimizer = optimizer or make_optimizer(
        adamw(), learning_rate=0.1, schedule=constant()
    )
    step = make_step(
        _linear_loss,
        lambda collections, statistics, key: collections + statistics,
        optimizer,
        constant(),
        batch_size=8,
        seed=0,
        micro_batches=micro_batches,
    )
    params = {"kernel": jnp.array([0.5, -1.0, 2.0])}
    return step, create_state(params, jnp.zeros(()), optimizer)


def _batch():
    generator = np.random.default_rng(0)
    return {
        "x": generator.normal(size=(8, 3)).astype(np.float32),
        "y": generator.normal(size=8).astype(np.float32),
    }


def test_micro_batches_give_the_step_of_the_whole_batch():
    results = []
    for micro_batches in (1, 2, 4):
        step, state = _linear(micro_batches)
        for _ in range(3):
            state, metrics = step(state, None, step.put(_batch()))
        results.append((state, metrics))
    for state, metrics in results[1:]:
        for a, b in zip(
            jax.tree.leaves(results[0]), jax.tree.leaves((state, metrics)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert abs(float(results[0][0].collections)) > 0.1


def test_micro_batches_and_steps_draw_each_for_themselves():
    """The mean of draws, and the sum of their squares: equal draws would have no variance."""

    def loss(params, collections, frozen, batch, key):
        del collections, frozen, batch
        draw = jax.random.normal(key)
        return params["kernel"].sum(), (jnp.square(draw), {"draw": draw})

    optimizer = make_optimizer(adamw(), learning_rate=0.1, schedule=constant())
    step = make_step(
        loss,
        lambda collections, statistics, key: statistics,
        optimizer,
        constant(),
        batch_size=8,
        seed=0,
        micro_batches=4,
    )
    state = create_state({"kernel": jnp.ones(3)}, jnp.zeros(()), optimizer)
    means = []
    for _ in range(2):
        state, metrics = step(state, None, step.put(_batch()))
        means.append(float(metrics["draw"]))
        assert float(state.collections) / 4 - means[-1] ** 2 > 0.01
    assert means[0] != means[1]


@pytest.mark.parametrize(
    ("batch", "micro_batches", "devices", "good"),
    [(8, 1, 1, True), (8, 2, 4, True), (8, 2, 3, False), (6, 4, 1, False)]
    + [(8, 0, 1, False), (8, -2, 1, False), (0, 1, 1, False), (-8, 1, 1, False)],
)
def test_batches_are_split_evenly_or_refused(batch, micro_batches, devices, good):
    if good:
        check_batch_size(batch, micro_batches, devices)
        return
    with pytest.raises(BatchSizeError, match=f"{micro_batches} micro-batch"):
        check_batch_size(batch, micro_batches, devices)


def test_metrics_are_what_they_say():
    """A plain step: gradient, norms before and after, in NumPy."""
    optimizer = make_optimizer(
        adafactor(momentum=0.0, momentum_dtype=jnp.float32),
        learning_rate=0.1,
        schedule=lambda step: 0.5 + 0.0 * step,
        clip_norm=1e-3,
    )
    step, state = _linear(1, optimizer)
    batch, kernel = _batch(), np.array([0.5, -1.0, 2.0])
    error = batch["x"] @ kernel - batch["y"]
    gradient = 2 * batch["x"].T @ error / 8
    new = kernel - 0.05 * np.sign(gradient)
    state, metrics = step(state, None, step.put(batch))
    expected = {
        "loss": np.mean(error**2),
        "l1": np.abs(error).mean(),
        "learning_rate": 1.0,
        "l2_grads": np.linalg.norm(gradient),
        "l2_updates": 0.05 * np.sqrt(3),
        "l2_params": np.linalg.norm(new),
        "finite": 1.0,
    }
    assert set(metrics) == set(expected)
    for name, value in expected.items():
        assert metrics[name].dtype == jnp.float32
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(state.params["kernel"], new, rtol=1e-5)
    assert int(state.step) == 1
    np.testing.assert_allclose(state.collections, error.sum(), rtol=1e-5)


def test_frozen_values_and_steps_are_arguments_of_one_program(toy):
    traces = []

    def counted(*arguments):
        traces.append(1)
        return toy.loss_function(*arguments)

    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    step = make_step(
        counted,
        toy.update_collections,
        optimizer,
        constant(),
        batch_size=toy.BATCH,
        seed=3,
    )
    state = step.replicate(create_state(*toy.parameters(), optimizer))
    losses = []
    for teacher in (0.5, 0.7, 0.9):
        frozen = step.replicate({"teacher": np.float32(teacher)})
        state, metrics = step(state, frozen, step.put(next(toy.batches(0))))
        losses.append(float(metrics["loss"]))
    assert len(traces) == 1 and len(set(losses)) == 3


def test_the_key_depends_on_seed_and_step_only(toy):
    """The same step number gives the same noise, the next one another."""
    step, state = toy.toy_step()
    batch = step.put(next(toy.batches(0)))
    frozen = step.replicate(toy.FROZEN)
    copies = [jax.tree.map(jnp.copy, state) for _ in range(3)]
    copies[2] = copies[2].replace(step=copies[2].step + 1)
    losses = [float(step(copy, frozen, batch)[1]["loss"]) for copy in copies]
    assert losses[0] == losses[1] != losses[2]
    other, state = toy.toy_step(seed=4)
    assert float(other(state, frozen, batch)[1]["loss"]) != losses[0]


def test_the_state_given_is_overwritten(toy):
    step, state = toy.toy_step()
    kernel = state.params["hidden"]["kernel"]
    step(state, step.replicate(toy.FROZEN), step.put(next(toy.batches(0))))
    assert kernel.is_deleted()
    params, _ = toy.parameters()
    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    create_state(params, {}, optimizer)
    assert not params["hidden"]["kernel"].is_deleted()


def test_frozen_arrays_stay_and_are_not_differentiated():
    """Multiplier 0: the value stays to the bit, and a NaN gradient there is unseen."""

    def loss(params, collections, frozen, batch, key):
        del frozen, key
        nan = jnp.sum(jnp.sqrt(params["encoder"]))  # infinite slope at 0
        return jnp.sum(jnp.square(params["head"])) + nan, (collections, {})

    optimizer = make_optimizer(
        adafactor(),
        learning_rate=0.1,
        schedule=constant(),
        multipliers=[("encoder", 0)],
        clip_norm=1.0,
    )
    step = make_step(
        loss, lambda c, s, k: c, optimizer, constant(), batch_size=1, seed=0
    )
    params = {"encoder": jnp.zeros(3), "head": jnp.ones(2)}
    state, metrics = step(
        create_state(params, {}, optimizer), None, step.put({"x": np.zeros(1)})
    )
    assert float(metrics["finite"]) == 1.0
    np.testing.assert_allclose(metrics["l2_grads"], np.sqrt(8), rtol=1e-6)
    assert not state.params["encoder"].any()
    assert (state.params["head"] < 1).all()


@pytest.mark.parametrize("where", ["loss", "grads", "collections"])
def test_finite_tells_of_every_place(where):
    def loss(params, collections, frozen, batch, key):
        del frozen, batch, key
        value = jnp.sum(jnp.square(params["x"]))
        if where == "loss":
            value = value / jnp.sum(jax.lax.stop_gradient(params["x"]) * 0)
        if where == "grads":
            value = value + jnp.sum(jnp.sqrt(params["x"] - 1))
        return value, ({}, {})

    def update(collections, statistics, key):
        del statistics, key
        return collections / (0.0 if where == "collections" else 1.0)

    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    step = make_step(loss, update, optimizer, constant(), batch_size=1, seed=0)
    state = create_state({"x": jnp.ones(3)}, jnp.zeros(2), optimizer)
    _, metrics = step(state, None, step.put({"x": np.zeros(1)}))
    assert float(metrics["finite"]) == 0.0


def test_a_batch_that_cannot_be_split_is_refused(toy):
    with pytest.raises(
        ValueError, match="batch of 16 .* 3 micro-batch.* multiple of 3"
    ):
        toy.toy_step(micro_batches=3)
    step, state = toy.toy_step()
    short = jax.tree.map(lambda x: x[:8], next(toy.batches(0)))
    with pytest.raises(ValueError, match=r"\['x'\] has shape \(8, 40\): expected 16"):
        step(state, step.replicate(toy.FROZEN), step.put(short))


def test_eight_devices_give_the_result_of_one(toy, start_toy, tmp_path):
    """The average of the parameters, that is."""
    process = start_toy(
        tmp_path / "eight", "--devices", 8, "--steps", 4, "--average", 0.5
    )
    one = toy.train(tmp_path / "one", 4, average_decay=0.5)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    result = json.loads(output.splitlines()[-1])
    assert result["devices"] == 8
    np.testing.assert_allclose(
        result["out"]["kernel"], one.weights["out"]["kernel"], rtol=1e-4, atol=1e-6
    )
