"""`scripts/prepare_data.py` as a person starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_data.py"


SLOW = {"cv2", "jax", "numpy", "scipy", "tensorflow", "uvim_fsq"}


def run(*arguments, cwd, python=()):
    return subprocess.run(
        [sys.executable, *python, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def help_at_once(command, cwd):
    """The help of a command, for which nothing was imported that takes its time."""
    result = run(command, "--help", cwd=cwd, python=["-X", "importtime"])
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "argparse" in imported and not imported & SLOW
    return result.stdout


def test_help_explains_every_option_at_once(tmp_path):
    text = help_at_once("scenes", tmp_path)
    for option in (
        "--size",
        "--count",
        "--split",
        "--seed",
        "--cache-dir",
        "--workers",
    ):
        assert option in text
    assert "scenes" in run("--help", cwd=tmp_path).stdout


def test_renders_scenes_and_says_where_they_are(tmp_path):
    options = ("--size", 16, 24, "--count", 3, "--split", "test", "--cache-dir", "c")
    result = run("scenes", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = Path(result.stdout.split(" are in ")[1].strip())
    assert result.stdout.startswith("3 scenes")
    assert folder.name == "seed0-test-16x24"
    assert len(list((tmp_path / folder).rglob("*.npy"))) == 4


def test_wrong_input_gets_one_sentence(tmp_path):
    result = run("scenes", "--size", 2, "--cache-dir", "c", cwd=tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "8 to 4096 pixels" in result.stderr
    result = run("scenes", "--size", 16, "--split", "val", cwd=tmp_path)
    assert result.returncode == 2 and "'validation'" in result.stderr
    assert not (tmp_path / "c").exists()


def test_tfds_help_says_what_to_download_and_what_space_it_takes(tmp_path):
    text = " ".join(help_at_once("tfds", tmp_path).split())
    for word in (
        "--data-dir",
        "--manual-dir",
        "--download-dir",
        "157 GB",
        "ILSVRC2012",
    ):
        assert word in text
    text = run("imagenet2012-lists", "--help", cwd=tmp_path).stdout
    assert "--output" in text and "--count" in text


def test_lists_need_imagenet(tmp_path):
    result = run("imagenet2012-lists", "--data-dir", "data", cwd=tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "prepare_data.py tfds imagenet2012 --data-dir data" in result.stderr
    assert not list(tmp_path.iterdir())


def test_tfds_asks_for_what_only_a_person_can_download(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")
    result = run("tfds", "imagenet2012", "--data-dir", "data", cwd=tmp_path)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("prepare_data.py tfds: imagenet2012 must be downloaded")
    assert "data/downloads/manual (or give --manual-dir)" in last
