"""`prepare_data.py pack`: what is packed, what it says, what it refuses."""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from uvim_fsq.data.packed.source import Records

pytest.importorskip("array_record")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def script():
    path = SCRIPTS / "prepare_pack.py"
    spec = importlib.util.spec_from_file_location("prepare_pack_script", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(script, tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        parser = argparse.ArgumentParser(prog="prepare_data.py")
        script.add_pack_command(parser.add_subparsers(required=True))
        options = parser.parse_args(["pack", *map(str, words)])
        return options.run(options)

    return call


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.fixture
def frames(tmp_path):
    for part, count in (("train", 3), ("validation", 2)):
        for i in range(count):
            colours = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
            write(tmp_path / "frames" / part / "rgb" / f"{i}.png", colours)
            depth = np.full((12, 16), 500 + i, np.uint16)
            write(tmp_path / "frames" / part / "depth" / f"{i}.png", depth)
    return tmp_path / "frames"


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / "coco"
    images, annotations = [], []
    for i in range(1, 4):
        write(root / "images" / f"{i}.jpg", np.full((8, 8, 3), 40 * i, np.uint8))
        ids = np.zeros((8, 8, 3), np.uint8)
        ids[:4, :, 2] = 5
        write(root / "panoptic" / f"{i}.png", ids)
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 8})
        segment = {"id": 5, "category_id": 9, "iscrowd": 0, "area": 32}
        segment["bbox"] = [0, 0, 8, 4]
        annotations.append(
            {"image_id": i, "file_name": f"{i}.png", "segments_info": [segment]}
        )
    category = {"id": 9, "name": "sky", "isthing": 0, "color": [1, 2, 3]}
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [category],
    }
    (root / "panoptic.json").write_text(json.dumps(content))
    return root


def test_both_parts_of_a_folder_of_frames(run, frames, capsys):
    assert run(frames, "packed", "--units-per-metre", 500) == 0
    assert "3 train and 2 validation examples are in" in capsys.readouterr().out
    records = Records("packed", "validation")
    assert [records.example_id(i) for i in range(2)] == ["validation/0", "validation/1"]
    assert np.unique(records[1]["depth"]).tolist() == [np.float32(501 / 500)]
    assert run(frames, "packed") == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "not overwritten" in captured.err


def test_changes_and_one_part(run, frames, capsys):
    options = ("--part", "train", "--max-side", 8, "--jpeg-quality", 90)
    assert run(frames, "packed", *options, "--millimetres") == 0
    assert "3 train examples" in capsys.readouterr().out
    records = Records("packed", "all")
    assert records.reference(0)["size"] == (6, 8) and len(records) == 3
    changes = json.loads(Path("packed/index.json").read_text())["changes"]
    assert [word in " ".join(changes) for word in ("8 pixels", "90", "milli")] == [
        True
    ] * 3


def test_coco_is_known_by_its_json(run, coco):
    assert run(coco, "packed") == 0
    records = Records("packed", "all")
    assert len(records) == 3 and [c.name for c in records.categories] == ["sky"]
    assert records[0]["segments"][0]["category_id"] == 9
    assert np.unique(records[0]["panoptic"]).tolist() == [0, 5]


def test_pictures_alone_must_be_asked_for(run, tmp_path, capsys):
    for i in range(3):
        picture = np.random.default_rng(i).integers(0, 256, (9, 9, 3), np.uint8)
        write(tmp_path / "photos" / f"{i}.png", picture)
    assert run("photos", "packed") == 1
    assert "--kind pictures" in capsys.readouterr().err and not Path("packed").exists()
    assert run("photos", "packed", "--kind", "pictures") == 0
    assert set(Records("packed", "all")[0]) == {"image", "id"}


@pytest.mark.parametrize(
    "words, message",
    [
        (("nowhere", "packed"), "nowhere"),
        (("frames", "packed", "--max-side", "0"), "at least 1 pixel"),
        (("frames", "packed", "--kind", "coco"), "panoptic.json"),
    ],
)
def test_wrong_input_gets_one_sentence(run, frames, capsys, words, message):
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert error.startswith("prepare_data.py pack: ") and error.count("\n") == 1
    assert message in error


def test_progress_is_told_where_there_is_no_terminal(
    script, run, frames, monkeypatch, capsys
):
    monkeypatch.setattr(script, "_SECONDS_BETWEEN_LINES", 0.0)
    assert run(frames, "packed") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and lines[-1] == "packed 5 of 5, 0 s left"


def test_the_command_is_one_of_prepare_data():
    words = [sys.executable, str(SCRIPTS / "prepare_data.py"), "pack", "--help"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0 and "--max-side" in result.stdout
