"""The example package adds a task and a quantizer from outside, and all commands know them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "brightness"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example installed, as pip would leave it."""
    copy = tmp_path_factory.mktemp("source") / "brightness"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path_factory.mktemp("site")
    build = "import sys, setuptools.build_meta as b; b.build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(folder)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


def uvim_fsq(site, folder, *words, code=0):
    paths = os.pathsep.join([str(site), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-m", "uvim_fsq", *map(str, words)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_settings_are_declared_checked_and_kept(site, tmp_path):
    config = EXAMPLE / "config.py"
    said = uvim_fsq(site, tmp_path, "config", config, "--task.levels", 8)
    assert '"kind": "brightness"' in said and '"levels": 8' in said
    (tmp_path / "settings.json").write_text(said)
    assert said == uvim_fsq(site, tmp_path, "config", "settings.json")
    said = uvim_fsq(site, tmp_path, "config", config, "--task.levels", 1, code=2)
    assert "task.levels must be at least 2, found 1" in said


def test_without_the_package_its_settings_are_refused(site, tmp_path):
    said = uvim_fsq(site, tmp_path, "config", EXAMPLE / "config.py")
    (tmp_path / "settings.json").write_text(said)
    said = uvim_fsq(tmp_path, tmp_path, "config", "settings.json", code=2)
    assert "task.kind must be one of" in said and "found 'brightness'" in said


@pytest.mark.slow
def test_trained_scored_and_predicted(site, tmp_path):
    words = ["--preset", "tiny", "--output.directory", "run", "--output.pictures", 0]
    uvim_fsq(site, tmp_path, "train", EXAMPLE / "config.py", *words)
    said = uvim_fsq(site, tmp_path, "evaluate", "run")
    assert "accuracy" in said and "whole: greedy" in said
    uvim_fsq(site, tmp_path, "export", "run", "--output", "bundle")
    assert "How bright every pixel is" in (tmp_path / "bundle/README.md").read_text()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "black.png")
    uvim_fsq(site, tmp_path, "predict", "bundle", "black.png", "--output", "out")
    assert (tmp_path / "out" / "black_brightness.png").is_file()
    uvim_fsq(site, tmp_path, "report", "run", "--output", "report")
