"""`scripts/nyu_depth.sh` as a person starts it, up to the plan."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(*arguments, **environment):
    return subprocess.run(
        ["bash", ROOT / "scripts" / "nyu_depth.sh", *map(str, arguments)],
        env=os.environ | {"PYTHON": sys.executable, "TINY": "0"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("tiny, steps", [("0", "11,700"), ("1", "48")])
def test_the_plan_is_three_rows_of_three_seeds(tmp_path, tiny, steps):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    done = start(
        tmp_path,
        "--dry-run",
        "--output",
        tmp_path / "out",
        TINY=tiny,
        SECONDS_MAX="200",
    )
    assert done.returncode == 0, done.stderr
    assert "3 rows (fsq, vq, vq_no_split)" in done.stdout
    assert f"12 stages, 0 of them done; {steps} steps in all" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["/nowhere"]])
def test_data_have_to_be_named(arguments):
    done = start(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("expected a folder with train/ and test/")
