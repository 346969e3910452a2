"""Whole runs that are stopped at the worst moments, and end as if nothing had been."""

import json
import os
import shutil
import signal
import threading

import orbax.checkpoint as ocp
import pytest

from uvim_fsq.runs import job
from uvim_fsq.runs import train as train_module
from uvim_fsq.runs.directory import RunDirectory, tree_hash
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ScenesConfig, replace
from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.hooks import HookError
from uvim_fsq.training.signals import Interrupted
from uvim_fsq.training.writers import read_json_lines


@pytest.fixture(scope="module")
def config(tiny_config):
    """Four steps, evaluated and saved at every second."""
    every = dict(output__evaluate_every=2, output__checkpoint_every=4)
    return replace(tiny_config, **every, output__pictures=0, evaluation__batch_size=2)


def result(*stages):
    """What must be the same to the bit: the last and the best checkpoint, the log, how it ended."""
    results = []
    for stage in stages:
        lines = [
            {k: v for k, v in x.items() if "second" not in k and k != "time"}
            for x in read_json_lines(stage.metrics)
        ]
        done = json.loads(stage.done.read_text())
        tree = done["steps"], done["best_step"], lines
        with Checkpoints(stage.checkpoints, read_only=True) as checkpoints:
            for step in (checkpoints.latest_step(), checkpoints.best_step()):
                tree += (
                    checkpoints.metadata(step),
                    hash_of(stage.checkpoints / f"{step}"),
                )
        results.append(tree)
    return results


def hash_of(checkpoint):
    return tree_hash(ocp.StandardCheckpointer().restore(checkpoint / "state"))


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed")
    train(config, run, (1,))
    return run


class Watched:
    """A source that notes what is read for a validation, and does something at the n-th example."""

    def __init__(self, source, number, action):
        self.source, self.number, self.action = source, number, action
        self.read: list[int] = []

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        if threading.current_thread() is not threading.main_thread():  # The loader's.
            self.read.append(index)
            if len(self.read) == self.number:
                self.action()
        return self.source[index]


@pytest.fixture
def while_validating(monkeypatch):
    """`while_validating(n, action)`, for the trainings that follow; what was read is returned."""
    build, read = ScenesConfig.open, []

    def prepare(number, action):
        def watched(settings, part):
            source = build(settings, part)
            if part != "validation":
                return source
            source = Watched(source, number, action)
            source.read = read
            return source

        read.clear()
        monkeypatch.setattr(ScenesConfig, "open", watched)
        return read

    return prepare


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_in_the_last_validation(
    config, undisturbed, tmp_path, while_validating, capsys
):
    """It ends at the next batch; the next start makes it good, and the one after has nothing to do."""
    read = while_validating(9, terminate)
    stage = RunDirectory(tmp_path).stage1
    with pytest.raises(Interrupted, match="after step 4; the state is saved"):
        train(config, tmp_path, (1,))
    assert len(read) < 16 and not stage.done.exists()
    assert "validation/loss" not in read_json_lines(stage.metrics)[-1]
    while_validating(None, terminate)
    train(config, tmp_path, (1,))
    assert result(stage) == result(RunDirectory(undisturbed).stage1)
    assert "all 4 steps are done already" not in capsys.readouterr().out
    train(config, tmp_path, (1,))
    assert "all 4 steps are done already" in capsys.readouterr().out


def test_a_validation_that_fails(config, undisturbed, tmp_path, while_validating):
    def fail():
        raise OSError("no such image")

    while_validating(1, fail)
    with pytest.raises(HookError, match="no such image") as error:
        train(config, tmp_path, (1,))
    assert error.value.__notes__[0].startswith("the state after step 2 is saved")
    while_validating(None, fail)
    train(config, tmp_path, (1,))
    stage = RunDirectory(tmp_path).stage1
    assert result(stage) == result(RunDirectory(undisturbed).stage1)


def test_a_kill_between_the_last_save_and_the_end(config, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "run")
    stage = RunDirectory(tmp_path / "run").stage1
    stage.done.unlink()
    train(config, tmp_path / "run", (1,))
    assert result(stage) == result(RunDirectory(undisturbed).stage1)


def test_what_says_that_all_is_done_goes_with_the_last_checkpoint(
    config, undisturbed, tmp_path, monkeypatch
):
    """Else a kill would leave a stage that is done and has no last step."""
    shutil.copytree(undisturbed, tmp_path / "run")
    stage = RunDirectory(tmp_path / "run").stage1
    (stage.checkpoints / "4").rename(tmp_path / "elsewhere")

    def killed(*args, **options):
        assert not stage.done.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run_loop", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", (1,))


def test_a_signal_between_the_stages(config, undisturbed, tmp_path, monkeypatch):
    """It is not lost, and nothing of stage II is begun."""
    shutil.copytree(undisturbed, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    load = train_module.load_frozen_stage1

    def signalled(*arguments):
        terminate()
        return load(*arguments)

    monkeypatch.setattr(train_module, "load_frozen_stage1", signalled)
    with pytest.raises(Interrupted, match="after step 0"):
        train(config, run.path)
    assert list(run.stage2(0).checkpoints.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 9, 17, 25])
def test_a_signal_in_any_validation_of_both_stages(
    config, undisturbed, tmp_path, while_validating, number
):
    whole = RunDirectory(tmp_path / "whole")
    train(config, whole.path)
    while_validating(number, terminate)
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(Interrupted):
        train(config, run.path)
    stages = run.stage1, run.stage2(0)
    assert [stage.done.exists() for stage in stages] == [number > 16, False]
    while_validating(None, terminate)
    train(config, run.path)
    assert result(*stages) == result(whole.stage1, whole.stage2(0))
