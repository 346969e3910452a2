"""Both stages, as `uvim-fsq train` trains them: what a run keeps, and how it continues."""

import json
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from uvim_fsq.models.uvim import build
from uvim_fsq.runs import open as trained_module
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.identity import identity_differences
from uvim_fsq.runs.load import load_frozen_stage1, load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, IdentityConfig, replace
from uvim_fsq.training.checkpoint import CheckpointError
from uvim_fsq.training.writers import read_json_lines

# Trains like the command does, and kills itself, as `kill -9` would, when the loader is asked for
# a given batch of a given stage.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from uvim_fsq.configs.depth import get_config
from uvim_fsq.runs import job
from uvim_fsq.runs.train import train
from uvim_fsq.settings import replace
run, variant, stage, position, number = sys.argv[1:]
loader, calls = job.training_batches, []
def deadly(*args, **options):
    calls.append(0)
    for i, batch in enumerate(loader(*args, **options), start=options["start_step"]):
        if len(calls) == int(stage) and i == int(position):
            os.kill(os.getpid(), int(number))
        yield batch
job.training_batches = deadly
config = replace(get_config(variant, "tiny"), stage1__steps=6, stage2__steps=6)
config = replace(config, output__checkpoint_every=2, output__evaluate_every=3, output__pictures=0)
config = replace(config, output__log_every=1)
train(config, Path(run))
"""


def run_script(run, variant, stage=0, position=-1, number=signal.SIGKILL):
    return subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            str(run),
            variant,
            str(stage),
            str(position),
            str(number),
        ],
        capture_output=True,
        text=True,
    )


def last_state(directory):
    """Every array of the last checkpoint, and its step."""
    import orbax.checkpoint as ocp

    step = max(int(path.name) for path in directory.iterdir() if path.name.isdigit())
    tree = ocp.StandardCheckpointer().restore(directory / str(step) / "state")
    return step, {
        jax.tree_util.keystr(path): np.asarray(array)
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
    }


def assert_time_adds_up(directory, lines, stopped_after):
    """The time that a stage took is that of all its sessions, starting up included."""
    logged = [(x["step"], x["train/seconds"]) for x in lines if "train/seconds" in x]
    assert [seconds for _, seconds in logged] == sorted(s for _, s in logged)
    before = max(s for step, s in logged if step <= stopped_after)
    done = json.loads((directory / "done.json").read_text())
    times = [x["time"] for x in lines if x["step"] > stopped_after]
    assert done["seconds"] >= before + max(times) - min(times) - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["vq", "fsq"])
def test_killed_runs_continue_to_the_bit(tmp_path, variant):
    """SIGKILL in stage I, SIGTERM in stage II; codebook, optimizer and data order included."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = run_script(whole, variant)
    assert done.returncode == 0, done.stderr
    killed = run_script(broken, variant, stage=1, position=5)
    assert killed.returncode == -signal.SIGKILL
    stopped = run_script(broken, variant, stage=2, position=4, number=signal.SIGTERM)
    assert "continuing after step" in stopped.stdout
    assert "Interrupted" in stopped.stderr
    finished = run_script(broken, variant)
    assert finished.returncode == 0, finished.stderr
    assert "all 6 steps are done already" in finished.stdout
    for part in ("stage1", "stage2/seed_0"):
        step, expected = last_state(whole / part / "checkpoints")
        found_step, found = last_state(broken / part / "checkpoints")
        assert step == found_step == 6
        assert set(expected) == set(found) and len(expected) > 30
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=f"{part} {name}")
        lines = read_json_lines(broken / part / "metrics.jsonl")
        assert [line["step"] for line in lines] == sorted(x["step"] for x in lines)
        assert_time_adds_up(broken / part, lines, stopped_after=4)


def test_a_run_explains_itself(tiny_run, tiny_config):
    run = RunDirectory(tiny_run)
    assert run.config() == tiny_config
    environment = json.loads((tiny_run / "environment.json").read_text())
    assert environment["jax"] == jax.__version__
    for stage in (run.stage1, run.stage2(0)):
        assert json.loads(stage.done.read_text())["steps"] == 4
        lines = read_json_lines(stage.metrics)
        assert {"train/loss", "train/learning_rate"} <= set(lines[0])
        assert "validation/loss" in lines[-1]
        assert list((stage.path / "tensorboard").glob("events.out.tfevents.*"))
    assert run.stage2_seeds() == [0]


def test_a_finished_run_is_left_alone(tiny_run, tiny_config, capsys):
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("d/*")}
    train(tiny_config, tiny_run)
    assert capsys.readouterr().out.count("all 4 steps are done already") == 2
    assert before == {path: path.stat().st_mtime_ns for path in tiny_run.rglob("d/*")}


def test_where_it_logs_may_change_and_the_model_may_not(tiny_run, tiny_config):
    train(replace(tiny_config, output__log_every=7), tiny_run)
    other = replace(tiny_config, stage1__model__width=48)
    with pytest.raises(
        ConfigError, match=r"stage1.model.width is 32 there and 48 here"
    ):
        train(other, tiny_run)
    assert RunDirectory(tiny_run).config().stage1.model.width == 32


def test_stage2_can_be_trained_on_another_runs_stage1(tiny_run, tiny_config, tmp_path):
    run = tmp_path / "other"
    train(replace(tiny_config, seed=1), run, (2,), stage1_run=tiny_run)
    assert not (run / "stage1").exists()
    inference = load_inference(open_trained(run))
    frozen = load_frozen_stage1(open_trained(tiny_run), tiny_config)
    for ours, theirs in zip(
        jax.tree.leaves(inference.variables1),
        jax.tree.leaves(frozen.variables),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stage1_of_other_settings_is_refused(tiny_run, tiny_config, tmp_path):
    other = replace(tiny_config, quantizer__levels=(5, 6))
    with pytest.raises(
        ConfigError, match=r"quantizer.levels is \[5, 5\] there and \[5, 6\] here"
    ):
        train(other, tmp_path / "run", (2,), stage1_run=tiny_run)
    assert not (tmp_path / "run").exists()


MEMORY = dict(
    stage1__model__rematerialize="everything", stage1__model__head_memory_mb=1
)


def test_how_memory_is_spent_and_augmentation_may_differ(tiny_run, tiny_config):
    other = replace(tiny_config, **MEMORY, task__flip=False, task__crop_area=(0.5, 1.0))
    frozen = load_frozen_stage1(open_trained(tiny_run), other)
    assert frozen.record == open_trained(tiny_run).stage1().record
    with pytest.raises(ConfigError, match="max_depth"):
        load_frozen_stage1(open_trained(tiny_run), replace(other, task__max_depth=5.0))


def test_a_run_may_go_on_with_less_memory(tiny_run, tiny_config):
    old = RunDirectory(tiny_run).config()
    lean = replace(tiny_config, **MEMORY, stage2__model__rematerialize="everything")
    assert identity_differences(old, lean) == []
    assert identity_differences(old, replace(lean, stage1__micro_batches=2)) == [
        "stage1.micro_batches is 1 there and 2 here"
    ]


def test_stage2_refuses_to_continue_on_another_stage1(tiny_run, tiny_config, tmp_path):
    """Its indices would mean something else."""
    run = tmp_path / "run"
    train(tiny_config, run, (1,))
    config = replace(tiny_config, stage2__steps=6)
    train(replace(config, seed=0), tmp_path / "first", (2,), stage1_run=run)
    record = tmp_path / "first" / "stage1.json"
    other = tmp_path / "another"
    train(replace(tiny_config, seed=5), other, (1,))
    record.write_text(json.dumps({"run": str(other)}))
    with pytest.raises(ConfigError, match="was trained on another stage I"):
        load_inference(open_trained(tmp_path / "first"))


def test_each_stage_is_restored_once(tiny_run, monkeypatch):
    restored, restore = [], trained_module._restore

    def counting(directory, config, init, stage, expected=None):
        restored.append(stage)
        return restore(directory, config, init, stage, expected)

    monkeypatch.setattr(trained_module, "_restore", counting)
    load_inference(open_trained(tiny_run))
    assert restored == [1, 2]


def test_stage2_needs_a_trained_stage1(tiny_config, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="train stage 1 first"):
        train(tiny_config, run, (2,))


def test_stage2_refuses_the_identity_quantizer(tiny_config):
    config = replace(tiny_config, quantizer=IdentityConfig(4))
    with pytest.raises(ValueError, match="identity quantizer has none"):
        build.build_stage2(config)


def test_stage1_trains_without_a_bottleneck(tiny_config, tmp_path):
    config = replace(tiny_config, quantizer=IdentityConfig(4), stage1__steps=2)
    train(config, tmp_path / "run", (1,))
    line = read_json_lines(tmp_path / "run" / "stage1" / "metrics.jsonl")[-1]
    assert "validation/loss" in line and "validation/codebook_usage" not in line


def test_a_missing_array_is_named(tiny_config, tmp_path):
    run = tmp_path / "run"
    train(replace(tiny_config, stage1__steps=2), run, (1,))
    config = json.loads((run / "config.json").read_text())
    text = json.dumps(config).replace('"width": 32', '"width": 64')
    (run / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"params/.*expected \(.*64.*found"):
        load_inference(open_trained(run))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is no trained model"):
        load_inference(open_trained(tmp_path))


def test_the_best_or_the_last_checkpoint_is_used(tmp_path, tiny_config):
    """A learning rate that leads astray makes the last checkpoint worse than the best."""
    config = replace(
        tiny_config,
        stage1__optimizer__learning_rate=0.5,
        stage1__steps=6,
        output__evaluate_every=1,
        output__checkpoint_every=1,
    )
    train(config, tmp_path, stages=(1,))
    done = json.loads((tmp_path / "stage1" / "done.json").read_text())
    assert done["best_step"] < 6
    for choice, step in (("best", done["best_step"]), ("last", 6)):
        chosen = load_frozen_stage1(
            open_trained(tmp_path), replace(config, checkpoint=choice)
        )
        assert chosen.record["step"] == step


def test_stage2_is_kept_apart_for_every_seed(tiny_run, tiny_config, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    train(tiny_config, run, stages=(2,), stage2_seed=7)
    assert RunDirectory(run).stage2_seeds() == [0, 7]
    first, other = (load_inference(open_trained(run), seed) for seed in (0, 7))
    different = jax.tree.map(
        lambda a, b: bool((a != b).any()), first.params2, other.params2
    )
    assert different["token_embedding"]["embedding"]
    record = open_trained(run).stage1().record
    assert record == open_trained(tiny_run).stage1().record


@pytest.mark.parametrize("what", ["stage1", "init_from"])
def test_a_missing_model_is_found_before_data_are_prepared(
    what, tiny_config, tmp_path, monkeypatch
):
    def prepare(*arguments):
        raise AssertionError("data were prepared first")

    monkeypatch.setattr(type(tiny_config.data), "open", prepare)
    gone = str(tmp_path / "gone")
    with pytest.raises(ConfigError, match="gone"):
        if what == "stage1":
            train(tiny_config, tmp_path / "run", (2,), stage1_run=gone)
        else:
            train(replace(tiny_config, init_from=gone), tmp_path / "run")
    assert not (tmp_path / "run").exists()
