"""The package as others install it: a wheel with one package that brings all along."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("uvim_fsq",)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the tree."""
    copy = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored)
    for pattern in ("*.toml", "*.txt", "*.md", "LICENSE"):
        for path in ROOT.glob(pattern):
            shutil.copy(path, copy)
    code = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's contents, as site-packages would have them."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def _python(site: Path, *words: str, folder: Path | None = None) -> str:
    """What a program prints, in a folder where it finds other modules of ours first, if there are any."""
    # PYTHONPATH comes before this checkout. Without -P the current folder comes before both.
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=folder or site,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_module_comes_along(installed):
    missing = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not (installed / path.relative_to(ROOT)).exists()
    ]
    assert missing == []


def test_nothing_else_is_installed(installed):
    names = {path.name for path in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == set(PACKAGES)


def test_folders_of_ones_own_are_no_trouble(installed, tmp_path):
    """People have folders called `configs` and `evaluators`, and files in them that cannot be run."""
    for name in ("configs", "evaluators", "benchmarks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    out = _python(installed, "-m", "uvim_fsq", "config", "depth", folder=tmp_path)
    assert '"kind": "depth"' in out
    out = _python(
        installed, "-m", "uvim_fsq", "config", "configs/depth.py", folder=tmp_path
    )
    assert '"kind": "depth"' in out
    code = "import uvim_fsq.evaluators.depth as depth; print(depth.__file__)"
    found = _python(installed, "-c", code, folder=tmp_path).strip()
    assert Path(found).is_relative_to(installed)


def test_metadata(installed):
    (folder,) = installed.glob("*.dist-info")
    metadata = (folder / "METADATA").read_text()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Dist: jax>=" in metadata
    required = [line for line in metadata.splitlines() if "Requires-Dist" in line]
    assert not [
        line for line in required if "tensorflow" in line and "extra" not in line
    ]
    assert 'Requires-Dist: huggingface_hub>=0.34; extra == "hub"' in metadata
    assert "uvim-fsq = uvim_fsq.cli:main" in (folder / "entry_points.txt").read_text()
    assert (folder / "licenses" / "LICENSE").exists()
