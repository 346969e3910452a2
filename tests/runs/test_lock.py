"""One process trains a stage at a time; others are told who does, and may read."""

import os
import signal
import subprocess
import sys

import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.lock import RunInUse, check_free, locked
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, replace

HOLDER = """
import pathlib, sys, time
from uvim_fsq.runs.lock import locked
with locked(pathlib.Path(sys.argv[1]), sys.argv[2:]):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the locks of stage I and of stage II with seed 3."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "stage1", "stage2_seed_3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_lock_names_its_holder_and_ends_with_it(holder, tmp_path):
    said = rf"trained \(stage II, seed 3\) by process {holder.pid} on .+ since 20\d\d-"
    with pytest.raises(RunInUse, match=said), locked(tmp_path, ["stage2_seed_3"]):
        raise AssertionError
    with pytest.raises(RunInUse, match=r"\(stage I\)"):
        check_free(tmp_path, "stage1")
    with locked(tmp_path, ["stage2_seed_0"]):  # Seeds may be trained side by side.
        check_free(tmp_path, "stage2_seed_1")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path, ["stage1", "stage2_seed_3"]):
        with pytest.raises(RunInUse, match=f"process {os.getpid()} "):
            check_free(tmp_path, "stage1")
    check_free(tmp_path, "stage1")


def test_a_run_in_training_is_not_trained_twice(holder, tmp_path, tiny_config, capsys):
    for stages in ((1, 2), (1,), (2,)):
        with pytest.raises(RunInUse):
            train(replace(tiny_config, seed=3), tmp_path, stages)
    words = ["train", "depth", "--preset", "tiny", "--output.directory", str(tmp_path)]
    assert main(words) == 2
    line = capsys.readouterr().err
    assert f"by process {holder.pid} on" in line and line.count("\n") == 1
    assert not (tmp_path / "config.json").exists()


def test_a_stage1_in_training_is_not_built_on(tiny_run, tiny_config, tmp_path):
    with locked(tiny_run, ["stage1"]), pytest.raises(RunInUse):
        train(tiny_config, tmp_path / "run", (2,), stage1_run=tiny_run)
    assert not (tmp_path / "run").exists()


def test_a_run_in_training_can_be_read(tiny_run):
    with locked(tiny_run, ["stage1", "stage2_seed_0"]):
        before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
        load_inference(open_trained(tiny_run))
        assert before == {p: p.stat().st_mtime_ns for p in tiny_run.rglob("*")}


def test_where_files_cannot_be_locked_it_is_said(tmp_path, monkeypatch, capsys):
    import errno
    import fcntl

    def none(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with locked(tmp_path, ["stage1"]):
        said = capsys.readouterr().out
    assert "cannot be locked (No locks available): see to it that no other" in said


def test_it_is_an_error_of_use():
    assert issubclass(RunInUse, ConfigError)
