"""A plan in words: what it counts, and where its times come from."""

import json

import pytest

from configs.depth import get_config
from uvim_fsq.config import replace
from uvim_fsq.experiment.estimate import describe_plan
from uvim_fsq.experiment.plan import Job, Plan

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
    assert "Depth: 1 rows (fsq)" in text
    assert "2 runs: 1 stage I and 2 stage II of each" in text
    assert "3 stages, 0 of them done; 1,200 steps in all" in text
    assert "rough guess" in text


def test_measured_steps_tell_the_time(plan):
    """600 x 4 images at 40/s and 2 x 300 x 4 at 20/s: 60 + 120 seconds."""
    _log(plan.run(Job("fsq", 0)).stage1, [1.0, 40.0, 40.0])
    _log(plan.run(Job("fsq", 0)).stage2(0), [20.0])
    text = describe_plan(plan)
    assert "time left: about 3 min" in text and "rough" not in text
    plan.run(Job("fsq", 0)).stage1.done.write_text("{}")
    text = describe_plan(plan)
    assert "1 of them done" in text and "time left: about 2 min" in text


def test_epochs_are_counted_without_reading_data(tmp_path):
    config = replace(CONFIG, stage1__steps=None, stage1__epochs=2.0)
    text = describe_plan(Plan(tmp_path, "Depth", {"fsq": config}, stage2_seeds=1))
    assert "300 steps and 1 stages that are counted in epochs" in text
    assert "and 1 stages that are unknown" in text
