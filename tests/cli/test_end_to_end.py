"""The commands on a run that was really trained: tiny, on the built-in scenes."""

import json
import os

import cv2
import numpy as np
import pytest

from uvim_fsq.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "cache"
    os.environ.setdefault("UVIM_FSQ_CACHE", str(cache))
    folder = tmp_path_factory.mktemp("cli") / "run"
    words = ["--preset", "tiny", "--output.directory", str(folder), "--seed", "3"]
    assert main(["train", "depth", *words]) == 0
    return folder


def test_train_keeps_the_settings(run, capsys):
    settings = json.loads((run / "config.json").read_text())
    assert (settings["seed"], settings["stage1"]["model"]["width"]) == (3, 32)
    words = ["--preset", "tiny", "--output.directory", str(run), "--seed", "3"]
    assert main(["train", "depth", *words, "--stage1.model.width", "64"]) == 2
    assert "stage1.model.width" in capsys.readouterr().err
    assert json.loads((run / "config.json").read_text()) == settings


def test_the_default_folder_is_named_after_the_configuration(
    run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["--variant", "fsq", "--preset", "tiny", "--seed", "3", "--stage", "1"]
    assert main(["train", "depth", *words]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["depth-fsq-tiny"]
    assert not list((tmp_path / "runs" / "depth-fsq-tiny").glob("stage2/*/done.json"))


def test_evaluate_takes_other_settings_and_another_folder(run, tmp_path):
    words = ["--evaluation.examples", "4", "--evaluation.samples", "2"]
    assert main(["evaluate", str(run), *words, "--output", str(tmp_path)]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert "4" in json.dumps(scores)
    assert not (run / "evaluation").exists()


def test_predict_writes_depth_at_the_pictures_own_size(run, tmp_path, capsys):
    picture = np.random.default_rng(0).integers(0, 255, (23, 31, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    words = [str(run), str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]
    assert main(["predict", *words, "--temperature", "0"]) == 0
    written = capsys.readouterr().out.split()
    depth = cv2.imread(written[0], cv2.IMREAD_UNCHANGED)
    assert depth.shape == (23, 31) and depth.dtype == np.uint16 and depth.max() > 0
    assert main(["predict", *words]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["predict", *words, "--overwrite"]) == 0
