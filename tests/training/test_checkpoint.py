import os
import random
import resource
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.nn.transformer import is_stacked
from uvim_fsq.training.adafactor import adafactor
from uvim_fsq.training.checkpoint import CheckpointError, Checkpoints
from uvim_fsq.training.step import data_mesh, replicated

# TensorStore's threads report further failed writes to a loop that Orbax has closed.
_LATE_FAILURES = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


def _state(value=1.0, size=5):
    return {
        "params": {"kernel": jnp.full((size, 3), float(value))},
        "momentum": jnp.full((2,), value, jnp.bfloat16),
        "step": jnp.int32(value),
    }


def _same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)
    return jax.tree.map(lambda x: x.dtype, a) == jax.tree.map(lambda x: x.dtype, b)


def test_state_and_metadata_come_back(tmp_path):
    with Checkpoints(tmp_path, metadata={"seed": 3, "config": "abc"}) as checkpoints:
        assert checkpoints.restore_latest(_state()) is None
        assert checkpoints.restore_best(_state()) is None
        assert "no checkpoint" in checkpoints.last_good()
        assert checkpoints.save(_state(4.0), 4, metric=0.25)
        assert not checkpoints.save(_state(5.0), 4)
    with Checkpoints(tmp_path) as checkpoints:
        sharding = replicated(data_mesh())
        abstract = jax.eval_shape(_state)
        state, metadata = checkpoints.restore_latest(abstract, sharding)
        assert _same(state, _state(4.0))
        assert metadata == {"seed": 3, "config": "abc", "step": 4, "metric": 0.25}
        assert state["step"].sharding == sharding


@pytest.mark.parametrize("lower", [True, False])
def test_the_last_and_the_best_are_kept_also_after_a_restart(tmp_path, lower):
    metrics = {1: 0.5, 2: 0.2, 3: 0.4, 4: None, 5: float("nan"), 6: 0.2}
    sign = 1 if lower else -1
    best = None
    for half in ((1, 2, 3), (4, 5, 6)):
        with Checkpoints(tmp_path, lower_is_better=lower) as checkpoints:
            assert checkpoints.best_step() == best
            for step in half:
                metric = metrics[step] and sign * metrics[step]
                checkpoints.save(_state(step), step, metric)
            best = checkpoints.best_step()
            assert best == 2 and checkpoints.latest_step() == half[-1]
        assert sorted(os.listdir(tmp_path)) == ["2", str(half[-1])]
    with Checkpoints(tmp_path, lower_is_better=lower) as checkpoints:
        assert int(checkpoints.restore_best(_state())[0]["step"]) == 2
        assert int(checkpoints.restore_latest(_state())[0]["step"]) == 6


def test_without_a_metric_the_last_counts_as_the_best(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(3), 3)
        checkpoints.wait()
        assert int(checkpoints.restore_best(_state())[0]["step"]) == 3


def test_what_is_saved_is_the_state_at_that_moment(tmp_path):
    """Donation overwrites the arrays right after `save` returns."""
    overwrite = jax.jit(
        lambda s: jax.tree.map(lambda x: (x * 0 - 7).astype(x.dtype), s),
        donate_argnums=0,
    )
    jax.block_until_ready(overwrite(_state(0, 300_000)))
    with Checkpoints(tmp_path) as checkpoints:
        for value in (1.0, 2.0, 3.0):
            state = _state(value, 300_000)
            checkpoints.save(state, int(value))
            jax.block_until_ready(overwrite(state))
            checkpoints.wait()
            found, _ = checkpoints.restore_latest(_state(0, 300_000))
            assert _same(found, _state(value, 300_000))


def test_arrays_that_do_not_fit_are_named(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(), 1)
        checkpoints.wait()
        wanted = _state(size=6) | {"extra": {"bias": jnp.zeros(2)}}
        wanted["momentum"] = wanted["momentum"].astype(jnp.float32)
        del wanted["step"]
        with pytest.raises(CheckpointError) as error:
            checkpoints.restore_latest(wanted)
    text = str(error.value)
    assert f"{tmp_path}/1 does not fit" in text
    assert "params/kernel: expected (6, 3) float32, found (5, 3) float32" in text
    assert "extra/bias: expected (2,) float32, missing" in text
    assert "momentum: expected (2,) float32, found (2,) bfloat16" in text
    assert "step: not expected" in text


def test_moments_over_many_layers_of_an_older_version_are_told_apart(tmp_path):
    params = {"encoder": {"layers": {"bias": jnp.ones((32, 40))}}}
    before, now = adafactor(), adafactor(stacked=is_stacked)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save({"direction": before.init(params)}, 1)
        checkpoints.wait()
        with pytest.raises(CheckpointError, match="is of an older version, whose Ada"):
            checkpoints.restore_latest({"direction": now.init(params)})
        # Another width is no older version.
        params = {"encoder": {"layers": {"bias": jnp.ones((32, 48))}}}
        with pytest.raises(CheckpointError, match="does not fit this model"):
            checkpoints.restore_latest({"direction": now.init(params)})


@pytest.mark.parametrize("metric", [float("nan"), float("inf"), float("-inf")])
def test_a_metric_that_is_not_finite_is_none(tmp_path, metric):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(), 1, metric=0.5)
        checkpoints.save(_state(), 2, metric=metric)
        checkpoints.wait()
        assert checkpoints.best_step() == 1
        assert checkpoints.metadata(2)["metric"] is None
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best_step() == 1 and checkpoints.latest_step() == 2


def _damage(checkpoint):
    files = [path for path in (checkpoint / "state").rglob("*") if path.is_file()]
    for path in files:
        if path.parent.name == "d":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@_LATE_FAILURES
def test_of_a_damaged_checkpoint_it_is_said_what_can_be_done(tmp_path):
    """That it be deleted is never advised: who knows that it is not just out of reach?"""
    like = _state(size=50_000)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(like, 1, metric=0.5)
        checkpoints.save(like, 2, metric=0.7)
        checkpoints.wait()
        _damage(tmp_path / "c" / "2")
        with pytest.raises(CheckpointError) as error:
            checkpoints.restore_latest(like)
    text = str(error.value)
    assert f"the checkpoint {tmp_path}/c/2 cannot be read: " in text
    assert text.endswith(
        f"Start the same command again; if that fails too, its files are damaged: move "
        f"{tmp_path}/c/2 to another folder, and the checkpoint of step 1 is used instead."
    )
    (tmp_path / "c" / "2").rename(tmp_path / "2")
    with Checkpoints(tmp_path / "c", read_only=True) as checkpoints:
        assert checkpoints.restore_latest(like)[1]["step"] == 1
        _damage(tmp_path / "c" / "1")
        with pytest.raises(
            CheckpointError, match="starts anew, since there is no other"
        ):
            checkpoints.restore_latest(like)
    time.sleep(0.2)


@pytest.mark.parametrize("name", ["metadata", "state"])
def test_of_a_checkpoint_that_lacks_something_too(tmp_path, name):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(), 1)
    shutil.rmtree(tmp_path / "1" / name)
    with pytest.raises(
        CheckpointError, match=f"checkpoint {tmp_path}/1 cannot be read"
    ):
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.restore_latest(_state())


def test_reading_changes_nothing(tmp_path):
    """What another process is writing, or is about to remove, stays."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(), 1)
    unfinished = tmp_path / "2.orbax-checkpoint-tmp" / "state"
    unfinished.mkdir(parents=True)
    (tmp_path / "removed" / "0").mkdir(parents=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert _same(checkpoints.restore_latest(_state())[0], _state())
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with Checkpoints(tmp_path):
        # Orbax removes what was left in a thread of its own.
        deadline = time.monotonic() + 30
        while unfinished.parent.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert sorted(os.listdir(tmp_path)) == ["1"]


def test_a_reader_goes_by_what_is_there(tmp_path):
    """Training removes the checkpoint that it has chosen."""
    with Checkpoints(tmp_path) as writer:
        writer.save(_state(1), 1, metric=0.5)
        writer.wait()
        with Checkpoints(tmp_path, read_only=True) as reader:
            writer.save(_state(2), 2, metric=0.25)
            writer.wait()
            assert sorted(os.listdir(tmp_path)) == ["2"]
            assert int(reader.restore_best(_state())[0]["step"]) == 2
            writer.save(_state(3), 3, metric=0.125)
            writer.wait()
            assert int(reader.restore_latest(_state())[0]["step"]) == 3
        (tmp_path / "3").rename(tmp_path / "elsewhere")
        with pytest.raises(CheckpointError, match="3 was removed while it was read"):
            writer.restore_latest(_state())


@_LATE_FAILURES
def test_readers_beside_a_run_in_training_find_whole_checkpoints(tmp_path):
    """Checkpoints come and go as fast as they can, and one is read after another."""
    names = [f"array{i}" for i in range(4)]
    like = {name: jnp.zeros(1000) for name in names}
    ended, found = threading.Event(), []

    def read():
        while not ended.is_set():
            with Checkpoints(tmp_path, read_only=True) as checkpoints:
                state, metadata = checkpoints.restore_best(like)
            values = {float(x) for name in names for x in np.asarray(state[name])}
            assert values == {metadata["step"]}
            found.append(metadata["step"])

    with Checkpoints(tmp_path) as writer, ThreadPoolExecutor() as pool:
        writer.save({name: jnp.full(1000, 1.0) for name in names}, 1, metric=1.0)
        writer.wait()
        reading = [pool.submit(read) for _ in range(2)]
        for step in range(2, 12):
            state = {name: jnp.full(1000, float(step)) for name in names}
            writer.save(state, step, metric=1.0 / step)
        writer.wait()
        ended.set()
        for each in reading:
            each.result()
    assert len(found) > 2


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file/checkpoints cannot be made: Not a"):
        Checkpoints(tmp_path / "file" / "checkpoints")


@_LATE_FAILURES
def test_a_full_disk_is_an_error_and_the_checkpoint_before_survives(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    generator = np.random.default_rng(0)
    big = _state(2.0, 4) | {"big": jnp.float32(generator.normal(size=(500_000,)))}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(big, 1, metric=0.5)
    checkpoints.wait()
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        with pytest.raises(CheckpointError) as error:
            checkpoints.save(big, 2, metric=0.1)
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    text = str(error.value)
    assert "checkpoint of step 2 could not be written: the disk is full" in text
    assert f"last good checkpoint is {tmp_path}/1. Free some space" in text
    assert checkpoints.latest_step() == checkpoints.best_step() == 1
    checkpoints.save(big, 3, metric=0.3)  # with space again it goes on
    checkpoints.close()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == checkpoints.best_step() == 3
        assert _same(checkpoints.restore_latest(big)[0], big)
    time.sleep(0.2)


_SAVER = """
import sys, itertools
import jax.numpy as jnp, numpy as np
from uvim_fsq.nn.transformer import is_stacked
from uvim_fsq.training.adafactor import adafactor
from uvim_fsq.training.checkpoint import Checkpoints

names = [f"array{i}" for i in range(8)]
with Checkpoints(sys.argv[1]) as checkpoints:
    like = {name: jnp.zeros(200_000) for name in names}
    found = checkpoints.restore_latest(like)
    step = 0
    if found:
        step = found[1]["step"]
        for name, x in found[0].items():
            assert (np.asarray(x) == step).all(), (name, step)
    print("start", step, flush=True)
    if sys.argv[2] == "check":
        sys.exit()
    for step in itertools.count(step + 1):
        state = {name: jnp.full(200_000, float(step)) for name in names}
        checkpoints.save(state, step, metric=1.0 / step)
        print("saving", step, flush=True)
"""


def test_killed_at_any_moment_of_a_save_a_whole_checkpoint_remains(
    tmp_path, start_program
):
    generator, last = random.Random(0), 0
    for delay in (0.01, generator.uniform(0.02, 0.2)):
        process = start_program("-c", _SAVER, tmp_path, "save")
        assert process.stdout is not None
        start = process.stdout.readline().split()
        assert start[:1] == ["start"], process.communicate()[1]
        assert int(start[1]) >= last
        for _ in range(3):
            last = int(process.stdout.readline().split()[1]) - 1
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = start_program("-c", _SAVER, tmp_path, "check")
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert int(output.split()[1]) >= last > 3
