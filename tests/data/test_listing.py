"""What lies below a folder: links followed and ended, other kinds counted, one spelling of names."""

import os
import unicodedata

import pytest

from uvim_fsq.data.listing import list_files, say_once
from uvim_fsq.data.parts import (
    find_parts,
    part_of,
    refuse,
    say_beside,
    say_deeper_parts,
)
from uvim_fsq.errors import DataError


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def names(folder):
    return [path.as_posix() for path in list_files(folder, {".png"}).files]


@pytest.fixture(autouse=True)
def nothing_said():
    say_once.cache_clear()


def test_linked_folders_and_files_are_found(tmp_path):
    touch(tmp_path / "store" / "n01" / "deep" / "0.png")
    touch(tmp_path / "set" / "n02" / "1.png")
    (tmp_path / "set" / "n01").symlink_to(tmp_path / "store" / "n01")
    (tmp_path / "set" / "n02" / "2.png").symlink_to(tmp_path / "set" / "n02" / "1.png")
    (tmp_path / "linked").symlink_to(tmp_path / "set")
    expected = ["n01/deep/0.png", "n02/1.png", "n02/2.png"]
    assert names(tmp_path / "set") == names(tmp_path / "linked") == expected


def test_loops_end_and_each_folder_counts_once(tmp_path, caplog):
    for name in "ab":
        touch(tmp_path / name / "0.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    # What lies there in person keeps its name, whatever else leads to it.
    assert names(tmp_path) == ["a/0.png", "b/0.png"]
    list_files(tmp_path, {".png"}).say()
    assert "3 entries: 3 folders linked a second time" in caplog.text


def test_links_to_themselves_and_to_nowhere_are_passed_by(tmp_path, caplog):
    touch(tmp_path / "0.png")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "lost").symlink_to("nowhere")
    assert names(tmp_path) == ["0.png"]
    list_files(tmp_path, {".png"}).say()
    assert "2 links to nowhere" in caplog.text


def test_names_that_are_no_text_are_problems(tmp_path):
    touch(tmp_path / "0.png")
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb"):
        pass
    listing = list_files(tmp_path, {".png"})
    assert list(map(str, listing.files)) == ["0.png"]
    assert listing.problems == [
        f"{tmp_path}: the name b'\\xff.png' is not UTF-8 text: rename it"
    ]


def test_links_that_became_text_are_followed_and_said(tmp_path, caplog):
    touch(tmp_path / "store" / "n01" / "0.png")
    touch(tmp_path / "set" / "1.png")
    (tmp_path / "set" / "n01").write_text("../store/n01")
    (tmp_path / "set" / "note").write_text("../store/none")
    assert names(tmp_path / "set") == ["1.png", "n01/0.png"]
    list_files(tmp_path / "set", {".png"}).say()
    assert "1 links that copying made text of: followed" in caplog.text
    assert "1 without an ending" in caplog.text


def test_what_is_passed_by_is_counted_once_and_aloud(tmp_path, caplog):
    for name in "0.PNG a.heic b.HEIC c.txt d .hidden.png ._0.png Thumbs.db".split():
        touch(tmp_path / name)
    touch(tmp_path / "__MACOSX" / "0.png")
    touch(tmp_path / ".git" / "0.png")
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    for _ in range(2):
        listing = list_files(tmp_path, {".png"})
        assert [path.as_posix() for path in listing.files] == ["0.PNG"]
        listing.say()
    (record,) = caplog.records
    said = record.getMessage()
    assert f"{tmp_path}: passed by 10 entries: 5 hidden, or left by the system" in said
    assert "1 .txt" in said and "1 without an ending" in said
    assert "1 links to nowhere" in said and "2 .heic" in said


def test_folder_that_cannot_be_looked_into_is_a_problem(tmp_path, monkeypatch):
    touch(tmp_path / "a" / "0.png")
    touch(tmp_path / "b" / "0.png")
    scandir = os.scandir

    def refused(path):
        if path.name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    listing = list_files(tmp_path, {".png"})
    assert listing.problems == [
        f"{tmp_path / 'a'}: cannot be looked into: Permission denied"
    ]
    assert [path.as_posix() for path in listing.files] == ["b/0.png"]


def test_names_are_in_composed_letters(tmp_path):
    apart = unicodedata.normalize("NFD", "Küche")
    touch(tmp_path / f"{apart}.png")
    assert names(tmp_path) == [unicodedata.normalize("NFC", "Küche.png")]
    touch(tmp_path / unicodedata.normalize("NFC", "Küche.png"))
    assert len(names(tmp_path)) == 2  # no file is lost for its name


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("train", "valid"),
        ("Train", "Val"),
        ("training", "validation"),
        ("TRAIN", "TEST"),
        ("train2017", "val2017"),
        ("train", "testing"),
        ("train", "dev"),
        ("train_set", "Test-Set"),
        ("trainset", "valset2"),
    ],
)
def test_common_names_of_parts_are_known(tmp_path, train, validation):
    for name in (train, validation, "other"):
        (tmp_path / name).mkdir()
    assert find_parts(tmp_path, "train") == ([tmp_path / train], False)
    assert find_parts(tmp_path, "validation") == ([tmp_path / validation], False)
    assert part_of(train) == "train" and part_of(validation) == "validation"


def test_what_lies_beside_the_parts_is_said(tmp_path, caplog):
    for name in ("train", "val", "test", "extra"):
        (tmp_path / name).mkdir()
    say_beside(tmp_path)
    assert (
        "beside train/ and val/, extra/, test/ is not read; --data.eval" in caplog.text
    )


def test_parts_that_lie_deeper_are_said(tmp_path, caplog):
    say_deeper_parts(tmp_path, ["images/a/0", "images/b/0"])
    assert not caplog.text
    say_deeper_parts(tmp_path, ["images/train/0", "images/val/0"])
    assert "train/, val/ lie deeper in it" in caplog.text


def test_parts_that_are_one_folder_are_refused(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "val").symlink_to("train")
    with pytest.raises(DataError, match="train/ and val/ are one folder, by a link"):
        find_parts(tmp_path, "train")


def test_names_in_problems_neither_break_lines_nor_steer_the_terminal(tmp_path):
    with pytest.raises(DataError) as error:
        refuse(tmp_path, ["a\n\x1b[31mb.png: it is empty"], "of 1 examples")
    assert str(error.value).endswith("\n  a\\n\\x1b[31mb.png: it is empty")


def test_part_that_is_a_lost_link_is_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "set" / "val").mkdir(parents=True)
    (tmp_path / "set" / "train").write_text("../store")
    (part,), hashed = find_parts(tmp_path / "set", "train")
    assert part.resolve() == (tmp_path / "store").resolve() and not hashed
    (tmp_path / "set" / "train").write_text("a list of names")
    assert find_parts(tmp_path / "set", "all") == ([tmp_path / "set" / "val"], False)
