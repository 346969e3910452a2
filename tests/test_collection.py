"""Every file that defines tests is collected: what pytest passes by makes no noise.

Run as a program it prints the files that pytest collects, without importing any of them.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).resolve().parent
_SETTINGS = _TESTS.parent / "pyproject.toml"


class _Listing:
    """Notes the modules that pytest would import, in place of importing them."""

    def __init__(self):
        self.files: list[Path] = []

    def pytest_pycollect_makemodule(self, module_path, parent):
        self.files.append(module_path)
        return _Noted.from_parent(parent, path=module_path)


class _Noted(pytest.File):
    def collect(self):
        return []


def collected(root: Path) -> set[Path]:
    """The modules that pytest, started in `root` with the settings there, takes tests from."""
    listing = subprocess.run(
        [sys.executable, __file__], cwd=root, capture_output=True, text=True
    )
    assert listing.returncode == 0, listing.stdout + listing.stderr
    return {Path(line) for line in listing.stdout.split("\n") if line}


def defining_tests(root: Path) -> set[Path]:
    """The Python files below `root` that define tests, by their text."""
    return {
        path
        for path in root.rglob("*.py")
        if any(
            getattr(node, "name", "").startswith(("test", "Test"))
            for node in ast.parse(path.read_bytes()).body
        )
    }


def test_every_file_that_defines_tests_is_collected():
    on_disk = defining_tests(_TESTS)
    assert len(on_disk) > 80
    assert sorted(on_disk ^ collected(_TESTS.parent)) == []
    # These could leave out files too, and the listing does not read them.
    for conftest in _TESTS.rglob("conftest.py"):
        assert "ignore" not in conftest.read_text(), conftest


FOLDERS = "build dist venv node_modules _darcs CVS some.egg {arch} plain".split()
FILES = [*(f"tests/{folder}/test_it.py" for folder in FOLDERS), "tests/a/b_test.py"]


@pytest.fixture
def project(tmp_path):
    """The project's settings, and test files in folders that pytest leaves out by default."""
    shutil.copy(_SETTINGS, tmp_path)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("def test_it():\n    assert True\n")
    return tmp_path.resolve()


def test_folders_of_any_name_are_collected(project):
    assert collected(project) == {project / name for name in FILES}


def test_what_is_passed_by_is_seen(project):
    """A hidden folder, a name that says nothing of tests, and what pytest's default leaves out."""
    unusual = ["tests/.hidden/test_it.py", "tests/checks.py"]
    for name in unusual:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("class TestIt:\n    def test_it(self): pass\n")
    lines = _SETTINGS.read_text().splitlines(keepends=True)
    kept = (line for line in lines if not line.startswith("norecursedirs"))
    (project / "pyproject.toml").write_text("".join(kept))
    passed_by = defining_tests(project) - collected(project)
    expected = [*unusual, *(f"tests/{name}/test_it.py" for name in FOLDERS[:-1])]
    assert passed_by == {project / name for name in expected}


def _main() -> int:
    listing = _Listing()
    options = ["--collect-only", "--noconftest", "--quiet", "--quiet", "-p", "no:xdist"]
    # Only files are listed, and a run without tests is an error to pytest.
    status = pytest.main(options, plugins=[listing])
    print(*listing.files, sep="\n")
    return 0 if status in (0, 5) else int(status)


if __name__ == "__main__":
    sys.exit(_main())
