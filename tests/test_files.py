"""Names that come from other people's files, and writes that are whole or not there."""

import os

import pytest

from uvim_fsq.files import name_problem, write_whole


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../a.png", "leads out of its folder"),
        ("a/../../b.png", "leads out of its folder"),
        ("..\\a.png", "leads out of its folder"),
        ("..", "leads out of its folder"),
        ("/etc/passwd", "leads out of its folder"),
        ("C:\\a.png", "leads out of its folder"),
        ("\\\\host\\a.png", "leads out of its folder"),
        ("", "is no name of a file"),
        ("a\0b", "is no name of a file"),
        ("a\nb", "is no name of a file"),
        ("\ud800", "is no name of a file"),
        ("ü" * 128, "longer than the 255 bytes"),
    ],
)
def test_names_that_are_refused(name, problem):
    assert problem in (name_problem(name) or "")


@pytest.mark.parametrize(
    "name",
    ["a.png", "a/b c.png", "a..b.png", ".hidden", "ü.png", "10:30.png", "a\u202fb"],
)
def test_names_that_are_taken(name):
    assert name_problem(name) is None


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "new" / ("a" * 255)
    write_whole(path, b"old")
    assert path.read_bytes() == b"old"
    before = os.umask(0o022)
    write_whole(tmp_path / "open", b"")
    os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o644

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1
