"""The built-in scenes: what an example holds, and what it depends on."""

import hashlib
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import cos, sin, tan

import numpy as np
import pytest

from uvim_fsq.data.scenes.example import fields, render_example
from uvim_fsq.data.scenes.render import render
from uvim_fsq.data.scenes.room.layout import sample_scene
from uvim_fsq.data.scenes.source import CATEGORIES, Scenes
from uvim_fsq.errors import DataError

CLASS = {row.name: row.id for row in CATEGORIES}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def source(cache):
    return Scenes((32, 32), count=60, seed=3, cache_dir=cache)


def equal(first, second):
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name])
        if isinstance(first[name], np.ndarray)
        else first[name] == second[name]
        for name in first
    )


def digest(example):
    names = ("image", "depth", "panoptic", "segments")
    return hashlib.sha256(
        b"".join(example[name].tobytes() for name in names)
    ).hexdigest()


def test_example_has_the_arrays_that_a_source_promises(source):
    for example in (source[0], source[np.int64(59)]):
        image, depth, panoptic = (example[k] for k in ("image", "depth", "panoptic"))
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
        assert depth.shape == (32, 32) and depth.dtype == np.float32
        assert panoptic.shape == (32, 32) and panoptic.dtype == np.int32
        image[:] = 0  # A transform may write into what it gets.
    assert source[0]["image"].any()
    assert source.example_id(17) == source[17]["id"] == "scene-3-train-000017"
    assert equal(source.reference(5), {**source[5], "size": (32, 32)})


def test_depth_is_dense_and_as_in_a_room(source):
    depth = np.stack([source[i]["depth"] for i in range(len(source))])
    assert depth.min() > 0.4 and depth.max() < 10
    rmse_of_mean = np.sqrt(((depth - depth.mean(0)) ** 2).mean())
    assert 0.7 < rmse_of_mean < 1.4
    np.testing.assert_array_equal(depth, np.rint(depth * 1000) * np.float32(1e-3))


def test_depth_lies_along_the_cameras_axis():
    """The place that a floor pixel's depth says has height 0, by the camera's geometry."""
    for index in range(4):
        example = render_example(0, "train", index, (24, 36))
        camera = sample_scene(0, "train", index).camera
        up = (12 - np.arange(24) - 0.5) * 2 * tan(camera.view / 2) / 24
        # Along the axis by `depth`, up in the picture by `depth * up`, both tilted by the pitch.
        rise = up * cos(camera.pitch) - sin(camera.pitch)
        height = camera.place[1] + rise[:, None] * example["depth"] * 1e-3
        classes = np.append(0, example["segments"][:, 0])[example["panoptic"]]
        on_floor = classes == CLASS["floor"]
        assert on_floor.sum() > 20
        assert np.abs(height[on_floor]).max() < 1e-3
        assert height[~on_floor].min() > -1e-3


def test_segments_describe_the_map(source):
    for i in range(len(source)):
        example = source[i]
        ids, areas = np.unique(example["panoptic"], return_counts=True)
        counted = dict(zip(ids.tolist(), areas.tolist(), strict=True))
        counted.pop(0, None)
        assert counted == {s["id"]: s["area"] for s in example["segments"]}
        assert min(counted) == 1 and min(counted.values()) >= 4
        assert all(s["iscrowd"] == 0 for s in example["segments"])
        classes = [s["category_id"] for s in example["segments"]]
        stuff = [c for c in classes if not CATEGORIES[c - 1].isthing]
        assert len(stuff) == len(set(stuff))


def test_every_class_appears_and_scenes_hold_several_things(source):
    segments = [source[i]["segments"] for i in range(len(source))]
    seen = {s["category_id"] for row in segments for s in row}
    assert seen == {row.id for row in CATEGORIES} == set(range(1, 18))
    things = [
        sum(CATEGORIES[s["category_id"] - 1].isthing for s in r) for r in segments
    ]
    assert np.mean(np.array(things) >= 3) > 0.9 and max(things) <= 15


def test_colour_tells_classes_apart(source):
    """Plants are green and chairs mostly teal: colour can be learned from what things are."""
    colours = {"plant": [], "ball": [], "window": []}
    for i in range(len(source)):
        example = source[i]
        for segment in example["segments"]:
            name = CATEGORIES[segment["category_id"] - 1].name
            if name in colours:
                where = example["panoptic"] == segment["id"]
                colours[name].append(example["image"][where].mean(0))
    red, green, blue = np.mean(colours["plant"], 0)
    assert green > red + 3 and green > blue + 3
    red, green, blue = np.mean(colours["ball"], 0)
    assert red > green + 20 and red > blue + 20
    assert np.mean(colours["window"]) > 150


def test_another_process_renders_the_same_bytes():
    code = (
        "from uvim_fsq.data.scenes.example import render_example as r; import hashlib\n"
        "for i in (2, 0):\n"
        "  e = r(5, 'test', i, (20, 28))\n"
        "  names = ('image', 'depth', 'panoptic', 'segments')\n"
        "  b = b''.join(e[k].tobytes() for k in names)\n"
        "  print(hashlib.sha256(b).hexdigest())\n"
        "import sys; assert 'jax' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ours = [digest(render_example(5, "test", i, (20, 28))) for i in (2, 0)]
    assert run.stdout.split() == ours


def test_example_depends_on_its_number_alone(source, cache):
    short = Scenes((32, 32), count=3, seed=3, cache_dir=cache)
    assert all(equal(short[i], source[i]) for i in (2, 0, 1))


def test_example_shows_the_same_scene_at_another_size():
    for index in range(3):
        small = render_example(1, "train", index, (32, 32))
        large = render_example(1, "train", index, (64, 64))
        quads = large["depth"].reshape(32, 2, 32, 2).astype(np.float64)
        spread = quads.max((1, 3)) - quads.min((1, 3))
        level = spread < 0.05 * quads.mean((1, 3))
        error = np.abs(quads.mean((1, 3)) - small["depth"]) / small["depth"]
        assert level.mean() > 0.5 and np.mean(error[level] < 0.02) > 0.97
        means = [e["image"].astype(float).mean((0, 1)) for e in (small, large)]
        np.testing.assert_allclose(*means, atol=1.5)


def test_wide_picture_shows_more_to_the_sides():
    square = render_example(1, "train", 4, (24, 24))
    wide = render_example(1, "train", 4, (24, 48))
    middle = wide["depth"][:, 12:36].astype(int)
    assert np.mean(np.abs(middle - square["depth"]) <= 1) > 0.99


def test_picture_does_not_depend_on_its_tiles(monkeypatch):
    tiled = render_example(2, "train", 1, (100, 60))
    monkeypatch.setattr(render, "_TILE", 128)
    whole = render_example(2, "train", 1, (100, 60))
    np.testing.assert_array_equal(tiled["panoptic"], whole["panoptic"])
    np.testing.assert_array_equal(tiled["depth"], whole["depth"])
    assert np.abs(tiled["image"].astype(int) - whole["image"]).max() <= 1


def test_splits_and_seeds_share_no_scene():
    streams = [("train", 0), ("validation", 0), ("test", 0), ("train", 1)]
    shown = [
        render_example(seed, split, i, (16, 16))["depth"].tobytes()
        for split, seed in streams
        for i in range(5)
    ]
    assert len(set(shown)) == len(shown)


def test_threads_read_the_same(source):
    fresh = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(fresh.__getitem__, range(len(source))))
    assert all(equal(example, source[i]) for i, example in enumerate(read))
    # Mapped shards stay behind when a source is sent to another process.
    assert len(pickle.dumps(fresh)) < 5000


def test_index_out_of_range(source):
    assert len(source) == 60
    for index in (60, -1):
        with pytest.raises(IndexError, match=f"scene {index} of 60"):
            source[index]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": (4, 32)}, "8 to 4096 pixels"),
        ({"size": (32,)}, "8 to 4096 pixels"),
        ({"count": 0}, "at least 1 scene"),
        ({"seed": -1}, "seed of at least 0"),
        ({"split": "val"}, "train, validation, test"),
        ({"workers": 0}, "at least 1 worker"),
    ],
)
def test_wrong_arguments_get_one_sentence(tmp_path, wrong, message):
    arguments = {"size": (16, 16), "count": 2, "cache_dir": tmp_path / "c", **wrong}
    with pytest.raises(DataError, match=message):
        Scenes(**arguments)
    assert not (tmp_path / "c").exists()


def test_fields_are_what_is_rendered():
    example = render_example(0, "train", 0, (16, 24))
    for name, (shape, dtype) in fields((16, 24)).items():
        assert example[name].shape == shape and example[name].dtype == np.dtype(dtype)
