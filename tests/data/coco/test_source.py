"""Folders in COCO's panoptic format: layouts, splits, everything wrong named at once."""

import gc
import json
import os
import shutil
import time

import cv2
import numpy as np
import pytest

from uvim_fsq.data.base import Source
from uvim_fsq.data.coco import source as module
from uvim_fsq.data.coco.png import read_ids, write_ids
from uvim_fsq.data.coco.source import CocoPanopticFolder
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category

CATEGORIES = [
    {"id": 3, "name": "cat", "isthing": 1, "color": [255, 0, 0]},
    {"id": 90, "name": "grass", "isthing": 0, "color": [0, 255, 0]},
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))


def segment_ids(size=(12, 16)):
    """Void above, segment 70000 (grass) below, in it the cat 7 and the crowd of cats 256."""
    ids = np.zeros(size, np.int32)
    ids[2:], ids[4:6, 2:5], ids[8:9, 1:] = 70000, 7, 256
    return ids


def write(pictures, panoptic, index, names, categories=None, size=(12, 16)):
    """A dataset whose n-th picture has the red n."""
    pictures.mkdir(parents=True, exist_ok=True)
    panoptic.mkdir(parents=True, exist_ok=True)
    ids = segment_ids(size)
    rows = {7: (3, 0), 256: (3, 1), 70000: (90, 0)}
    content = {"images": [], "annotations": [], "categories": categories or CATEGORIES}
    for number, name in enumerate(names):
        cv2.imwrite(str(pictures / name), np.full((*size, 3), (0, 0, number), np.uint8))
        png = f"{name.rpartition('.')[0]}.png"
        write_ids(panoptic / png, ids)
        image = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        content["images"].append(image)
        segments = [
            {
                **{"id": row, "category_id": category, "iscrowd": crowd},
                **{"area": int((ids == row).sum()), "bbox": [0, 0, 1, 1]},
            }
            for row, (category, crowd) in rows.items()
        ]
        content["annotations"].append(
            {"image_id": number, "file_name": png, "segments_info": segments}
        )
    index.write_text(json.dumps(content))


def write_own(root, names, **options):
    folders = root / "images", root / "panoptic", root / "panoptic.json"
    write(*folders, names, **options)


def write_official(root, part, names, **options):
    index = root / "annotations" / f"panoptic_{part}.json"
    write(root / part, index.with_suffix(""), index, names, **options)


def change(index):
    """A context manager for what a JSON holds."""

    class Change:
        def __enter__(self):
            self.content = json.loads(index.read_text())
            return self.content

        def __exit__(self, *_):
            index.write_text(json.dumps(self.content))

    return Change()


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "coco"
    write_own(root, [f"{i:03d}.png" for i in range(20)])
    return root


def ids(folder):
    return [folder.example_id(i) for i in range(len(folder))]


def test_examples_have_picture_segments_and_id(dataset):
    folder = CocoPanopticFolder(dataset, "all")
    assert isinstance(folder, Source) and len(folder) == 20
    assert folder.categories == (
        Category(3, "cat", True, (255, 0, 0)),
        Category(90, "grass", False, (0, 255, 0)),
    )
    example = folder[7]
    assert example["id"] == folder.example_id(7) == "007"
    assert example["image"].dtype == np.uint8 and example["panoptic"].dtype == np.int32
    assert example["image"][3, 4].tolist() == [7, 0, 0]
    np.testing.assert_array_equal(example["panoptic"], segment_ids())
    assert example["segments"] == [
        {"id": 7, "category_id": 3, "iscrowd": 0, "area": 6},
        {"id": 256, "category_id": 3, "iscrowd": 1, "area": 15},
        {"id": 70000, "category_id": 90, "iscrowd": 0, "area": 12 * 16 - 32 - 6 - 15},
    ]
    example["segments"][0]["id"] = 1  # an example is the caller's own
    reference = folder.reference(7)
    assert reference["size"] == (12, 16) and reference["segments"][0]["id"] == 7
    np.testing.assert_array_equal(reference["panoptic"], segment_ids())


def test_without_parts_the_split_is_by_hash(dataset):
    validation = ids(CocoPanopticFolder(dataset, "validation", validation_fraction=0.2))
    # Those whose `printf 000 | sha256sum` begins below 0x33, a fifth of 0x100.
    assert validation == ["000", "010", "015"]
    train = ids(CocoPanopticFolder(dataset, validation_fraction=0.2))
    assert sorted(train + validation) == ids(CocoPanopticFolder(dataset, "all"))


def test_parts_are_the_split(tmp_path):
    write_own(tmp_path / "train", ["b.png", "a.x.jpg"])
    write_own(tmp_path / "val", ["b.png"], size=(16, 12))
    assert ids(CocoPanopticFolder(tmp_path)) == ["train/b", "train/a.x"]
    validation = CocoPanopticFolder(tmp_path, "validation")
    assert ids(validation) == ["val/b"] and validation.reference(0)["size"] == (16, 12)
    assert ids(CocoPanopticFolder(tmp_path, "all")) == ["train/b", "train/a.x", "val/b"]


def test_the_official_layout(tmp_path):
    write_official(tmp_path, "train2017", ["01.jpg", "02.jpg"])
    write_official(tmp_path, "val2017", ["01.jpg"])
    assert ids(CocoPanopticFolder(tmp_path)) == ["train2017/01", "train2017/02"]
    assert ids(CocoPanopticFolder(tmp_path, "validation")) == ["val2017/01"]
    assert len(CocoPanopticFolder(tmp_path, "all")) == 3
    # The annotations of both parts are handed out together.
    shutil.rmtree(tmp_path / "train2017")
    assert ids(CocoPanopticFolder(tmp_path, "validation")) == ["val2017/01"]
    with pytest.raises(DataError, match="has val2017/ but no train2017/ to train on"):
        CocoPanopticFolder(tmp_path)
    panoptic = tmp_path / "annotations" / "panoptic_val2017"
    panoptic.rename(tmp_path / "other")
    with pytest.raises(DataError, match="no panoptic_val2017/ beside it: put its PNGs"):
        CocoPanopticFolder(tmp_path, "all")
    panoptic.with_suffix(".zip").touch()
    with pytest.raises(DataError, match=r"unpack panoptic_val2017\.zip there"):
        CocoPanopticFolder(tmp_path, "all")


def test_parts_must_have_the_same_categories(tmp_path):
    other = [{**CATEGORIES[1], "color": [9, 9, 9]}, CATEGORIES[0]]
    write_own(tmp_path / "train", ["a.png"])
    write_own(tmp_path / "val", ["b.png"], categories=other)
    assert len(CocoPanopticFolder(tmp_path, "all")) == 2
    for key, value in [("isthing", 0), ("name", "dog"), ("id", 4)]:
        other[1] = {**CATEGORIES[0], key: value}
        with change(tmp_path / "val" / "panoptic.json") as content:
            content["categories"] = other
            for each in content["annotations"]:
                each["segments_info"] = []
        with pytest.raises(DataError, match=r"val/pan.* that differ .*\(ids 3"):
            CocoPanopticFolder(tmp_path, "train")
    with pytest.raises(DataError, match="found 2 that differ"):
        CocoPanopticFolder(tmp_path, "all")


def test_pictures_without_annotation_are_not_used(dataset, caplog):
    with change(dataset / "panoptic.json") as content:
        del content["annotations"][4]
    (dataset / "images" / "unlisted.png").write_text("no picture")
    folder = CocoPanopticFolder(dataset, "all")
    assert folder.unlabelled == ["004"] and folder.skipped == []
    assert len(folder) == 19 and "004" not in ids(folder)
    assert "left out 1 of 20 pictures that have no annotation" in caplog.text


def spoil(root):
    """Break ten of the twenty pictures, each in another way."""
    images, panoptic = root / "images", root / "panoptic"
    (images / "000.png").unlink()
    (panoptic / "001.png").unlink()
    for path in (images / "002.png", panoptic / "003.png"):
        path.write_bytes(path.read_bytes()[:-20])
    painted = segment_ids()
    painted[5, 5] = 12
    write_ids(panoptic / "004.png", painted)
    write_ids(panoptic / "005.png", np.where(segment_ids() == 256, 0, segment_ids()))
    cv2.imwrite(str(panoptic / "006.png"), np.ones((12, 16), np.uint8))
    cv2.imwrite(str(images / "007.png"), np.ones((16, 12, 3), np.uint8))
    write_ids(panoptic / "008.png", segment_ids((12, 15)))
    with change(root / "panoptic.json") as content:
        content["images"][9]["height"] = 13
        content["images"][10]["file_name"] = "011.jpg"
    return {
        "images/000.png": "there is no such file",
        "panoptic/001.png": "there is no such file",
        "images/002.png": "the PNG is truncated",
        "panoptic/003.png": "the PNG is truncated",
        "panoptic/004.png": "1 in the PNG that the JSON lacks (12)",
        "panoptic/005.png": "1 in the JSON that the PNG lacks (256)",
        "panoptic/006.png": "expected an 8-bit RGB PNG",
        "images/007.png": "16 x 12, is not that in panoptic.json, 12 x 16",
        "panoptic/008.png": "12 x 15, is not that of its picture, 12 x 16",
        "images/009.png": "12 x 16, is not that in panoptic.json, 13 x 16",
        "image 11, 011.png": "has the name of another image",
    }


def test_everything_wrong_is_named_at_once(dataset, monkeypatch):
    from uvim_fsq.data import parts as splits

    reasons = spoil(dataset)
    monkeypatch.setattr(splits, "_LISTED", 20)
    with pytest.raises(DataError) as caught:
        CocoPanopticFolder(dataset)
    message = str(caught.value)
    # The picture 011.jpg is missing too.
    assert "12 of 20 examples" in message and "--skip-broken" in message
    for name, reason in reasons.items():
        (line,) = [line for line in message.splitlines() if name in line]
        assert reason in line, line


def test_long_lists_are_cut(dataset):
    spoil(dataset)
    with pytest.raises(DataError, match=r"12 of 20(.|\n)*and 2 more$"):
        CocoPanopticFolder(dataset)


def test_skip_broken_leaves_them_out_and_says_so(dataset, caplog):
    spoil(dataset)
    folder = CocoPanopticFolder(dataset, "all", skip_broken=True)
    assert ids(folder) == [f"{i:03d}" for i in range(12, 20)]
    assert len(folder.skipped) == 12 and "left out 12 of 20 examples" in caplog.text
    assert folder[0]["image"][3, 4].tolist() == [12, 0, 0]


@pytest.mark.parametrize("shape", [(12, 16), (12, 12)], ids=str)
@pytest.mark.parametrize("number", [1, 2, 3, 6, 7, 8])
def test_labels_turn_with_their_photograph(tmp_path, number, shape):
    """Both lie as the sensor saw it, and the JSON has that size; the red is on the cat."""
    from PIL import Image, ImageOps

    write_own(tmp_path, ["a.png", "b.png"], size=shape)
    red = np.zeros((*shape, 3), np.uint8)
    red[segment_ids(shape) == 7, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = number
    path = tmp_path / "images" / "a.png"
    Image.fromarray(red).save(path, exif=exif)
    seen = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    example = CocoPanopticFolder(tmp_path, "all").reference(0)
    np.testing.assert_array_equal(example["image"], seen)
    np.testing.assert_array_equal(example["panoptic"] == 7, seen[..., 0] == 255)
    assert example["size"] == seen.shape[:2]


def test_labels_of_the_turned_size_are_turned_already(tmp_path):
    from PIL import Image

    write_own(tmp_path, ["a.png", "b.png"])
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = Image.fromarray(np.zeros((16, 12, 3), np.uint8))
    sideways.save(tmp_path / "images" / "a.png", exif=exif)
    example = CocoPanopticFolder(tmp_path, "all")[0]
    np.testing.assert_array_equal(example["panoptic"], segment_ids())


def test_palette_png_is_refused(dataset):
    from PIL import Image

    path = dataset / "panoptic" / "003.png"
    Image.fromarray(segment_ids().astype(np.uint8)).convert("P").save(path)
    with pytest.raises(DataError, match=r"003\.png: expected an 8-bit RGB.*palette"):
        CocoPanopticFolder(dataset)


def _boxes(content):
    for each in content["categories"]:
        del each["isthing"]


def _one_name(content):
    content["categories"][1]["name"] = "cat"


def _no_list(content):
    del content["annotations"]


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [
        (_boxes, "category 3 needs `isthing`"),
        (_one_name, "categories 3 and 90 are both called 'cat'"),
        (_no_list, "with the list `annotations`, found images, categories"),
    ],
)
def test_a_json_that_is_wrong_as_a_whole_always_raises(dataset, mistake, reason):
    with change(dataset / "panoptic.json") as content:
        mistake(content)
    with pytest.raises(DataError, match="panoptic.json") as caught:
        CocoPanopticFolder(dataset, skip_broken=True)
    assert reason in str(caught.value)


def test_single_entries_of_the_json_are_left_out_with_skip_broken(dataset, caplog):
    with change(dataset / "panoptic.json") as content:
        entries, images = content["annotations"], content["images"]
        entries.append(entries[3])
        entries[4]["segments_info"][0]["category_id"] = 91
        entries[5]["segments_info"][1]["iscrowd"] = None
        entries[6]["segments_info"][2]["area"] = float("nan")
        entries[7]["segments_info"][0]["area"] += 1
        entries[8]["file_name"] = "../panoptic/008.png"
        images[9]["file_name"] = "/etc/passwd"
        images[10]["height"] = None
        del images[11]
    reasons = (
        "panoptic.json: the annotation of image 3 is listed twice",
        "is of category 91, which is not among `categories`",
        "`iscrowd` of segment 256 of the annotation of image 5 must be 0 or 1, found None",
        "`area` of segment 70000 of the annotation of image 6 must be a whole number",
        "007.png: its segment 7 has 6 pixels, and the JSON says `area` 7: write",
        "'../panoptic/008.png' leads out of its folder",
        "'/etc/passwd' leads out of its folder",
        "`height` of image 10 must be a whole number, at least 1, found None",
        "image 11, which is not among `images`",
    )
    with pytest.raises(DataError, match="9 of 20 examples") as caught:
        CocoPanopticFolder(dataset, "all")
    for reason in reasons:
        assert reason in str(caught.value)
    folder = CocoPanopticFolder(dataset, "all", skip_broken=True)
    assert ids(folder) == ["000", "001", "002", *(f"{i:03d}" for i in range(12, 20))]
    assert len(folder.skipped) == 9 and "left out 9 of 20 examples" in caplog.text


def test_areas_that_lack_are_counted(dataset):
    expected = CocoPanopticFolder(dataset, "all")[7]["segments"]
    with change(dataset / "panoptic.json") as content:
        for entry in content["annotations"]:
            for segment in entry["segments_info"]:
                del segment["area"], segment["bbox"]
    folder = CocoPanopticFolder(dataset, "all")
    assert folder[7]["segments"] == folder.reference(7)["segments"] == expected


def test_a_segment_of_two_categories_is_of_the_last(dataset, caplog):
    """As in ADE20K's conversion, where two of its stuff classes have one colour."""
    with change(dataset / "panoptic.json") as content:
        for entry in content["annotations"][:3]:
            grass = entry["segments_info"][2]
            grass["area"] -= 10
            entry["segments_info"].append({**grass, "category_id": 3, "area": 10})
    folder = CocoPanopticFolder(dataset, "all")
    assert len(folder) == 20 and folder.skipped == []
    assert folder[0]["segments"][2] == {
        **{"id": 70000, "category_id": 3, "iscrowd": 0},
        **{"area": 12 * 16 - 32 - 6 - 15},
    }
    assert "3 segments are listed twice and contradict themselves" in caplog.text
    assert (
        "segment 70000 of the annotation of image 0, of category 90 and" in caplog.text
    )


def test_files_of_another_ending_are_taken_and_told(dataset, caplog):
    (dataset / "images" / "003.png").rename(dataset / "images" / "003.webp")
    (dataset / "images" / "004.png").rename(dataset / "images" / "004.bmp")
    with change(dataset / "panoptic.json") as content:
        content["annotations"][5]["file_name"] = "005.jpg"
    folder = CocoPanopticFolder(dataset, "all")
    assert len(folder) == 20 and folder[3]["image"][3, 4].tolist() == [3, 0, 0]
    assert "images: took 2 files of another ending than the JSON names" in caplog.text
    assert "003.webp for 003.png" in caplog.text
    assert "panoptic: took 1 files of another ending" in caplog.text


def test_what_is_no_json(dataset):
    (dataset / "panoptic.json").write_text("{")
    with pytest.raises(DataError, match=r"panoptic\.json: .*found no JSON"):
        CocoPanopticFolder(dataset)
    assert gc.isenabled()


def test_paths_that_are_no_dataset(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a folder with ima"):
        CocoPanopticFolder(tmp_path / "none")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="expected images/, panoptic/.*found images"):
        CocoPanopticFolder(tmp_path)
    (tmp_path / "panoptic.json").write_text("{}")
    with pytest.raises(DataError, match="has panoptic.json but no panoptic/ beside it"):
        CocoPanopticFolder(tmp_path)
    write_own(tmp_path / "parts" / "val", ["a.png"])
    with pytest.raises(DataError, match="has val/ but no train/ to train on"):
        CocoPanopticFolder(tmp_path / "parts")


def test_scan_is_remembered_until_a_file_changes(dataset, monkeypatch):
    CocoPanopticFolder(dataset, "all")
    looked = []
    monkeypatch.setattr(
        module, "read_ids", lambda path: looked.append(path.stem) or read_ids(path)
    )
    CocoPanopticFolder(dataset, "train")
    CocoPanopticFolder(dataset, "validation")
    assert looked == []
    later = time.time_ns() + 10**9
    os.utime(dataset / "panoptic" / "004.png", ns=(later, later))
    CocoPanopticFolder(dataset, "all")
    assert looked == ["004"]
    with change(dataset / "panoptic.json") as content:
        content["annotations"][5]["segments_info"].pop()
    with pytest.raises(DataError, match=r"1 of 20(.|\n)*005\.png: its segment ids"):
        CocoPanopticFolder(dataset, "all")
    assert len(looked) == 21


def test_a_json_is_read_once_for_the_sources_in_use(dataset, monkeypatch):
    read = []
    read_index = module.read_index
    monkeypatch.setattr(
        module, "read_index", lambda path: read.append(path) or read_index(path)
    )
    train = CocoPanopticFolder(dataset, "train")
    validation = CocoPanopticFolder(dataset, "validation")
    assert len(read) == 1
    del train, validation
    gc.collect()
    CocoPanopticFolder(dataset, "train")
    assert len(read) == 2
    assert not module._indexes_in_use


def test_real_pictures(real_data):
    root = real_data("coco_panoptic")
    folder = CocoPanopticFolder(root, "all")
    assert len(folder) == 65 and len(folder.categories) == 133
    assert sum(each.isthing for each in folder.categories) == 80
    crowd = 0
    for i in range(len(folder)):
        reference = folder.reference(i)
        panoptic = reference["panoptic"]
        assert panoptic.shape == reference["image"].shape[:2] == reference["size"]
        numbers, areas = np.unique(panoptic[panoptic > 0], return_counts=True)
        stated = {each["id"]: each["area"] for each in reference["segments"]}
        assert stated == dict(zip(numbers.tolist(), areas.tolist(), strict=True))
        crowd += sum(each["iscrowd"] for each in reference["segments"])
    assert crowd == 12
    held_out = len(CocoPanopticFolder(root, "validation"))
    assert len(CocoPanopticFolder(root, "train")) + held_out == 65 and held_out >= 1
