"""Folders of pictures: layouts, lists, grey ones left out, everything wrong named at once."""

import logging

import cv2
import numpy as np
import pytest

from uvim_fsq.data.base import Source
from uvim_fsq.data.folders import pictures as module
from uvim_fsq.data.folders.pictures import PictureFolder, colour_levels
from uvim_fsq.data.images import read_image
from uvim_fsq.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def add(root, name, value=50, saturation=60, size=(12, 16)):
    """A picture of one colour whose red is `value`, and its channels `saturation` apart."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = (value + saturation, value + saturation // 2, value)
    cv2.imwrite(str(path), np.full((*size, 3), bgr, np.uint8))


@pytest.fixture
def album(tmp_path):
    root = tmp_path / "album"
    for i in range(20):
        add(root, f"{i:03d}.png", value=i)
    return root


def ids(folder):
    return [folder.example_id(i) for i in range(len(folder))]


def test_a_part_that_was_a_link_before_it_was_copied_is_followed(tmp_path, caplog):
    add(tmp_path, "store/0.png")
    add(tmp_path, "album/val/1.png")
    (tmp_path / "album" / "train").write_text("../store")
    assert ids(PictureFolder(tmp_path / "album", "train")) == ["store/0"]
    assert ids(PictureFolder(tmp_path / "album", "validation")) == ["val/1"]
    assert "a link that copying made text of: followed" in caplog.text


def test_examples_have_picture_and_id(tmp_path):
    root = tmp_path / "album"
    add(root, "b.png", value=7)
    add(root, "cats/old/a.1.bmp", value=9, size=(10, 20))
    add(root, "cats/C.PNG")
    (root / "cats" / "notes.txt").touch()
    (root / ".hidden.png").touch()
    add(root, ".thumbnails/b.png")
    add(root, "cats/.old/b.png")
    folder = PictureFolder(root, "all")
    assert isinstance(folder, Source) and folder.categories == ()
    assert ids(folder) == ["b", "cats/C", "cats/old/a.1"]
    assert folder[2]["id"] == "cats/old/a.1" and folder[2]["image"].dtype == np.uint8
    assert folder[2]["image"][3, 4].tolist() == [9, 39, 69]
    reference = folder.reference(2)
    assert reference["size"] == (10, 20) and reference["id"] == "cats/old/a.1"
    np.testing.assert_array_equal(reference["image"], folder[2]["image"])


def test_parts_are_the_split(tmp_path):
    root = tmp_path / "album"
    add(root, "train/a/0.png")
    add(root, "train/a/1.png")
    add(root, "val/2.png")
    add(root, "test/3.png")
    assert ids(PictureFolder(root, "train")) == ["train/a/0", "train/a/1"]
    assert ids(PictureFolder(root, "validation")) == ["val/2"]
    assert ids(PictureFolder(root, "all")) == ["train/a/0", "train/a/1", "val/2"]


def test_without_parts_the_split_is_by_hash(album):
    validation = ids(PictureFolder(album, "validation", validation_fraction=0.2))
    # Those whose `printf 000 | sha256sum` begins below 0x33, a fifth of 0x100.
    assert validation == ["000", "010", "015"]
    train = ids(PictureFolder(album, validation_fraction=0.2))
    assert sorted(train + validation) == ids(PictureFolder(album, "all"))


def test_grey_pictures_are_left_out_and_counted(album, caplog):
    add(album, "grey.png", saturation=0)
    add(album, "nearly.png", saturation=module.GREY_LEVELS)
    add(album, "pale.png", saturation=module.GREY_LEVELS + 1)
    cv2.imwrite(str(album / "one_channel.png"), np.full((12, 16), 30, np.uint8))
    with caplog.at_level(logging.INFO):
        folder = PictureFolder(album, "all")
    assert folder.grey == ["grey", "nearly", "one_channel"] and folder.skipped == []
    assert ids(folder) == [*(f"{i:03d}" for i in range(20)), "pale"]
    assert "left out 3 of 24 pictures that are grey" in caplog.text
    everything = PictureFolder(album, "all", skip_grey=False)
    assert len(everything) == 24 and everything.grey == []


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_grey_jpeg_stored_as_colour_is_grey(tmp_path, quality):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8)).astype(np.uint8)
    grey = cv2.resize(noise, (80, 60), interpolation=cv2.INTER_CUBIC)
    picture = cv2.merge([grey, grey, grey])
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    cv2.imwrite(str(tmp_path / "a.jpg"), picture, options)
    assert colour_levels(read_image(tmp_path / "a.jpg")) <= 3
    # One small spot of colour makes it a colour picture.
    cv2.circle(picture, (40, 30), 6, (0, 0, 255), -1)
    cv2.imwrite(str(tmp_path / "a.jpg"), picture, options)
    assert colour_levels(read_image(tmp_path / "a.jpg")) > 100


def test_folder_of_grey_pictures_is_an_error(tmp_path):
    add(tmp_path / "album", "a.png", saturation=0)
    with pytest.raises(DataError, match="all 1 pictures are grey"):
        PictureFolder(tmp_path / "album", "all")


def spoil(album):
    """Break three pictures, each in another way."""
    data = (album / "002.png").read_bytes()
    (album / "002.png").write_bytes(data[:-20])
    (album / "006.png").write_text("no picture")
    (album / "008.png").write_bytes(b"")
    return {
        "002": "the PNG is truncated",
        "006": "not a picture",
        "008": "the file is empty",
    }


def test_everything_wrong_is_named_at_once(album):
    reasons = spoil(album)
    with pytest.raises(DataError) as caught:
        PictureFolder(album)
    message = str(caught.value)
    assert "3 of 20 examples" in message and "--skip-broken" in message
    for name, reason in reasons.items():
        (line,) = [line for line in message.splitlines() if f"{name}." in line]
        assert reason in line


def test_skip_broken_leaves_them_out_and_says_so(album, caplog):
    spoil(album)
    folder = PictureFolder(album, "all", skip_broken=True)
    assert len(folder) == 17 and len(folder.skipped) == 3
    assert "left out 3 of 20 examples" in caplog.text


def test_paths_that_are_no_dataset(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a folder with pic"):
        PictureFolder(tmp_path / "none")
    (tmp_path / "album" / "test").mkdir(parents=True)
    with pytest.raises(DataError, match="has test/ but no train/"):
        PictureFolder(tmp_path / "album")
    with pytest.raises(DataError, match=r"test holds no pictures.*only nothing"):
        PictureFolder(tmp_path / "album", "validation")


def test_scan_is_remembered_until_a_file_changes(album, monkeypatch):
    add(album, "grey.png", saturation=0)
    PictureFolder(album, "all")
    looked = []
    monkeypatch.setattr(
        module, "read_image", lambda p: looked.append(p) or read_image(p)
    )
    assert PictureFolder(album, "train").grey == ["grey"]
    assert len(PictureFolder(album, "all", skip_grey=False)) == 21
    assert looked == []
    add(album, "grey.png", saturation=90, size=(20, 20))
    assert PictureFolder(album, "all").grey == []
    assert [path.name for path in looked] == ["grey.png"]


def test_real_photographs(real_data):
    import csv

    root = real_data("photos")
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    folder = PictureFolder(root, "all")
    grey = {row["file"].rpartition(".")[0] for row in rows if row["grayscale"] == "1"}
    assert len(rows) == 310 and len(grey) == 4
    assert set(folder.grey) == grey and len(folder) == 306
    sizes = {
        row["file"].rpartition(".")[0]: (int(row["height"]), int(row["width"]))
        for row in rows
    }
    for i in range(0, len(folder), 30):
        assert folder.reference(i)["size"] == sizes[folder.example_id(i)]


def test_two_endings_of_one_name_are_two_pictures_on_one_side(tmp_path):
    for i in range(12):
        add(tmp_path, f"IMG_{i}.jpg", value=i)
        add(tmp_path, f"IMG_{i}.png", value=100 + i)
    add(tmp_path, "other.png")
    parts = [
        ids(PictureFolder(tmp_path, split, validation_fraction=0.3))
        for split in ("train", "validation")
    ]
    names = [name for part in parts for name in part]
    assert len(names) == 25 and "IMG_0.jpg" in names and "other" in names
    stems = [{name.partition(".")[0] for name in part} for part in parts]
    assert all(stems) and not stems[0] & stems[1]
    everything = PictureFolder(tmp_path, "all")
    reds = [everything[i]["image"][0, 0, 0] for i in range(2)]
    assert abs(int(reds[0])) < 10 and reds[1] == 100


def test_every_common_ending_is_read(tmp_path):
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:, 10:] = (200, 100, 20)
    for ending in ("jpg", "jpeg", "png", "webp", "avif", "tif", "bmp"):
        if ending == "avif" and not cv2.haveImageWriter("a.avif"):
            continue
        cv2.imwrite(str(tmp_path / f"{ending}.{ending}"), colours)
    for ending in ("jfif", "jpe", "JPG"):
        (tmp_path / f"a.{ending}").write_bytes((tmp_path / "jpg.jpg").read_bytes())
    folder = PictureFolder(tmp_path, "all")
    assert len(folder) == len(list(tmp_path.glob("*.*")))
    for i in range(len(folder)):
        centre = folder[i]["image"][10, 20].astype(int)
        assert np.abs(centre - (20, 100, 200)).max() <= 8, folder.example_id(i)


def test_films_are_split_by_folder_where_that_is_asked_for(tmp_path):
    for film in range(8):
        for frame in range(3):
            add(tmp_path, f"film_{film}/{frame}.png", value=film)
    parts = [
        ids(PictureFolder(tmp_path, split, 0.3, split_by="folder"))
        for split in ("train", "validation")
    ]
    films = [{name.partition("/")[0] for name in part} for part in parts]
    assert all(films) and not films[0] & films[1]
