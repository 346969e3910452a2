"""Every test file on disk is collected: a folder that pytest passes by makes no noise."""

import subprocess
import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parent


def _collected() -> set[Path]:
    listing = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:xdist"],
        cwd=_TESTS.parent,
        capture_output=True,
        text=True,
    )
    assert listing.returncode == 0, listing.stdout + listing.stderr
    # With -qq pytest prints a line "tests/.../test_name.py: 12" for each file.
    lines = (
        line.rsplit(":", 1) for line in listing.stdout.splitlines() if ".py:" in line
    )
    return {_TESTS.parent / name for name, count in lines if int(count) > 0}


def test_every_test_file_on_disk_is_collected():
    on_disk = {*_TESTS.rglob("test_*.py"), *_TESTS.rglob("*_test.py")}
    assert len(on_disk) > 80
    assert sorted(on_disk - _collected()) == []
