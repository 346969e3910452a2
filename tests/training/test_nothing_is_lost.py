"""Whatever ends a run early, what is done is saved, and what was cut short is made good."""

import os
import signal

import jax
import numpy as np
import pytest

from uvim_fsq.training.checkpoint import CheckpointError, Checkpoints
from uvim_fsq.training.hooks import (
    Hook,
    HookError,
    Score,
    checkpoint_hook,
    evaluation_hook,
    logging_hook,
)
from uvim_fsq.training.loop import run_loop
from uvim_fsq.training.signals import Interrupted, StopRequested, StopSignals
from uvim_fsq.training.step import replicated
from uvim_fsq.training.writers import JsonLines, read_json_lines

SAVED = "the state after step {} is saved, and the same command continues from there"


def evaluate(state):
    """Best after three steps."""
    return {"rmse": abs(int(state.step) - 3) + 0.5}


class Run:
    """A run in a directory that evaluates every third step and saves every sixth; twelve in all."""

    def __init__(self, toy, directory):
        self.toy, self.directory = toy, directory
        self.log = directory / "metrics.jsonl"

    def go(self, evaluate=evaluate, hooks=(), batches=None, total_steps=12):
        """Trains from where it is to the end; returns the best step."""
        step, state = self.toy.toy_step()
        with StopSignals() as stop, Checkpoints(self.directory / "c") as checkpoints:
            found = checkpoints.restore_latest(state, replicated(step.mesh))
            state = found[0] if found else state
            first, score = int(state.step), Score("rmse")
            lines = read_json_lines(self.log) if self.log.exists() else []
            before = [x["step"] for x in lines if "validation/rmse" in x]
            before = [step for step in before if step <= first]

            def checked(state):
                values = evaluate(state)
                stop.check()
                return values

            with JsonLines(self.log, first) as log:
                every = (3,)
                run_loop(
                    step,
                    state,
                    (batches or self.toy.batches)(first),
                    total_steps=total_steps,
                    frozen=self.toy.FROZEN,
                    hooks=[
                        *hooks,
                        logging_hook([log], 1, batch_size=self.toy.BATCH),
                        evaluation_hook(
                            checked, 3, writers=[log], score=score, before=before
                        ),
                        checkpoint_hook(checkpoints, 6, score=score, also_every=every),
                    ],
                    stop=stop,
                    last_good=checkpoints.last_good,
                )
            return checkpoints.best_step()

    def checkpoints(self):
        """Step: metric of all that are there."""
        with Checkpoints(self.directory / "c", read_only=True) as checkpoints:
            steps = checkpoints._manager.all_steps()
            return {step: checkpoints.metadata(step)["metric"] for step in steps}

    def result(self):
        """All that must be the same, however often the run was disturbed."""
        step, state = self.toy.toy_step()
        with Checkpoints(self.directory / "c", read_only=True) as checkpoints:
            last, metadata = checkpoints.restore_latest(state, replicated(step.mesh))
            best, _ = checkpoints.restore_best(state, replicated(step.mesh))
        values = [
            {k: v for k, v in line.items() if k.partition("/")[2] in ("loss", "rmse")}
            | {"step": line["step"]}
            for line in read_json_lines(self.log)
        ]
        return self.toy.digest(last), self.toy.digest(best), metadata, values


@pytest.fixture(scope="module")
def undisturbed(toy, tmp_path_factory):
    run = Run(toy, tmp_path_factory.mktemp("undisturbed"))
    assert run.go() == 3
    return run.result()


@pytest.mark.parametrize("step", [6, 12])
def test_an_evaluation_that_a_signal_ends_is_made_good(
    toy, tmp_path, step, undisturbed
):
    """In the middle and at the end: the state is saved, and the score follows."""

    def stopped(state):
        if int(state.step) == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(state)

    run = Run(toy, tmp_path)
    with pytest.raises(Interrupted, match=f"after step {step}; the state is saved"):
        run.go(stopped)
    assert run.checkpoints()[step] is None
    lines = read_json_lines(run.log)
    assert lines[-1]["step"] == step and "train/loss" in lines[-1]
    assert run.go() == 3
    assert run.checkpoints()[12] == 9.5
    assert run.result() == undisturbed


def test_a_signal_as_all_ends_is_the_callers(toy):
    """The last evaluation was whole: there is nothing to be made good."""

    def kill(number, state, metrics):
        os.kill(os.getpid(), signal.SIGTERM)

    end = Hook("end", 0, kill, at_end=True)
    step, state = toy.toy_step()
    with StopSignals() as stop:
        run_loop(
            step,
            state,
            toy.batches(0),
            total_steps=1,
            frozen=toy.FROZEN,
            hooks=[end],
            stop=stop,
        )
    assert stop.requested == signal.SIGTERM


@pytest.mark.parametrize("name", ["validation", "late", "custom"])
def test_a_failing_hook_loses_no_step(toy, tmp_path, name, undisturbed):
    def broken(state):
        if name == "validation" and int(state.step) == 6:
            raise OSError("no such image")
        return evaluate(state)

    def fail(number, state, metrics):
        raise OSError("no such file")

    late = {"late": True, "custom": False}.get(name)
    hooks = [] if late is None else [Hook(name, 5, fail, late=late)]
    run = Run(toy, tmp_path)
    with pytest.raises(HookError, match="no such") as error:
        run.go(broken, hooks)
    saved = {"validation": 6, "late": 6, "custom": 5}[name]
    assert error.value.__notes__ == [SAVED.format(saved)]
    assert max(run.checkpoints()) == saved
    assert run.go() == 3
    assert run.result() == undisturbed


def test_data_that_cannot_be_read_lose_no_step(toy, tmp_path, undisturbed):
    def batches(first):
        for number, batch in enumerate(toy.batches(first), start=first):
            if number == 4:
                raise OSError("damaged")
            yield batch

    run = Run(toy, tmp_path)
    with pytest.raises(OSError, match="damaged") as error:
        run.go(batches=batches)
    assert error.value.__notes__ == [SAVED.format(4)]
    assert run.go() == 3
    assert run.result() == undisturbed


def test_a_state_that_is_not_finite_is_not_saved_for_a_hook_either(toy, tmp_path):
    """The hook fails before the loop has looked at the step."""

    def batches(first):
        for number, batch in enumerate(toy.batches(first), start=first):
            yield batch | {"y": batch["y"] * np.float32(np.nan if number == 4 else 1)}

    def fail(number, state, metrics):
        raise OSError("no luck")

    run = Run(toy, tmp_path)
    with pytest.raises(HookError, match="no luck") as error:
        run.go(hooks=[Hook("custom", 5, fail)], batches=batches)
    (note,) = error.value.__notes__
    assert note.startswith(
        "the state after step 5 could not be saved: step 5: the loss"
    )
    assert max(run.checkpoints()) == 3


def test_a_stop_is_told_of_as_saved_only_when_it_is(toy, tmp_path, monkeypatch):
    """The write in the background fails, as on a full disk."""

    def stop(number, state, metrics):
        os.kill(os.getpid(), signal.SIGTERM)

    def full(self):
        raise CheckpointError("the disk is full")

    run = Run(toy, tmp_path)
    monkeypatch.setattr(Checkpoints, "wait", full)
    with pytest.raises(HookError, match="'checkpoint' failed at step 2.*disk is full"):
        run.go(hooks=[Hook("stop", 2, stop)])


def test_a_line_is_logged_before_its_step_is_saved(toy, tmp_path):
    """So that a kill right after a save loses none."""
    logged = []

    class Killed(BaseException):
        pass

    def save(number, state, metrics):
        logged.append(any(x["step"] == number for x in read_json_lines(run.log)))
        raise Killed

    run = Run(toy, tmp_path)
    with pytest.raises(Killed):
        run.go(hooks=[Hook("save", 2, save, reads_state=True)])
    assert logged == [True]


def test_a_score_is_added_to_a_checkpoint_once(tmp_path):
    state = {"x": jax.numpy.ones(3)}
    with Checkpoints(tmp_path, metadata={"name": "n"}) as checkpoints:
        checkpoints.save(state, 2)
        assert not checkpoints.save(state, 2, metric=float("nan"))
        assert not checkpoints.save(state, 2, metric=0.5)
        assert not checkpoints.save(state, 2, metric=0.25)
        checkpoints.save(state, 4, metric=0.75)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step() == 2
        assert checkpoints.metadata(2) == {"name": "n", "step": 2, "metric": 0.5}


def test_a_check_outside_a_run_raises_only_if_asked_to_stop():
    stop = StopSignals()
    stop.check()
    stop.requested = signal.SIGTERM
    with pytest.raises(StopRequested):
        stop.check()
