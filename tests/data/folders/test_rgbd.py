"""RGB-D folders: layouts, splits, units, and everything wrong named at once."""

import json
import logging
import os
import time

import cv2
import numpy as np
import pytest

from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def add(root, name, size=(12, 16), suffix=".png", depth=1500):
    """Write one picture with its depth map; the picture's red is the depth in decimetres."""
    (root / "rgb" / name).parent.mkdir(parents=True, exist_ok=True)
    (root / "depth" / name).parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((*size, 3), (0, 0, depth // 100), np.uint8)
    cv2.imwrite(str(root / "rgb" / f"{name}{suffix}"), picture)
    millimetres = np.full(size, depth, np.uint16)
    millimetres[0, 0] = 0
    cv2.imwrite(str(root / "depth" / f"{name}.png"), millimetres)


@pytest.fixture
def frames(tmp_path):
    root = tmp_path / "frames"
    for i in range(20):
        add(root, f"{i:03d}", depth=1000 + 100 * i)
    return root


def test_examples_have_picture_depth_and_id(frames):
    folder = RgbdFolder(frames, split="all")
    assert len(folder) == 20
    example = folder[7]
    assert example["id"] == folder.example_id(7) == "007"
    assert example["image"].dtype == np.uint8 and example["depth"].dtype == np.float32
    assert example["image"][3, 4].tolist() == [17, 0, 0]
    np.testing.assert_allclose(example["depth"][3, 4], 1.7, rtol=1e-6)
    assert example["depth"][0, 0] == 0
    reference = folder.reference(7)
    assert reference["size"] == (12, 16) and reference["id"] == "007"
    np.testing.assert_array_equal(reference["depth"], example["depth"])


def test_pictures_and_depth_of_different_kinds_match_by_name(tmp_path):
    root = tmp_path / "frames"
    add(root, "a.b.1", suffix=".JPG")
    add(root, "scene/b")
    (root / "depth" / "scene" / "b.png").unlink()
    depth = np.full((12, 16), 2.5, np.float64)
    depth[0] = np.nan
    np.save(root / "depth" / "scene" / "b.npy", depth)
    (root / "rgb" / "Thumbs.db").touch()
    (root / "rgb" / "._a.b.1.jpg").touch()
    folder = RgbdFolder(root, split="all")
    assert [folder.example_id(i) for i in range(2)] == ["a.b.1", "scene/b"]
    assert folder[1]["depth"][0].max() == 0 and folder[1]["depth"][1:].min() == 2.5


def ids(folder):
    return [folder.example_id(i) for i in range(len(folder))]


def test_hash_split_is_the_same_everywhere(frames):
    validation = ids(RgbdFolder(frames, "validation", validation_fraction=0.2))
    # Those whose `printf 000 | sha256sum` begins below 0x33, a fifth of 0x100.
    assert validation == ["000", "010", "015"]
    train = ids(RgbdFolder(frames, "train", validation_fraction=0.2))
    assert sorted(train + validation) == ids(RgbdFolder(frames, "all"))
    for i in range(20, 40):
        add(frames, f"{i:03d}")
    more = ids(RgbdFolder(frames, "validation", validation_fraction=0.2))
    assert [name for name in more if int(name) < 20] == validation


@pytest.mark.parametrize("fraction", [0.0001, 0.9999])
def test_hash_split_leaves_neither_side_empty(frames, fraction):
    sizes = [
        len(RgbdFolder(frames, split, validation_fraction=fraction))
        for split in ("train", "validation")
    ]
    assert sorted(sizes) == [1, 19]


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_parts_are_the_split(tmp_path, name):
    root = tmp_path / "frames"
    for i in range(3):
        add(root / "train", f"{i}")
    add(root / name, "0", size=(8, 8))
    assert ids(RgbdFolder(root, "train")) == ["train/0", "train/1", "train/2"]
    assert ids(RgbdFolder(root, "validation")) == [f"{name}/0"]
    assert len(RgbdFolder(root, "all")) == 4


def test_train_part_alone_is_split_by_hash(tmp_path):
    root = tmp_path / "frames"
    for i in range(6):
        add(root / "train", f"{i}")
    train, validation = RgbdFolder(root, "train"), RgbdFolder(root, "validation")
    assert len(train) + len(validation) == 6 and len(validation) >= 1
    assert not set(ids(train)) & set(ids(validation))


def test_validation_part_alone_cannot_train(tmp_path):
    root = tmp_path / "frames"
    add(root / "val", "0")
    assert ids(RgbdFolder(root, "validation")) == ["val/0"]
    with pytest.raises(DataError, match="no train/"):
        RgbdFolder(root, "train")


def test_units_per_metre_of_the_folder_and_of_single_files(frames):
    folder = RgbdFolder(frames, "all", units_per_metre=500.0)
    np.testing.assert_allclose(folder[0]["depth"].max(), 2.0)
    (frames / "index.csv").write_text("name,units_per_metre,x\n001,5000,a\n002,,b\n")
    folder = RgbdFolder(frames, "all", units_per_metre=500.0)
    np.testing.assert_allclose(folder[0]["depth"].max(), 2.0)
    np.testing.assert_allclose(folder.reference(1)["depth"].max(), 1100 / 5000)
    np.testing.assert_allclose(folder[2]["depth"].max(), 1200 / 500)
    (frames / "index.csv").write_text("name,units_per_metre\n001,millimetres\n")
    with pytest.raises(DataError, match="'millimetres', expected a positive number"):
        RgbdFolder(frames, "all")
    for value in ("1e300", "1e-300"):  # of which float32 makes infinite depth, or none
        (frames / "index.csv").write_text(f"name,units_per_metre\n001,{value}\n")
        with pytest.raises(DataError, match="1 row cannot be used"):
            RgbdFolder(frames, "all")
    with pytest.raises(ValueError, match="must be positive"):
        RgbdFolder(frames, "all", units_per_metre=0.0)


def spoil(frames):
    """Break eight of the twenty examples, each in another way."""
    (frames / "depth" / "000.png").unlink()
    (frames / "rgb" / "001.png").unlink()
    data = (frames / "rgb" / "002.png").read_bytes()
    (frames / "rgb" / "002.png").write_bytes(data[:-20])
    data = (frames / "depth" / "003.png").read_bytes()
    (frames / "depth" / "003.png").write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(frames / "depth" / "004.png"), np.ones((12, 15), np.uint16))
    cv2.imwrite(str(frames / "depth" / "005.png"), np.ones((12, 16), np.uint8))
    (frames / "rgb" / "006.png").write_text("no picture")
    cv2.imwrite(str(frames / "rgb" / "007.jpg"), np.ones((12, 16, 3), np.uint8))
    return {
        "000": "no depth map has its name",
        "001": "no image has its name",
        "002": "the PNG is truncated",
        "003": "the PNG is truncated",
        "004": "its size, 12 x 15, is not that of its picture 004.png, 12 x 16",
        "005": "found 8 bits",
        "006": "not a picture",
        "007": "another file, 007.jpg, has its name",
    }


def test_everything_wrong_is_named_at_once(frames):
    reasons = spoil(frames)
    with pytest.raises(DataError) as caught:
        RgbdFolder(frames, "train")
    message = str(caught.value)
    assert "8 of 2" in message and "--skip-broken" in message
    for name, reason in reasons.items():
        lines = [line for line in message.splitlines() if f"{name}." in line]
        assert len(lines) == 1 and reason in lines[0]


def test_skip_broken_leaves_them_out_and_says_so(frames, caplog):
    reasons = spoil(frames)
    with caplog.at_level(logging.WARNING):
        folder = RgbdFolder(frames, "all", skip_broken=True)
    # The second file of one name is left out, the example stays.
    assert ids(folder) == sorted({f"{i:03d}" for i in range(7, 20)})
    assert len(folder.skipped) == len(reasons) == 8
    assert "left out 8 of" in caplog.text
    assert folder[0]["image"][3, 4].tolist() == [1, 1, 1]
    assert folder[1]["image"][3, 4].tolist() == [18, 0, 0]


def test_long_lists_are_cut(frames):
    for i in range(15):
        (frames / "depth" / f"{i:03d}.png").unlink()
    with pytest.raises(DataError, match="15 of 20(.|\n)*009(.|\n)*and 5 more$"):
        RgbdFolder(frames, "train")


def test_paths_that_are_no_dataset(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a folder with rgb/"):
        RgbdFolder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        RgbdFolder(tmp_path / "file")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="expected rgb/ and depth/.*found nothing"):
        RgbdFolder(empty)
    (empty / "rgb").mkdir()
    with pytest.raises(DataError, match="expected rgb/ and depth/.*found rgb"):
        RgbdFolder(empty)
    (empty / "depth").mkdir()
    with pytest.raises(DataError, match="hold no images and no depth maps"):
        RgbdFolder(empty)
    (tmp_path / "parts" / "train" / "rgb").mkdir(parents=True)
    with pytest.raises(DataError, match="found nothing|found rgb"):
        RgbdFolder(tmp_path / "parts")


def test_empty_part_is_an_error(tmp_path):
    add(tmp_path / "one", "a")
    counts = []
    for split in ("train", "validation"):
        try:
            counts.append(len(RgbdFolder(tmp_path / "one", split)))
        except DataError as error:
            assert f"the part {split!r} is empty" in str(error)
    assert counts == [1]


def scan_file(cache):
    (file,) = cache.iterdir()
    return file


def test_scan_is_remembered_until_a_file_changes(frames, cache, monkeypatch):
    RgbdFolder(frames, "all")
    before = scan_file(cache).stat().st_mtime_ns
    looked = []
    from uvim_fsq.data.folders import rgbd as module

    read = module._read_pair
    monkeypatch.setattr(
        module, "_read_pair", lambda files: looked.append(files) or read(files)
    )
    assert (
        len(RgbdFolder(frames, "train")) + len(RgbdFolder(frames, "validation")) == 20
    )
    assert not looked and scan_file(cache).stat().st_mtime_ns == before
    add(frames, "004", size=(20, 10))
    later = time.time_ns() + 10**9
    os.utime(frames / "rgb" / "004.png", ns=(later, later))
    folder = RgbdFolder(frames, "all")
    assert [files[0].stem for files in looked] == ["004"]
    assert folder.reference(4)["size"] == (20, 10)


def test_scan_of_one_part_does_not_forget_the_other(tmp_path, cache):
    root = tmp_path / "frames"
    add(root / "train", "0")
    add(root / "val", "0")
    for split in ("train", "validation", "train"):
        RgbdFolder(root, split)
    entries = json.loads(scan_file(cache).read_text())["entries"]
    assert sorted(entries) == ["train/0", "val/0"]


def test_broken_files_are_looked_at_again(frames):
    data = (frames / "rgb" / "002.png").read_bytes()
    (frames / "rgb" / "002.png").write_bytes(data[:-20])
    for _ in range(2):
        with pytest.raises(DataError, match=r"002\.png"):
            RgbdFolder(frames, "all")
    (frames / "rgb" / "002.png").write_bytes(data)
    assert len(RgbdFolder(frames, "all")) == 20


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"version": 1, "entries": 3}'])
def test_spoilt_memory_of_the_scan_does_no_harm(frames, cache, content):
    RgbdFolder(frames, "all")
    scan_file(cache).write_text(content)
    assert len(RgbdFolder(frames, "all")) == 20
    assert len(json.loads(scan_file(cache).read_text())["entries"]) == 20


def test_unwritable_cache_does_no_harm(frames, tmp_path, caplog):
    (tmp_path / "file").touch()
    folder = RgbdFolder(frames, "all", cache_dir=tmp_path / "file")
    assert len(folder) == 20 and "not kept" in caplog.text


def test_dangling_link_is_named(frames):
    (frames / "rgb" / "000.png").unlink()
    (frames / "rgb" / "000.png").symlink_to(frames / "nowhere.png")
    with pytest.raises(DataError, match=r"000\.png: there is no such file"):
        RgbdFolder(frames, "all")


def test_real_nyu_frames(real_data):
    path = real_data("nyu_labeled/train")
    train, validation = RgbdFolder(path, "train"), RgbdFolder(path, "validation")
    assert len(train) + len(validation) == 795 and 60 <= len(validation) <= 100
    depth = train[0]["depth"]
    assert depth.shape == (240, 320) and 0.3 < depth.min() < depth.max() < 10
    test = RgbdFolder(path.parent, "validation")
    assert len(test) == 40 and test.reference(0)["size"] == (480, 640)


def test_real_frames_of_several_cameras(real_data):
    folder = RgbdFolder(real_data("rgbd_metric"), "all")
    assert len(folder) == 16
    by_id = {folder.example_id(i): folder[i]["depth"] for i in range(len(folder))}
    # Rows of index.csv: in millimetres, and with 5000 units a metre.
    for name, low, high in [
        ("metric3d_nyu_00000", 1.390, 6.625),
        ("slambook2_tum_1", 0.969, 8.564),
    ]:
        depth = by_id[name]
        assert (
            abs(depth[depth > 0].min() - low) < 1e-3 and abs(depth.max() - high) < 1e-3
        )
        assert (depth == 0).mean() > 0.1


@pytest.mark.parametrize(
    "table",
    [
        "name,units_per_metre\n{0}.png,5000\n{1},5000\n",
        "Name,Units_per_Metre\n{0},5000\nrgb/{1}.png,5000\n",
        "x;units per meter; name\na;5000;{0}\nb;5000;depth/{1}.png\n",
        "\ufeffname\tunits-per-metre\n{0}\t5000\n\n{1}\t5000\n",
    ],
)
def test_units_are_applied_however_the_table_is_written(frames, table):
    (frames / "index.csv").write_text(table.format("000", "001"), "utf-8")
    folder = RgbdFolder(frames, "all")
    found = [folder[i]["depth"].max() for i in range(3)]
    np.testing.assert_allclose(found, [0.2, 0.22, 1.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,scale\n000,5000\n", "columns name and units_per_metre, found 'file,sc"),
        ("000,5000\n", "expected a header with the columns name and units_per_metre"),
        ("", "expected a header"),
        ("name,units_per_metre\nkitchen,5000\n", "line 2, 'kitchen': no frame has"),
        ("name,units_per_metre\n,5000\n", "line 2, '': no frame has this name"),
        ("name,units_per_metre\n000,-1\n", "line 2, 000: .* is '-1', expected a pos"),
        ("name,units_per_metre\n000,1\n000.png,2\n", "line 3.*another unit further up"),
    ],
)
def test_units_that_cannot_be_applied_are_refused(frames, table, said):
    (frames / "index.csv").write_text(table)
    with pytest.raises(DataError, match=f"(?s)index.csv: .*{said}"):
        RgbdFolder(frames, "all")


def test_units_are_looked_for_in_each_part(tmp_path, caplog):
    root = tmp_path / "frames"
    add(root / "train", "0")
    add(root / "val", "0")
    (root / "val" / "Index.csv").write_text("name,units_per_metre\n0,500\n")
    (root / "index.csv").write_text("split,name\nval,0\n")
    folder = RgbdFolder(root, "all")
    assert [folder[i]["depth"].max() for i in range(2)] == [1.5, 3.0]
    assert "passed by index.csv, which has no column units_per_metre" in caplog.text
    (root / "index.csv").write_text("name,units_per_metre\nval/0,500\n")
    with pytest.raises(DataError, match="move it there"):
        RgbdFolder(root, "all")


def test_a_unit_that_is_given_holds_for_floats_too(frames):
    (frames / "depth" / "000.png").unlink()
    np.save(frames / "depth" / "000.npy", np.full((12, 16), 2250.0))
    given = RgbdFolder(frames, "all", units_per_metre=1000.0)
    assert given[0]["depth"].max() == 2.25 and "depth_limit" not in given[0]
    assert given[1]["depth_limit"] == pytest.approx(65.535)
    assert RgbdFolder(frames, "all")[0]["depth"].max() == 2250


@pytest.mark.parametrize("split_by", ["folder", "file"])
def test_frames_of_one_folder_stay_together(tmp_path, split_by):
    for scene in range(12):
        for frame in range(4):
            add(tmp_path, f"scene_{scene}/{frame}", size=(4, 4))
    add(tmp_path, "alone", size=(4, 4))
    parts = [
        ids(RgbdFolder(tmp_path, split, validation_fraction=0.3, split_by=split_by))
        for split in ("train", "validation")
    ]
    assert len(parts[0]) + len(parts[1]) == 49 and all(parts)
    scenes = [{name.rpartition("/")[0] for name in part} for part in parts]
    assert bool(scenes[0] & scenes[1]) == (split_by == "file")


def test_parts_inside_rgb_and_depth_are_the_split(tmp_path):
    for name in ("train/0", "train/1", "Val/2"):
        add(tmp_path, name)
    assert ids(RgbdFolder(tmp_path, "train")) == ["train/0", "train/1"]
    assert ids(RgbdFolder(tmp_path, "validation")) == ["Val/2"]
    assert len(RgbdFolder(tmp_path, "all")) == 3


def turned_frame(root, orientation, size, upright):
    """A frame whose photograph has a bright corner where its depth is near, and is to be turned."""
    from PIL import Image

    from uvim_fsq.data.orientation import turn

    stored = np.full(size, 200, np.uint8)
    stored[: size[0] // 2, : size[1] // 2] = 20
    depth = np.where(stored < 100, 1000, 3000).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("rgb", "depth"):
        (root / name).mkdir(parents=True)
    image = Image.fromarray(np.stack([stored] * 3, axis=-1))
    image.save(root / "rgb" / "0.jpg", exif=exif, quality=95)
    cv2.imwrite(
        str(root / "depth" / "0.png"), turn(depth, orientation) if upright else depth
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_depth_is_turned_with_its_photograph(tmp_path, orientation, size):
    turned_frame(tmp_path, orientation, size, upright=False)
    example = RgbdFolder(tmp_path, "all").reference(0)
    near = example["depth"] < 2
    assert near.mean() == 0.25
    np.testing.assert_array_equal(example["image"][..., 0] < 100, near)
    assert example["size"] == (size if orientation < 5 else size[::-1])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_depth_that_lies_as_the_photograph_is_seen_is_left(tmp_path, orientation):
    """Where height and width are exchanged, the size tells."""
    turned_frame(tmp_path, orientation, (16, 24), upright=True)
    example = RgbdFolder(tmp_path, "all")[0]
    np.testing.assert_array_equal(example["image"][..., 0] < 100, example["depth"] < 2)


def test_what_lies_there_is_said_where_nothing_belongs_together(tmp_path):
    add(tmp_path, "1305031102.175304")
    (tmp_path / "rgb" / "1305031102.175304.png").rename(
        tmp_path / "rgb" / "1305031102.160407.png"
    )
    with pytest.raises(
        DataError, match=r"found 1 image \(rgb/1305031102.16.*none of which belong"
    ):
        RgbdFolder(tmp_path)
    (tmp_path / "depth" / "1305031102.175304.png").rename(tmp_path / "depth" / "1.jpg")
    with pytest.raises(DataError, match="found 1 image .* and 0 depth maps, none of"):
        RgbdFolder(tmp_path)
