"""The loader: what a batch holds is a function of (seed, step), and every example counts once."""

import itertools
import subprocess
import sys
import threading
import time
from contextlib import closing

import cv2
import numpy as np
import pytest

from uvim_fsq.data.loader import (
    batches_per_epoch,
    evaluation_batches,
    measure_throughput,
    training_batches,
)
from uvim_fsq.errors import DataError


class Numbers:
    """A source of small pictures; example i is filled with i."""

    categories = ()

    def __init__(self, length, broken=()):
        self.length, self.broken, self.read = length, broken, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        assert 0 <= index < self.length
        if index in self.broken:
            raise self.broken[index]
        self.read.append(index)
        return {
            "image": np.full((4, 5, 3), index % 256, np.uint8),
            "id": f"number-{index}",
        }

    def reference(self, index):
        return {"size": (4, 5)}

    def example_id(self, index):
        return f"number-{index}"


def jitter(example, generator):
    """Noise in place of augmentation; sleeps so that threads finish out of order."""
    noise = generator.integers(0, 2**31)
    time.sleep(int(noise) % 4 * 1e-4)
    return {"image": example["image"], "noise": noise}


def take(count, source=None, **options):
    options = {"batch_size": 6, "seed": 3, **options}
    with closing(training_batches(source or Numbers(20), jitter, **options)) as batches:
        return list(itertools.islice(batches, count))


def assert_same(ours, expected):
    assert len(ours) == len(expected) > 0
    for one, other in zip(ours, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def column(batches, name):
    return np.concatenate([batch[name] for batch in batches])


def test_batches_stack_small_types_with_mask_and_index():
    (batch,) = take(1)
    assert batch["image"].shape == (6, 4, 5, 3) and batch["image"].dtype == np.uint8
    assert batch["mask"].dtype == bool and batch["mask"].all()
    assert batch["index"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["index"])


@pytest.mark.parametrize("threads, prefetch", [(1, 1), (2, 3), (7, 2), (3, 20)])
def test_threads_and_prefetching_change_nothing(threads, prefetch):
    assert_same(take(9, threads=threads, prefetch=prefetch), take(9, threads=4))


@pytest.mark.parametrize("start", [1, 2, 5, 11])
def test_any_step_can_be_resumed_from(start):
    assert_same(take(4, start_step=start), take(start + 4)[start:])


def test_each_epoch_is_another_permutation():
    index = column(take(10), "index").reshape(3, 20)
    for epoch in index:
        assert sorted(epoch) == list(range(20))
    assert len({tuple(epoch) for epoch in index}) == 3
    assert tuple(index[0]) != tuple(range(20))


def test_each_epoch_has_other_augmentations():
    batches = take(10)
    noise, index = column(batches, "noise"), column(batches, "index")
    assert len(set(noise)) == 60
    assert len({noise[i] for i in np.flatnonzero(index == 4)}) == 3


def test_seeds_share_neither_order_nor_augmentation():
    def epochs(seed):
        batches = take(10, seed=seed)
        index, noise = column(batches, "index"), column(batches, "noise")
        return {tuple(epoch) for epoch in index.reshape(3, 20)}, set(noise)

    for one, other in itertools.combinations([epochs(seed) for seed in range(4)], 2):
        assert not one[0] & other[0] and not one[1] & other[1]


@pytest.mark.parametrize("count", [2, 3])
def test_processes_split_the_batch_in_order(count):
    parts = [take(5, process_index=i, process_count=count) for i in range(count)]
    joined = [
        {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
        for batches in zip(*parts, strict=True)
    ]
    assert_same(joined, take(5))


def test_a_batch_larger_than_the_source_spans_epochs():
    index = column(take(2, Numbers(4), batch_size=10), "index")
    for epoch in index.reshape(5, 4):
        assert sorted(epoch) == [0, 1, 2, 3]


@pytest.mark.parametrize("length, batch_size", [(20, 6), (20, 5), (3, 8), (1, 1)])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_evaluation_covers_every_example_once(length, batch_size, processes):
    batch_size *= processes
    parts = [
        list(
            evaluation_batches(
                Numbers(length),
                jitter,
                batch_size=batch_size,
                process_index=i,
                process_count=processes,
            )
        )
        for i in range(processes)
    ]
    assert {len(part) for part in parts} == {batches_per_epoch(length, batch_size)}
    assert {len(b["index"]) for part in parts for b in part} == {
        batch_size // processes
    }
    in_order = [batch for step in zip(*parts, strict=True) for batch in step]
    index, mask = column(in_order, "index"), column(in_order, "mask")
    assert index[mask].tolist() == list(range(length))
    assert (index[~mask] == length - 1).all()
    images = column(in_order, "image")
    np.testing.assert_array_equal(images[:, 0, 0, 0], index)


def test_evaluation_of_chosen_examples_reads_no_other():
    source = Numbers(20)
    batches = list(
        evaluation_batches(source, jitter, batch_size=4, indices=[7, 2, 3, 9, 4])
    )
    index, mask = column(batches, "index"), column(batches, "mask")
    assert index[mask].tolist() == [7, 2, 3, 9, 4] and mask.sum() == 5
    assert set(source.read) == {7, 2, 3, 9, 4}
    # Padding repeats the last example without loading it again.
    assert source.read.count(4) == 1


def test_evaluation_gives_an_example_the_same_generator_wherever_it_stands():
    def noise(**options):
        batches = list(evaluation_batches(Numbers(20), jitter, **options))
        return dict(
            zip(column(batches, "index"), column(batches, "noise"), strict=True)
        )

    everything = noise(batch_size=6)
    assert noise(batch_size=3, indices=[9, 5])[5] == everything[5]
    assert len(set(everything.values())) == 20


def test_broken_data_is_named_and_stays_a_data_error():
    source = Numbers(20, broken={13: DataError("x.png: the PNG is truncated")})
    with pytest.raises(DataError, match="'number-13' .*: x.png: the PNG is truncated"):
        take(10, source)
    with pytest.raises(DataError, match="'number-13'"):
        list(evaluation_batches(source, jitter, batch_size=4))


def test_errors_of_the_program_keep_their_type_and_name_the_example():
    source = Numbers(20, broken={13: KeyError("panoptic")})
    with pytest.raises(KeyError, match="panoptic") as caught:
        take(10, source)
    assert caught.value.__notes__ == ["while loading example 'number-13'"]


def test_batches_before_a_broken_example_still_arrive():
    source = Numbers(20, broken={13: DataError("broken")})
    batches = evaluation_batches(source, jitter, batch_size=4, prefetch=4)
    assert len(list(itertools.islice(batches, 3))) == 3
    with pytest.raises(DataError):
        next(batches)


@pytest.mark.parametrize(
    "make",
    [lambda i: np.zeros(3 + (i == 5)), lambda i: np.zeros(3, (float, int)[i == 5])],
)
def test_examples_that_do_not_stack_are_named(make):
    def transform(example, generator):
        return {"x": make(int(example["image"][0, 0, 0]))}

    with pytest.raises(DataError, match="'number-4'.*'number-5'"):
        list(evaluation_batches(Numbers(20), transform, batch_size=4))


@pytest.mark.parametrize(
    "options, error",
    [({"batch_size": 0}, "batch_size 0"), ({"process_count": 4}, "over 4 processes")]
    + [({"process_index": 1}, "process_index 1 is not below 1")],
)
def test_wrong_settings_are_errors_at_once(options, error):
    options = {"batch_size": 6, "seed": 0, **options}
    with pytest.raises(ValueError, match=error):
        training_batches(Numbers(20), jitter, **options)


def test_names_of_the_loader_are_reserved():
    def transform(example, generator):
        return {"index": np.zeros(3)}

    with pytest.raises(ValueError, match="'index'.*must not return"):
        list(evaluation_batches(Numbers(4), transform, batch_size=4))


def test_an_empty_source_is_an_error():
    with pytest.raises(DataError, match="no examples"):
        training_batches(Numbers(0), jitter, batch_size=2, seed=0)
    with pytest.raises(DataError, match="no examples"):
        evaluation_batches(Numbers(3), jitter, batch_size=2, indices=[])


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("uvim-fsq-loader")]


def test_threads_end_with_the_iterator():
    batches = training_batches(Numbers(20), jitter, batch_size=6, seed=0, threads=3)
    next(batches)
    assert 1 <= len(loader_threads()) <= 3
    batches.close()
    assert not loader_threads()
    batches = training_batches(Numbers(20), jitter, batch_size=6, seed=0, threads=3)
    next(batches)
    del batches
    assert not loader_threads()
    list(evaluation_batches(Numbers(20), jitter, batch_size=6))
    assert not loader_threads()


def test_no_more_is_read_ahead_than_asked_for():
    source = Numbers(1000)
    with closing(
        training_batches(source, jitter, batch_size=10, seed=0, prefetch=3)
    ) as batches:
        next(batches)
        next(batches)
        deadline = time.monotonic() + 60
        while len(source.read) < 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        # Two batches were taken and three are made ahead.
        assert len(source.read) == 50


_SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from uvim_fsq.data.loader import training_batches

class Source:
    categories = ()
    def __len__(self):
        return 10
    def __getitem__(self, index):
        time.sleep(0.01)
        return {"image": np.zeros((8, 8, 3), np.uint8)}
    def reference(self, index):
        return {}
    def example_id(self, index):
        return str(index)

batches = training_batches(
    Source(), lambda example, generator: example, batch_size=8, seed=0, prefetch=4
)
next(batches)
if sys.argv[1] == "interrupt":
    # A shell that starts tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    for batch in batches:
        pass
if sys.argv[1] == "error":
    raise RuntimeError("stop")
"""


@pytest.mark.parametrize("how, code", [("leave", 0), ("error", 1), ("interrupt", -2)])
def test_the_interpreter_ends_with_batches_in_the_making(how, code):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, how],
        capture_output=True,
        timeout=600,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "tensorflow" not in done.stderr


def test_nothing_slow_is_imported():
    script = (
        "import sys, uvim_fsq.data.loader, uvim_fsq.data.folders.rgbd;"
        "print([m for m in ('tensorflow', 'grain', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_throughput_is_examples_by_the_clock(monkeypatch):
    """Of a clock that goes on by a second a look: two batches of four until three have passed."""
    monkeypatch.setattr(time, "perf_counter", itertools.count(10).__next__)
    taken = ({"index": np.zeros(4)} for _ in range(9))
    assert measure_throughput(taken, seconds=3.0) == pytest.approx(8 / 3)
    # The first, which is not counted, and these two.
    assert len(list(taken)) == 6


def test_evaluation_draws_other_numbers_than_training():
    """Of one seed, example and place."""
    (evaluated,) = evaluation_batches(Numbers(8), jitter, batch_size=8)
    with closing(training_batches(Numbers(8), jitter, batch_size=8, seed=0)) as batches:
        trained = next(batches)
    assert not set(evaluated["noise"].tolist()) & set(trained["noise"].tolist())


def test_opencv_leaves_the_cores_to_the_loader():
    cv2.setNumThreads(3)
    list(evaluation_batches(Numbers(2), jitter, batch_size=2))
    assert cv2.getNumThreads() == 1
