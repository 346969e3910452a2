import json

import jax
import numpy as np
import pytest

from uvim_fsq.training import schedule


def _make(case):
    total = case["total_steps"]
    warmup = case.get("warmup_steps", 0)
    if "warmup_percent" in case:
        warmup = int(case["warmup_percent"] * total)
    if "warmup_epochs" in case:
        warmup = schedule.steps_from_epochs(
            case["warmup_epochs"], case["data_size"], case["batch_size"]
        )
    if case["decay_type"] == "cosine":
        return schedule.cosine(total, warmup)
    if case["decay_type"] == "linear":
        return schedule.linear(total, warmup, case["linear_end"])
    return schedule.rsqrt(total, warmup, case["timescale"], case["cooldown_steps"])


@pytest.mark.parametrize(
    "name",
    [
        "cosine_warm4000",
        "cosine_nowarm",
        "cosine_short",
        "cosine_warm_percent",
        "cosine_warm_epochs",
        "linear",
        "rsqrt",
    ],
)
def test_schedules_equal_the_reference(golden, golden_path, name):
    case = json.loads(golden_path("optim/schedules.json").read_text())[name]
    arrays = golden("optim/schedules.npz")
    function, steps = _make(case), arrays[f"{name}/steps"]
    # The reference goes below zero after a cool-down; ours stays at zero.
    expected = np.maximum(arrays[f"{name}/values"], 0)
    for traced in (False, True):
        call = jax.jit(function) if traced else function
        values = np.array([call(int(step)) for step in steps])
        np.testing.assert_allclose(values, expected, rtol=0, atol=2e-7)


def test_steps_from_epochs_equal_the_reference(golden_path):
    cases = json.loads(golden_path("optim/steps.json").read_text())
    seen = 0
    for case in cases:
        ((key, value),) = case["config"].items()
        if key.endswith("epochs"):
            examples, batch = case["data_size"], case["batch_size"]
            steps = schedule.steps_from_epochs(value, examples, batch)
            assert steps == case["steps"], case
            seen += 1
    assert seen >= 6


def test_constant_is_one():
    assert float(schedule.constant()(123)) == 1.0


@pytest.mark.parametrize("make", [schedule.cosine, schedule.linear, schedule.rsqrt])
@pytest.mark.parametrize("arguments", [(0, 0), (10, 10), (10, -1)])
def test_impossible_warm_up_is_refused(make, arguments):
    with pytest.raises(ValueError, match="steps"):
        make(*arguments)


def test_negative_epochs_are_refused():
    with pytest.raises(ValueError, match="epochs >= 0"):
        schedule.steps_from_epochs(-1, 10, 2)
