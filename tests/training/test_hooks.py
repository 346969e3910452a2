import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.hooks import (
    Hook,
    Score,
    checkpoint_hook,
    evaluation_hook,
    logging_hook,
    profile_hook,
)
from uvim_fsq.training.loop import run_loop


class Recorder:
    """Keeps what it is given."""

    def __init__(self):
        self.lines = []

    def scalars(self, step, values):
        self.lines.append((step, dict(values)))


def test_due():
    hook = Hook("x", 4, lambda *_: None, also_every=(6,))
    assert [n for n in range(1, 13) if hook.is_due(n)] == [4, 6, 8, 12]
    assert not any(Hook("x", 0, lambda *_: None).is_due(n) for n in range(1, 5))


def test_logging_writes_metrics_the_rate_and_the_time():
    times = iter([7.0, 10.0, 12.0, 12.0])
    recorder, options = Recorder(), dict(batch_size=8, seconds_before=100.0)
    hook = logging_hook([recorder], 5, **options, clock=lambda: next(times))
    metrics = {"loss": jnp.float32(0.5), "finite": jnp.float32(1)}
    for step in (5, 10, 15):
        hook.function(step, None, metrics)
    assert recorder.lines == [
        (5, {"train/loss": 0.5, "train/seconds": 103.0}),
        (
            10,
            {
                "train/loss": 0.5,
                "train/images_per_second": 20.0,
                "train/seconds": 105.0,
            },
        ),
        (15, {"train/loss": 0.5, "train/seconds": 105.0}),
    ]
    assert hook.late and hook.every == 5


def test_the_best_checkpoint_is_that_of_the_best_evaluation(toy, tmp_path):
    """Evaluations between the regular saves are saved too, with their score."""
    rmse = {2: 0.5, 3: 0.3, 4: 0.4, 6: 0.6, 7: 0.9}
    recorder, score = Recorder(), Score("rmse")
    step, state = toy.toy_step()

    def evaluate(state):
        return {"rmse": rmse[int(state.step)], "other": np.float32(1)}

    with Checkpoints(tmp_path) as checkpoints:
        hooks = [
            evaluation_hook(evaluate, 3, writers=[recorder], score=score),
            checkpoint_hook(checkpoints, 2, score=score, also_every=(3,)),
        ]
        run_loop(
            step,
            state,
            toy.batches(0),
            total_steps=7,
            frozen=toy.FROZEN,
            hooks=hooks,
        )
        checkpoints.wait()
        assert (checkpoints.best_step(), checkpoints.latest_step()) == (3, 7)
        assert checkpoints.metadata(7)["metric"] == 0.9
    assert recorder.lines == [
        (n, {"validation/rmse": rmse[n], "validation/other": 1.0}) for n in (3, 6, 7)
    ]


def test_a_score_must_be_among_the_metrics():
    with pytest.raises(KeyError, match=r"no 'pq'.* returned \['rmse'\]"):
        Score("pq").set(3, {"rmse": 1.0})


def test_profile_traces_the_steps(tmp_path):
    hook = profile_hook(tmp_path, first=2, steps=2)
    for step in range(1, 7):
        hook.function(step, None, {"loss": jnp.ones(3) * step})
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1
    jax.profiler.start_trace(str(tmp_path / "free"))  # the hook's trace has ended
    jax.profiler.stop_trace()


@pytest.mark.parametrize("steps", [1, 3])
def test_profile_ends_after_as_many_steps_as_it_was_told(tmp_path, monkeypatch, steps):
    traced = []
    for name in ("start_trace", "stop_trace"):
        monkeypatch.setattr(jax.profiler, name, lambda *_, n=name: traced.append(n))
    hook = profile_hook(tmp_path, first=2, steps=steps)
    ended = []
    for step in range(1, 9):
        hook.function(step, None, {})
        ended.append((step, len(traced)))
    assert [n for step, n in ended if step < 2] == [0]
    assert {n for step, n in ended if 2 <= step < 2 + steps} == {1}
    assert {n for step, n in ended if step >= 2 + steps} == {2}


def test_a_profile_that_the_end_cuts_off_is_written(tmp_path):
    hook = profile_hook(tmp_path, first=2, steps=5)
    assert hook.at_end and hook.on_stop
    metrics = {"loss": jnp.ones(3)}
    for step in (1, 2, 3, 3):
        hook.function(step, None, metrics)
    assert len(list(tmp_path.rglob("*.xplane.pb"))) == 1


def test_profile_refuses_impossible_steps(tmp_path):
    with pytest.raises(ValueError, match="first >= 1"):
        profile_hook(tmp_path, first=0)


def test_metrics_can_be_written_as_json(toy):
    """What the loop hands over is float32 scalars."""
    step, state = toy.toy_step()
    frozen = step.replicate(toy.FROZEN)
    _, metrics = step(state, frozen, step.put(next(toy.batches(0))))
    values = {k: float(v) for k, v in jax.device_get(metrics).items()}
    assert json.loads(json.dumps(values)) == values
    assert {"loss", "error", "learning_rate", "l2_grads"} <= set(values)
