"""`scripts/prepare_data.py` as a person starts it."""

import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "prepare_data.py"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_help_explains_every_option_at_once(tmp_path):
    start = time.monotonic()
    result = run("scenes", "--help", cwd=tmp_path)
    assert result.returncode == 0 and time.monotonic() - start < 1.5
    for option in (
        "--size",
        "--count",
        "--split",
        "--seed",
        "--cache-dir",
        "--workers",
    ):
        assert option in result.stdout
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
