"""COCO's panoptic files: what is written is read, and what is wrong is named."""

import json
import os
import re

import cv2
import numpy as np
import pytest

from uvim_fsq.data.coco.format import (
    CocoAnnotation,
    CocoImage,
    describe,
    read_index,
    read_predictions,
    write_index,
)
from uvim_fsq.data.coco.png import read_ids, write_ids
from uvim_fsq.data.segments import LARGEST_ID, check_ids, count_pixels, with_areas
from uvim_fsq.errors import BrokenFileError, DataError
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


NAN = float("nan")
NULL = object()


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
    path.write_text(json.dumps(content(**changes), default=lambda _: None))
    return path


def with_segment(**changes):
    """Annotations whose first segment is changed; `None` takes a key away, NULL makes it null."""
    changed = {k: v for k, v in (FILLED[0] | changes).items() if v is not None}
    segment = {k: None if v is NULL else v for k, v in changed.items()}
    entry = {"image_id": 7, "file_name": "7.png", "segments_info": [segment]}
    return {"annotations": [entry]}


def with_image(**changes):
    return {"images": [content()["images"][0] | changes]}


def with_file(name, **changes):
    return {
        "annotations": [content()["annotations"][0] | changes | {"file_name": name}]
    }


def with_category(**changes):
    first = content()["categories"][0]
    return {"categories": [first, *content()["categories"][1:], first | changes]}


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
    assert read_predictions(path, CATEGORIES).annotations == found.annotations


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
        (np.zeros((2, 3, 4), np.uint16), "a.png", "found 16-bit RGBA"),
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


def test_alpha_means_nothing(tmp_path):
    """Editors save RGBA; what is transparent there keeps its id."""
    write_ids(tmp_path / "a.png", IDS)
    colours = cv2.imread(str(tmp_path / "a.png"))
    alpha = np.array([[255, 0, 128, 1], [0, 255, 0, 7]], np.uint8)
    cv2.imwrite(str(tmp_path / "b.png"), np.dstack([colours, alpha]))
    assert (tmp_path / "b.png").read_bytes()[25] == 6
    np.testing.assert_array_equal(read_ids(tmp_path / "b.png"), IDS)


def test_pixels_are_counted_at_every_run():
    assert count_pixels(IDS) == {0: 2, 5: 3, 70000: 2, LARGEST_ID: 1}
    noise = np.random.default_rng(0).integers(0, 4, (9, 11)).astype(np.int32)
    assert count_pixels(noise) == {i: int((noise == i).sum()) for i in range(4)}


def test_areas_are_those_of_the_png():
    """Stated ones must agree: PQ takes them from the JSON. Others are counted."""
    counts = count_pixels(IDS)
    assert with_areas(SEGMENTS[1:], counts, "a.png") == [
        {"id": 5, "category_id": 184, "area": 3},
        {"id": LARGEST_ID, "category_id": 1, "area": 1},
    ]
    assert with_areas(FILLED, counts, "a.png") == FILLED
    stale = [FILLED[0], {**FILLED[1], "area": 4}]
    with pytest.raises(
        BrokenFileError,
        match=r"a\.png: its segment 5 has 3 pixels, and the JSON says `area` 4: write",
    ):
        with_areas(stale, counts, "a.png")
    with pytest.raises(BrokenFileError, match="segment 5 has 3 pixels"):
        check_ids(IDS, [*stale, FILLED[2]], "a.png")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (with_segment(category_id=3), "70000 of .*image 7 is of category 3, which is"),
        (with_segment(category_id=None), "70000 of .*image 7 lacks `category_id`"),
        (with_segment(area=0), "`area` of segment 70000 .*, at least 1, found 0"),
        (with_segment(area=-5), "`area` of segment 70000 .*, at least 1, found -5"),
        (with_segment(area=NAN), "`area` of segment 70000 .* found nan"),
        (with_segment(area=float("inf")), "`area` of .* found inf"),
        (with_segment(area=2.5), r"`area` of .* whole number.* found 2\.5"),
        (with_segment(area=[2]), r"`area` of .* found \[2\]"),
        (with_segment(iscrowd=2), "`iscrowd` of segment 70000 .* 0 or 1, found 2"),
        (with_segment(iscrowd=NULL), "`iscrowd` of .* must be 0 or 1, found None"),
        (with_segment(id=0), "must be a whole number, 1 to 16777215, found 0"),
        (with_segment(id=2**24), "1 to 16777215, found 16777216"),
        (with_segment(id=True), "`id` of a segment of .*image 7 .* found True"),
        (with_segment(id="a"), "`id` of a segment of .*image 7 .* found 'a'"),
        ({"annotations": content()["annotations"] * 2}, "annotation of image 7 is lis"),
        ({"images": content()["images"] * 2}, "^image 7 is listed twice"),
        ({"images": []}, "image 7, which is not among `images`"),
        ({"images": [{"id": 7, "file_name": "7.jpg"}]}, "image 7 lacks `height`"),
        (with_image(height=NAN), "`height` of image 7 .* found nan"),
        (with_image(width=0), "`width` of image 7 .*at least 1, found 0"),
        (with_image(file_name="../7.jpg"), r"'\.\./7\.jpg' leads out of its folder"),
        (with_image(file_name="/etc/7.jpg"), "leads out of its folder"),
        (with_image(file_name="a\0b.jpg"), "x00b.jpg' is no name of a file"),
        (with_image(file_name=5), "`file_name` of image 7 .* 5 is no string"),
        (
            with_file("a/../../7.png"),
            "`file_name` of the annotation of image 7 .*leads",
        ),
        (with_file("\ud800.png"), "is no name of a file"),
        (with_file("a" * 256), "longer than the 255 bytes"),
        (with_file("7.png", segments_info=3), "must be a list, found 3"),
        (with_file("7.png", segments_info=[3]), "a segment of .* an object, found 3"),
    ],
)
def test_what_is_wrong_with_one_image_is_its_problem(tmp_path, changes, message):
    """The others are used with `--skip-broken`."""
    good = {"id": 8, "file_name": "8.jpg", "height": 2, "width": 4}
    entry = {"image_id": 8, "file_name": "8.png", "segments_info": FILLED}
    changes = content(**changes)
    changes["images"] = [*changes["images"], good]
    changes["annotations"] = [entry, *changes["annotations"]]
    index = read_index(index_file(tmp_path, **changes))
    assert index.problems.keys() == {7}
    assert re.search(message, index.problems[7]), index.problems[7]
    assert index.annotations == {8: CocoAnnotation("8.png", FILLED)}
    assert list(index.images) == [8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": None}, "with the list `categories`, found images, ann"),
        ({"images": [7]}, "an image must be an object, found 7"),
        ({"images": [{"id": NULL}]}, "`id` of an image .* string, found None"),
        ({"annotations": [{"id": 7}]}, "an annotation lacks `image_id`: it has id"),
        (with_category(), "category 1 is listed twice"),
        (with_category(id=2), "categories 1 and 2 are both called 'person': give each"),
        (with_category(id=-1, name="x"), "`id` of a category .* found -1"),
        (with_category(id=2, name="a\0"), r"`name` of category 2 .* found 'a\\x00'"),
        (with_category(id=2, name=NULL), "`name` of category 2 .* found None"),
        (with_category(id=2, name="x", isthing=NULL), "2 needs `isthing`.*boxes"),
        (with_category(id=2, name="x", isthing=2), "must be 0 or 1, found 2"),
        (with_category(id=2, name="x", color=[1, 2]), "must be RGB"),
        (with_category(id=2, name="x", color=[1, 2, NAN]), "must be RGB"),
        ({"categories": [5]}, "a category must be an object, found 5"),
    ],
)
def test_what_is_wrong_with_all_raises(tmp_path, changes, message):
    with pytest.raises(DataError, match=f"index.json: .*{message}"):
        read_index(index_file(tmp_path, **changes))


def test_what_other_tools_write_is_read(tmp_path):
    """Numbers as floats and text, a first category 0, keys that lack or are not known, a BOM."""
    segments = [
        {"id": "70000", "category_id": 0.0, "iscrowd": "1", "area": "2", "note": []},
        {"id": 5.0, "category_id": "184", "iscrowd": False},
        {"id": LARGEST_ID, "category_id": 0},
    ]
    image = {"id": "7", "file_name": "7.jpg", "height": 2.0, "width": "4", "date": 1}
    entry = {"image_id": 7, "file_name": "7.png", "segments_info": segments}
    categories = [
        {"id": 0, "name": "wall", "isthing": False, "color": [1.0, 2, "3"]},
        {"id": 184.0, "name": "tree", "isthing": "1", "color": None},
    ]
    path = tmp_path / "index.json"
    whole = {"images": [image], "annotations": [entry], "categories": categories}
    path.write_text(json.dumps(whole), "utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    index = read_index(path)
    assert index.problems == {} and index.doubled == []
    assert [c[:3] for c in index.categories] == [
        (0, "wall", False),
        (184, "tree", True),
    ]
    assert index.categories[0].color == (1, 2, 3)
    assert index.images == {7: CocoImage("7.jpg", 2, 4)}
    assert index.annotations[7].segments == [
        {"id": 70000, "category_id": 0, "iscrowd": 1, "area": 2},
        {"id": 5, "category_id": 184, "iscrowd": 0},
        {"id": LARGEST_ID, "category_id": 0, "iscrowd": 0},
    ]


def test_ids_of_images_that_are_names_stay_names(tmp_path):
    """COCO's padded names are not its numbers."""
    images = [{**content()["images"][0], "id": name} for name in ("007", "b 7", 8.0)]
    index = read_index(index_file(tmp_path, images=images, annotations=[]))
    assert list(index.images) == ["007", "b 7", 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found no JSON"),
        ("", "found no JSON"),
        ("[]", "`images`, found no object"),
        ("{}", "`images`, found nothing"),
        ("[" * 100_000, "found no JSON"),
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
    """Entries that say the same are one; of others the last counts, and the area is counted."""
    one = {"id": 5, "category_id": 184, "area": 3}
    entry = {"image_id": 7, "file_name": "7.png", "segments_info": [one, one]}
    index = read_predictions(index_file(tmp_path, annotations=[entry]), CATEGORIES)
    assert index.annotations[7].segments == [{**one, "iscrowd": 0}]
    assert index.doubled == []
    entry["segments_info"] = [one, FILLED[0], {**one, "category_id": 1}]
    index = read_predictions(index_file(tmp_path, annotations=[entry]), CATEGORIES)
    last = {"id": 5, "category_id": 1, "iscrowd": 0}
    assert index.annotations[7].segments == [last, FILLED[0]]
    assert index.doubled == [
        "segment 5 of the annotation of image 7, of category 184 and then 1"
    ]


def test_categories_without_colour_get_their_own(tmp_path):
    rows = [{"id": i, "name": str(i), "isthing": 1} for i in range(1, 30)]
    path = index_file(tmp_path, categories=rows, annotations=[])
    colors = [category.color for category in read_index(path).categories]
    assert len(set(colors)) == len(colors)
    assert colors == [category.color for category in read_index(path).categories]
