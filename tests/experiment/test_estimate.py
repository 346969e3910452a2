"""A plan in words: what it counts, and where its times come from."""

import json

import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.experiment import estimate
from uvim_fsq.experiment.estimate import describe_plan
from uvim_fsq.experiment.plan import Job, Plan
from uvim_fsq.settings import replace

CONFIG = replace(
    get_config("fsq", "tiny"),
    stage1__steps=600,
    stage2__steps=300,
    stage1__batch_size=4,
    stage2__batch_size=4,
)


@pytest.fixture
def plan(tmp_path):
    return Plan(tmp_path, "Depth", {"fsq": CONFIG}, stage2_seeds=2)


def _log(directory, rates):
    directory.path.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"step": i, "train/images_per_second": rate})
        for i, rate in enumerate(rates)
    ]
    directory.metrics.write_text("\n".join(lines) + "\n")


def test_counts(plan):
    text = describe_plan(plan)
    assert "Depth: 1 row (fsq)" in text
    assert "2 runs: 1 stage I and 2 stage II of each" in text
    assert "3 stages, 0 of them done; 1,200 steps in all" in text
    assert "rough guess" in text


def test_measured_steps_tell_the_time(plan):
    """600 x 4 images at 40/s and 2 x 300 x 4 at 20/s: 60 + 120 seconds, less what is done."""
    _log(plan.run(Job("fsq", 0)).stage1, [1.0, 40.0, 40.0])
    _log(plan.run(Job("fsq", 0)).stage2(0), [20.0])
    text = describe_plan(plan)
    assert "time left: about 3 min" in text and "rough" not in text
    _log(plan.run(Job("fsq", 0)).stage2(1), [20.0] * 101)
    assert "time left: about 2 min 40 s" in describe_plan(plan)
    plan.run(Job("fsq", 0)).stage1.done.write_text("{}")
    text = describe_plan(plan)
    assert "1 of them done" in text and "time left: about 1 min 40 s" in text


def test_stages_that_have_run_tell_the_speed_of_others(tmp_path, monkeypatch):
    """Stage I at 40 images/s; stage II has some other number of operations, of the same speed."""
    plan = Plan(tmp_path, "Depth", {"fsq": CONFIG}, stage2_seeds=1)
    stage1 = Job("fsq", 0)
    _log(plan.run(stage1).stage1, [40.0])
    operations = {None: 8e9, 0: 2e9}  # Of a step: 0.1 s of stage I.
    monkeypatch.setattr(
        estimate, "_arithmetic", lambda config, job: operations[job.stage2_seed]
    )
    text = describe_plan(plan)
    # 600 x 0.1 s, and 300 steps of a quarter of that.
    assert "time left: about 1 min 08 s, without scoring" in text


def test_runs_that_are_scored_tell_the_time_of_scoring(plan):
    stage1 = Job("fsq", 0)
    _log(plan.run(stage1).stage1, [40.0])
    _log(plan.run(stage1).stage2(0), [20.0])
    plan.run(stage1).stage1.done.write_text("{}")
    done = plan.record_file(Job("fsq", 0, 0))
    done.parent.mkdir(parents=True)
    done.write_text(json.dumps({"scoring_seconds": 30.0}))
    assert describe_plan(plan).endswith("time left: about 1 min 30 s")


def test_epochs_are_counted_without_reading_data(tmp_path):
    config = replace(CONFIG, stage1__steps=None, stage1__epochs=2.0)
    text = describe_plan(Plan(tmp_path, "Depth", {"fsq": config}, stage2_seeds=1))
    assert "300 steps and 1 stage counted in epochs" in text
    assert "and 1 stage of unknown length" in text
