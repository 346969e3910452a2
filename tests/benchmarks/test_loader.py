"""The loader's benchmark: real batches are timed, and the time lands in the right step."""

import json
import time
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks import data, loader
from uvim_fsq.data import loader as pipeline
from uvim_fsq.data import transforms
from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.errors import DataError
from uvim_fsq.settings import ConfigError
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.panoptic.task import PanopticTask


def busy(seconds):
    """Takes processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return Scenes((16, 16), 8, cache_dir=tmp_path_factory.mktemp("cache"), workers=1)


class Plain:
    """Pictures without labels; counts what is read."""

    categories = ()

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.reads = 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.reads += 1
        busy(self.seconds)
        return {"image": np.zeros((16, 16, 3), np.uint8), "id": str(index)}

    def reference(self, index):
        return {**self[index], "size": (16, 16)}

    def example_id(self, index):
        return str(index)


def test_a_source_is_measured_for_what_it_has_labels_for(scenes):
    tasks = loader.tasks_for(scenes, (16, 16))
    assert isinstance(tasks["depth"], DepthTask)
    assert isinstance(tasks["panoptic"], PanopticTask)
    assert tasks["panoptic"].categories == scenes.categories
    (task,) = loader.tasks_for(Plain(), (16, 16)).values()
    assert isinstance(task, ColorizationTask) and task.image_size == (16, 16)


def test_rates_are_those_of_the_loader():
    source = Plain(0.002)
    result = loader.measure(source, ColorizationTask((16, 16)), (1, 2), 4, 0.1, 2)
    assert result["examples"] == 5 and result["batch_size"] == 4
    assert list(result["threads"]) == ["1", "2"]
    for rates in result["threads"].values():
        # 2 ms of each example are the source's own.
        assert rates["cpu_ms"] > 2
        assert rates["examples_per_cpu_second"] == pytest.approx(1e3 / rates["cpu_ms"])
        # Two threads have at most both cores' time.
        assert 0 < rates["examples_per_second"] < 1000
    assert source.reads > 4


def test_shares_add_up_and_name_the_slow_step(monkeypatch):
    # Far more than the rest, the first calls of everything included.
    much = 0.15

    def slow(array):
        busy(much)
        return np.ascontiguousarray(array[:, ::-1])

    def measured(source, task):
        return loader.measure(source, task, (1,), 2, 0.1, 1)["shares"]

    def largest(source, task):
        shares = measured(source, task)
        return max(shares, key=shares.__getitem__)

    task = ColorizationTask((16, 16), crop_area=(1.0, 1.0))
    shares = measured(Plain(), task)
    assert tuple(shares) == loader.STEPS
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["resize"] > 0 and shares["grey"] > 0 and shares["stack"] > 0
    assert shares["number"] == shares["read"] == 0
    assert largest(Plain(much), task) == "rest of source"
    monkeypatch.setitem(loader._FUNCTIONS, "crop, flip", (slow,))
    monkeypatch.setattr("uvim_fsq.tasks.colorization.task.flip_horizontal", slow)
    assert largest(Plain(), task) == "crop, flip"


def test_what_a_step_calls_is_the_step_unless_it_is_one_itself():
    def inner():
        busy(0.02)

    def helper():
        busy(0.02)

    def outer():
        helper()
        inner()
        busy(0.02)

    def run():
        outer()
        busy(0.02)

    source, task = Plain(), ColorizationTask((16, 16))
    codes = loader._codes(source, task) | {outer.__code__: "a", inner.__code__: "b"}
    clock = loader._StepClock(codes)

    import sys

    before = sys.getprofile()
    sys.setprofile(clock)
    try:
        run()
    finally:
        sys.setprofile(before)
    for step, seconds in [("a", 0.04), ("b", 0.02), (loader.OTHER, 0.02)]:
        assert clock.spent[step] / 1e9 == pytest.approx(seconds, rel=0.3)


def test_every_named_function_belongs_to_one_step(scenes):
    codes = loader._codes(scenes, ColorizationTask((16, 16)))
    assert set(codes.values()) == set(loader.STEPS) - {loader.OTHER}
    several = sum(map(len, loader._FUNCTIONS.values())) + 3
    assert len(codes) == several
    names = {code.co_name for code in codes}
    assert {"_stack", "resize_labels", "find_segments", "preprocess"} <= names
    assert transforms.crop.__name__ in names and pipeline._stack.__name__ in names


def test_sources_by_kind_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path))
    monkeypatch.setattr(loader, "SCENES", 4)
    assert len(loader.open_source("scenes=8")) == 4
    for spec in ("scenes", "scenes=x", "folder=", "flder=a", "tfds"):
        with pytest.raises(ConfigError, match="expected KIND=PLACE"):
            loader.open_source(spec)
    # Packed data want their package first.
    packed = "nowhere" if find_spec("array_record") else "array-record"
    for kind in ("folder", "coco", "pictures", "records"):
        message = packed if kind == "records" else "nowhere"
        with pytest.raises(DataError, match=message):
            loader.open_source(f"{kind}={tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="nyu_depth_v2"):
        loader.open_source(f"tfds=nyu_depth_v2@{tmp_path}")


def test_the_table_leaves_out_steps_that_take_nothing():
    shares = dict.fromkeys(loader.STEPS, 0.0) | {"resize": 0.75, "stack": 0.25}
    rates = {
        "examples_per_second": 1234.4,
        "examples_per_cpu_second": 500.0,
        "cpu_ms": 2.0,
    }
    result = {
        "source": "scenes=8",
        "task": "depth",
        "image_size": [8, 8],
        "threads": {"1": rates, "4": rates},
        "shares": shares,
    }
    head, row = loader.rows([result])
    assert " ".join(head) == "source task size /s x1 /s x4 /CPU s CPU ms resize stack"
    assert " ".join(row) == "scenes=8 depth 8 1,234 1,234 500 2.00 1.50 0.50"


def test_the_script(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path))
    monkeypatch.setattr(loader, "SCENES", 8)
    file = tmp_path / "out.json"
    words = ["--size", "8", "16", "--seconds", "0.01", "--rounds", "1", "--batch", "2"]
    assert data.main(["scenes=8", *words, "--json", str(file)]) == 0
    measured = json.loads(file.read_text())["results"]
    assert [(r["task"], r["image_size"]) for r in measured] == [
        ("depth", [8, 8]),
        ("panoptic", [8, 8]),
        ("depth", [16, 16]),
        ("panoptic", [16, 16]),
    ]
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 5 and out[0].startswith("source") and "scenes=8" in out[4]
    # What was measured before a mistake is printed all the same.
    assert data.main(["scenes=8", "coco=", *words]) == 2
    captured = capsys.readouterr()
    assert "scenes=8" in captured.out and "expected KIND=PLACE" in captured.err
