import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.hooks import Hook, HookError, checkpoint_hook
from uvim_fsq.training.loop import NotFiniteError, run_loop
from uvim_fsq.training.signals import Interrupted


def _run(toy, hooks=(), total_steps=6, batches=None, **more):
    step, state = toy.toy_step()
    batches = toy.batches(0) if batches is None else batches
    return run_loop(
        step,
        state,
        batches,
        total_steps=total_steps,
        frozen=toy.FROZEN,
        hooks=hooks,
        **more,
    )


def _recorder(name, every, calls, **more):
    def function(number, state, metrics):
        step = None if state is None else int(state.step)
        calls.append((name, number, step, float(metrics["loss"])))

    return Hook(name, every, function, **more)


def test_four_steps_equal_two_and_a_resume_of_two_to_the_bit(toy, tmp_path):
    """Parameters, optimizer state, collections, step, keys and data order."""
    whole = toy.train(tmp_path / "whole", 4)
    first = toy.train(tmp_path / "parts", 2)
    assert int(first.step) == 2
    second = toy.train(tmp_path / "parts", 4)
    assert int(second.step) == 4
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(whole),
        jax.tree.leaves(second),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b, err_msg=jax.tree_util.keystr(path))
    assert toy.digest(whole) == toy.digest(second) != toy.digest(first)


def test_hooks_are_called_when_they_are_due(toy):
    calls = []
    hooks = [
        _recorder("log", 2, calls, late=True),
        _recorder("evaluate", 3, calls, at_end=True, reads_state=True),
        _recorder("save", 4, calls, also_every=(3,), on_stop=True),
        _recorder("never", 0, calls),
        _recorder("end", 0, calls, at_end=True),
    ]
    _run(toy, hooks, total_steps=7)
    names = [(name, number, step) for name, number, step, _ in calls]
    assert names == [
        ("log", 2, None),
        ("evaluate", 3, 3),
        ("save", 3, 3),
        ("save", 4, 4),
        ("log", 4, None),
        ("log", 6, None),
        ("evaluate", 6, 6),
        ("save", 6, 6),
        ("evaluate", 7, 7),
        ("end", 7, 7),
    ]


def test_metrics_belong_to_the_step_that_a_hook_is_told(toy):
    direct, late = [], []
    hooks = [_recorder("a", 1, direct), _recorder("b", 1, late, late=True)]
    _run(toy, hooks, total_steps=4)
    assert [(c[1], c[3]) for c in direct] == [(c[1], c[3]) for c in late]
    assert len({c[3] for c in direct}) == 4


def test_a_finished_run_only_repeats_its_end(toy, tmp_path):
    toy.train(tmp_path, 2)
    calls = []
    end = Hook("end", 1, lambda n, s, m: calls.append((n, m)), at_end=True)
    state = toy.train(tmp_path, 2, hooks=[end])
    assert calls == [(2, {})] and int(state.step) == 2


def test_a_failing_hook_is_named_with_its_step(toy):
    def fail(number, state, metrics):
        raise OSError("no such thing")

    with pytest.raises(
        HookError, match="'odd' failed at step 2: OSError: no such"
    ) as e:
        _run(toy, [Hook("odd", 2, fail)])
    assert isinstance(e.value.__cause__, OSError)


def _poisoned(toy, bad):
    for position, batch in enumerate(toy.batches(0)):
        if position + 1 == bad:
            batch["y"] = batch["y"] * np.float32(np.nan)
        yield batch


@pytest.mark.parametrize("bad", [3, 4, 6])
def test_a_nan_stops_the_run_and_never_reaches_a_checkpoint(toy, tmp_path, bad):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(
            NotFiniteError, match=rf"^step {bad}: the loss \(nan\)"
        ) as e:
            _run(
                toy,
                [checkpoint_hook(checkpoints, every=2)],
                batches=_poisoned(toy, bad),
                last_good=checkpoints.last_good,
            )
        checkpoints.wait()
        last = 2 if bad < 5 else 4
        assert checkpoints.latest_step() == last
        assert f"checkpoint is {tmp_path}/{last}" in str(e.value)
        state, _ = checkpoints.restore_latest(toy.toy_step()[1])
        assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(state))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_step_and_saves(toy, tmp_path, number):
    def kill(step, state, metrics):
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with Checkpoints(tmp_path) as checkpoints:
        hooks = [Hook("kill", 3, kill), checkpoint_hook(checkpoints, every=0)]
        with pytest.raises(Interrupted, match="after step 3; the state is saved") as e:
            _run(toy, hooks)
        checkpoints.wait()
        assert checkpoints.latest_step() == e.value.step == 3
        assert e.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_signals_are_left_alone(toy):
    before = signal.getsignal(signal.SIGTERM)
    results = []
    thread = threading.Thread(target=lambda: results.append(_run(toy, total_steps=2)))
    thread.start()
    thread.join()
    assert int(results[0].step) == 2 and signal.getsignal(signal.SIGTERM) is before


def test_implicit_transfers_in_the_step_are_errors(toy, monkeypatch):
    step, state = toy.toy_step()
    put = step.put
    monkeypatch.setattr(step, "put", lambda batch: put(batch) | {"y": batch["y"]})
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        run_loop(step, state, toy.batches(0), total_steps=4, frozen=toy.FROZEN)


def test_data_that_end_too_early_are_an_error(toy):
    few = (batch for _, batch in zip(range(3), toy.batches(0), strict=False))
    with pytest.raises(RuntimeError, match="ended after 3 of 6 steps"):
        _run(toy, batches=few)


def test_only_one_batch_is_fetched_ahead(toy):
    taken, seen = [], []

    def watched():
        for position, batch in enumerate(toy.batches(0)):
            taken.append(position)
            yield batch

    hook = Hook("look", 1, lambda n, s, m: seen.append((n, len(taken))))
    _run(toy, [hook], total_steps=4, batches=watched())
    assert seen == [(1, 2), (2, 3), (3, 4), (4, 4)]
