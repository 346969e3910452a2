"""The moving average of the parameters beside the training that it follows."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.training.checkpoint import CheckpointError, Checkpoints
from uvim_fsq.training.optimizer import adafactor, make_optimizer
from uvim_fsq.training.schedule import constant
from uvim_fsq.training.state import TrainState, abstract_state, create_state
from uvim_fsq.training.step import make_step


def _arrays(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def _assert_same(ours, theirs):
    for a, b in zip(_arrays(ours), _arrays(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def _train(toy, steps=4, **changes):
    """States after 0, 1, ... `steps` steps of the toy run."""
    step, state = toy.toy_step(**changes)
    frozen, states = step.replicate(toy.FROZEN), []
    for _, batch in zip(range(steps), toy.batches(0), strict=False):
        states.append(jax.tree.map(np.asarray, state))
        state, _ = step(state, frozen, step.put(batch))
    return [*states, state]


def test_it_is_what_the_formula_says(toy):
    """The decay is 0.1, 2/11, then held at 0.2."""
    states = _train(toy, average_decay=0.2)
    average = toy.parameters()[0]["hidden"]["kernel"]
    np.testing.assert_array_equal(states[0].average["hidden"]["kernel"], average)
    for t, state in enumerate(states[1:]):
        decay = [0.1, 2 / 11, 0.2, 0.2][t]
        params = np.asarray(state.params["hidden"]["kernel"])
        average = decay * average + (1 - decay) * params
        found = state.average["hidden"]["kernel"]
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-7)
    assert np.abs(average - params).max() > 1e-3
    assert state.weights is state.average


def test_training_goes_on_as_without(toy):
    """To the bit; and without an average the parameters are what is used."""
    plain, averaged = _train(toy)[-1], _train(toy, average_decay=0.9)[-1]
    assert plain.average == {} and plain.weights is plain.params
    _assert_same(averaged.replace(average={}), plain)


def test_micro_batches_give_the_average_of_the_whole_batch():
    def loss(params, collections, frozen, batch, key):
        del frozen, key
        error = batch["x"] @ params["kernel"]
        return jnp.mean(jnp.square(error)), (collections, {})

    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    batch = {"x": np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)}
    results = []
    for micro_batches in (1, 4):
        step = make_step(
            loss,
            lambda c, s, k: c,
            optimizer,
            constant(),
            batch_size=8,
            seed=0,
            micro_batches=micro_batches,
            average_decay=0.5,
        )
        state = create_state({"kernel": jnp.ones(3)}, {}, optimizer, averaged=True)
        for _ in range(3):
            state, _ = step(state, None, step.put(batch))
        results.append(state.average["kernel"])
    np.testing.assert_allclose(*results, rtol=1e-5)
    assert (np.abs(results[0] - 1) > 0.01).all()


def test_frozen_arrays_stay_exact():
    def loss(params, collections, frozen, batch, key):
        return jnp.sum(params["encoder"] * params["head"]), (collections, {})

    optimizer = make_optimizer(
        adafactor(),
        learning_rate=0.1,
        schedule=constant(),
        multipliers=[("encoder", 0)],
    )
    step = make_step(
        loss,
        lambda c, s, k: c,
        optimizer,
        constant(),
        batch_size=1,
        seed=0,
        average_decay=0.99,
    )
    encoder = jax.random.normal(jax.random.key(0), (50,)) * 1e-3
    params = {"encoder": encoder, "head": jnp.ones(50)}
    state = create_state(params, {}, optimizer, averaged=True)
    for _ in range(5):
        state, _ = step(state, None, step.put({"x": np.zeros(1)}))
    np.testing.assert_array_equal(state.weights["encoder"], encoder)
    assert (np.asarray(state.weights["head"]) != 1).all()


def test_a_state_of_the_other_kind_is_refused(toy):
    step, _ = toy.toy_step(average_decay=0.9)
    other, state = toy.toy_step()
    batch, frozen = step.put(next(toy.batches(0))), step.replicate(toy.FROZEN)
    with pytest.raises(
        ValueError, match=r"average_decay is 0.9 and the state has no .*averaged=True"
    ):
        step(state, frozen, batch)
    _, state = toy.toy_step(average_decay=0.9)
    with pytest.raises(ValueError, match=r"is 0.0 and the state has an .*=False"):
        other(state, frozen, batch)


def test_the_given_parameters_are_left_alone(toy):
    params, collections = toy.parameters()
    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    step = make_step(
        toy.loss_function,
        toy.update_collections,
        optimizer,
        constant(),
        batch_size=toy.BATCH,
        seed=0,
        average_decay=0.9,
    )
    state = create_state(params, collections, optimizer, averaged=True)
    step(state, step.replicate(toy.FROZEN), step.put(next(toy.batches(0))))
    assert state.average["out"]["kernel"].is_deleted()  # donated, like all of the state
    assert not any(x.is_deleted() for x in jax.tree.leaves((params, collections)))


@flax.struct.dataclass
class _Before:
    """A state that knows of no average."""

    step: Any
    params: Any
    collections: Any
    opt_state: Any


def _abstract(toy, averaged):
    optimizer = make_optimizer(adafactor(), learning_rate=0.1, schedule=constant())
    return abstract_state(*toy.parameters(), optimizer, averaged=averaged)


def test_checkpoints_that_know_of_no_average_are_read(toy, tmp_path):
    state = _train(toy, 1)[-1]
    before = _Before(state.step, state.params, state.collections, state.opt_state)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(before, 1)
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(_abstract(toy, averaged=False))
    assert isinstance(restored, TrainState) and not restored.averaged
    _assert_same(restored, state)


@pytest.mark.parametrize("averaged", [False, True])
def test_checkpoints_hold_the_average(toy, tmp_path, averaged):
    state = _train(toy, 1, average_decay=0.5 if averaged else 0.0)[-1]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, 1)
        checkpoints.wait()
        restored, _ = checkpoints.restore_latest(_abstract(toy, averaged))
        assert restored.averaged == averaged
        _assert_same(restored, state)
        fault = "not expected" if averaged else r"expected \(48,\) float32, missing"
        with pytest.raises(CheckpointError, match=f"average/hidden/bias: {fault}"):
            checkpoints.restore_latest(_abstract(toy, not averaged))
