"""COCO's panoptic files: what is written is read, and what is wrong is named."""

import json
import os

import cv2
import numpy as np
import pytest

from uvim_fsq.data.coco_format import (
    LARGEST_ID,
    CocoAnnotation,
    CocoImage,
    check_ids,
    describe,
    read_ids,
    read_index,
    read_predictions,
    write_ids,
    write_index,
)
from uvim_fsq.data.errors import BrokenFileError, DataError
from uvim_fsq.types import Category

CATEGORIES = (
    Category(1, "person", True, (220, 20, 60)),
    Category(184, "tree", False, (0, 130, 0)),
)
IDS = np.array([[0, 5, 5, 70000], [0, 5, LARGEST_ID, 70000]], np.int32)
SEGMENTS = [
    {"id": 70000, "category_id": 1, "iscrowd": 1},
    {"id": 5, "category_id": 184},
    {"id": LARGEST_ID, "category_id": 1},
]
FILLED = [
    {"id": 70000, "category_id": 1, "iscrowd": 1, "area": 2},
    {"id": 5, "category_id": 184, "iscrowd": 0, "area": 3},
    {"id": LARGEST_ID, "category_id": 1, "iscrowd": 0, "area": 1},
]


def content(**changes):
    """A small ground truth as JSON."""
    return {
        "images": [{"id": 7, "file_name": "7.jpg", "height": 2, "width": 4}],
        "annotations": [{"image_id": 7, "file_name": "7.png", "segments_info": FILLED}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1, "color": [220, 20, 60]},
            {"id": 184, "name": "tree", "isthing": 0, "color": [0, 130, 0]},
        ],
        **changes,
    }


def index_file(tmp_path, **changes):
    path = tmp_path / "index.json"
    path.write_text(json.dumps(content(**changes)))
    return path


def with_segment(**changes):
    """Annotations whose first segment is changed; `None` takes a key away."""
    segment = {k: v for k, v in (FILLED[0] | changes).items() if v is not None}
    entry = {"image_id": 7, "file_name": "7.png", "segments_info": [segment]}
    return {"annotations": [entry]}


def test_written_files_are_read(tmp_path):
    path = tmp_path / "new" / "panoptic.json"
    images = {7: CocoImage("7.jpg", 2, 4), "b_8": CocoImage("8.jpg", 2, 2)}
    annotations = {7: ("7.png", describe(IDS, SEGMENTS))}
    write_index(path, CATEGORIES, images, annotations)
    write_ids(tmp_path / "new" / "7.png", IDS)
    found = read_index(path)
    assert found.categories == CATEGORIES
    assert found.images == images
    assert found.annotations == {7: CocoAnnotation("7.png", FILLED)}
    ids = read_ids(tmp_path / "new" / "7.png")
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, IDS)
    assert sorted(os.listdir(tmp_path / "new")) == ["7.png", "panoptic.json"]
    assert read_predictions(path, CATEGORIES) == found.annotations


def test_red_is_the_lowest_byte(tmp_path):
    write_ids(tmp_path / "a.png", np.array([[1 + 2 * 256 + 3 * 65536]]))
    blue_green_red = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert blue_green_red.tolist() == [[[3, 2, 1]]]


def test_boxes_are_left_top_width_height():
    found = {each["id"]: each["bbox"] for each in describe(IDS, SEGMENTS)}
    assert found == {70000: [3, 0, 1, 2], 5: [1, 0, 2, 2], LARGEST_ID: [2, 1, 1, 1]}


def test_descriptions_of_real_pictures_are_the_official_ones(real_data):
    path = real_data("coco_panoptic") / "panoptic.json"
    index = read_index(path)
    entries = json.loads(path.read_text())["annotations"]
    assert len(entries) == 65 and len(index.categories) == 133
    for entry in entries:
        ids = read_ids(path.parent / "panoptic" / entry["file_name"])
        size = index.images[entry["image_id"]]
        check_ids(ids, entry["segments_info"], path, (size.height, size.width))
        assert describe(ids, entry["segments_info"]) == entry["segments_info"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_ids(path, IDS)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_ids(path, IDS + 1 - IDS)
    np.testing.assert_array_equal(read_ids(path), IDS)
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.parametrize("bad", [IDS - 1, IDS + 1, np.zeros((0, 4), np.int32)], ids=str)
def test_ids_that_do_not_fit_are_not_written(tmp_path, bad):
    with pytest.raises(ValueError, match="segment ids from 0 to 16777215"):
        write_ids(tmp_path / "a.png", bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("picture", "name", "message"),
    [
        (np.zeros((2, 3), np.uint8), "a.png", "found 8-bit grey"),
        (np.zeros((2, 3), np.uint16), "a.png", "found 16-bit grey"),
        (np.zeros((2, 3, 4), np.uint8), "a.png", "found 8-bit RGBA"),
        (np.zeros((2, 3, 3), np.uint16), "a.png", "found 16-bit RGB"),
        (np.zeros((2, 3, 3), np.uint8), "a.jpg", "found another format"),
    ],
)
def test_other_pictures_are_refused(tmp_path, picture, name, message):
    cv2.imwrite(str(tmp_path / name), picture)
    with pytest.raises(
        BrokenFileError, match=f"{name}: expected an 8-bit RGB.*{message}"
    ):
        read_ids(tmp_path / name)


def test_a_palette_is_refused(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(IDS.astype(np.uint8)).convert("P").save(tmp_path / "a.png")
    with pytest.raises(BrokenFileError, match="found 8-bit palette; save it as plain"):
        read_ids(tmp_path / "a.png")


def test_damaged_pngs_are_refused(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(BrokenFileError, match="no such file"):
        read_ids(path)
    write_ids(path, IDS)
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    with pytest.raises(BrokenFileError, match="truncated"):
        read_ids(path)
    middle = data.index(b"IDAT") + 8
    path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(BrokenFileError, match="a checksum does not match"):
        read_ids(path)


def test_png_and_json_must_tell_of_the_same():
    check_ids(IDS, SEGMENTS, "a.png", (2, 4))
    for segments, message in (
        (SEGMENTS[1:], r"1 in the PNG that the JSON lacks \(70000\)"),
        ([*SEGMENTS, {"id": 9}], r"1 in the JSON that the PNG lacks \(9\)"),
        ([{"id": 9}], "3 in the PNG .* and 1 in the JSON"),
    ):
        with pytest.raises(BrokenFileError, match=f"a.png: its segment ids.*{message}"):
            check_ids(IDS, segments, "a.png")
    with pytest.raises(BrokenFileError, match="size, 2 x 4, is not .* 4 x 2"):
        check_ids(IDS, SEGMENTS, "a.png", (4, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, "with the list `categories`, found images, ann"),
        (with_segment(category_id=3), "70000 of image 7 is of category 3, which is"),
        (with_segment(category_id=None), "70000 of image 7 lacks `category_id`"),
        (with_segment(area=None), "segment 70000 of image 7 lacks `area`"),
        (with_segment(area=0), "must have an area of at least 1"),
        (with_segment(iscrowd=2), "must be 0 or 1"),
        (with_segment(id=0), "must have an id from 1 to 16777215"),
        (with_segment(id="a"), "`id` of a segment of image 7 must be int, found 'a'"),
        ({"annotations": content()["annotations"] * 2}, "image 7 is listed twice"),
        ({"images": content()["images"] * 2}, "image 7 is listed twice"),
        ({"images": []}, "image 7, which is not among `images`"),
        ({"images": [{"id": 7, "file_name": "7.jpg"}]}, "image 7 lacks `height`"),
        ({"images": [7]}, "an image must be an object, found 7"),
        ({"categories": content()["categories"] * 2}, "category 1 is listed twice"),
        ({"categories": [{"id": 1, "name": "person"}]}, "`isthing`.*boxes"),
        ({"categories": [{"id": 0, "name": "x", "isthing": 0}]}, "0 is void"),
        (
            {"categories": [{"id": 1, "name": "x", "isthing": 0, "color": [1, 2]}]},
            "must be RGB",
        ),
        (
            {"annotations": [{"image_id": 7, "file_name": "a", "segments_info": 3}]},
            "must be list",
        ),
    ],
)
def test_wrong_entries_are_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=f"index.json: .*{message}"):
        read_index(index_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found no JSON"),
        ("", "found no JSON"),
        ("[]", "`images`, found no object"),
        ("{}", "`images`, found nothing"),
    ],
)
def test_files_that_are_no_such_json(tmp_path, text, message):
    path = tmp_path / "a.json"
    with pytest.raises(BrokenFileError, match="no such file"):
        read_index(path)
    path.write_text(text)
    with pytest.raises(BrokenFileError, match=message):
        read_index(path)


def test_a_segment_listed_twice(tmp_path):
    """Entries that say the same are one; others contradict each other."""
    one = {"id": 5, "category_id": 184}
    entry = {"image_id": 7, "file_name": "7.png", "segments_info": [one, one]}
    path = index_file(tmp_path, annotations=[entry])
    found = read_predictions(path, CATEGORIES)[7].segments
    assert found == [{"id": 5, "category_id": 184, "iscrowd": 0}]
    entry["segments_info"] = [one, {**one, "category_id": 1}]
    with pytest.raises(DataError, match="segment 5 of image 7 is listed twice"):
        read_predictions(index_file(tmp_path, annotations=[entry]), CATEGORIES)


def test_categories_without_colour_get_their_own(tmp_path):
    rows = [{"id": i, "name": str(i), "isthing": 1} for i in range(1, 30)]
    path = index_file(tmp_path, categories=rows, annotations=[])
    colors = [category.color for category in read_index(path).categories]
    assert len(set(colors)) == len(colors)
    assert colors == [category.color for category in read_index(path).categories]
