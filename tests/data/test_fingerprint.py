"""What identifies a set of examples: neither where it lies, nor what is in its files in full."""

import importlib.util
import json
import shutil

import cv2
import numpy as np
import pytest

from uvim_fsq.data.coco.source import CocoPanopticFolder
from uvim_fsq.data.fingerprint import Fingerprint, fingerprint, read_fingerprint
from uvim_fsq.data.folders import rgbd
from uvim_fsq.data.folders.nyu_h5 import NyuH5Folder
from uvim_fsq.data.folders.pictures import PictureFolder
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.packed.pack import pack
from uvim_fsq.data.packed.source import Records
from uvim_fsq.data.scenes import source as scenes
from uvim_fsq.data.scenes.source import Scenes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))


def pixels(i, channels=3):
    return np.random.default_rng(i).integers(1, 256, (12, 16, channels), np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


def frames(root, count=6):
    for i in range(count):
        save(root / "rgb" / f"{i}.png", pixels(i))
        save(root / "depth" / f"{i}.png", np.full((12, 16), 900 + i, np.uint16))
    return lambda path: RgbdFolder(path, "all")


def pictures(root):
    for i in range(6):
        save(root / "a" / f"{i}.png", pixels(i))
    return lambda path: PictureFolder(path, "all")


def coco(root):
    ids = np.zeros((12, 16, 3), np.uint8)
    ids[:, :8, 2] = 1  # Id 1: OpenCV writes blue first.
    for i in range(6):
        save(root / "images" / f"{i}.png", pixels(i))
        save(root / "panoptic" / f"{i}.png", ids)
    segment = {"id": 1, "category_id": 1, "iscrowd": 0, "area": 96}
    shape = {"height": 12, "width": 16}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", **shape} for i in range(6)],
        "annotations": [
            {"image_id": i, "file_name": f"{i}.png", "segments_info": [segment]}
            for i in range(6)
        ],
        "categories": [
            {"id": c, "name": f"c{c}", "isthing": 0, "color": [c, 2, 3]} for c in (1, 2)
        ],
    }
    (root / "panoptic.json").write_text(json.dumps(content))
    return lambda path: CocoPanopticFolder(path, "all")


def hdf5(root):
    h5py = pytest.importorskip("h5py")
    for i in range(6):
        path = root / "train" / "kitchen" / f"{i}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["rgb"] = pixels(i).transpose(2, 0, 1)
            file["depth"] = np.full((12, 16), 1.5, np.float32)
    return lambda path: NyuH5Folder(path, "all")


def packed(root):
    if importlib.util.find_spec("array_record") is None:
        pytest.skip("array-record is not installed")
    open_ = frames(root.with_name("unpacked"))
    pack({"train": open_(root.with_name("unpacked"))}, root)
    return lambda path: Records(path, "all")


@pytest.mark.parametrize("make", [frames, pictures, coco, hdf5, packed])
def test_the_same_data_elsewhere_are_the_same(make, tmp_path):
    open_ = make(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = (fingerprint(open_(tmp_path / p)) for p in ("here", "there"))
    assert here.digest == there.digest and here.difference(there) == ""
    assert here.count == 6 and len(set(here.lines)) == 6
    assert str(tmp_path) not in "".join(here.lines)


def test_nothing_is_decoded(tmp_path, monkeypatch):
    source = frames(tmp_path / "data")(tmp_path / "data")
    monkeypatch.setattr(rgbd, "_read_pair", None)
    assert fingerprint(source).count == 6


def test_what_is_missing_new_or_changed_is_named(tmp_path):
    open_ = frames(tmp_path / "data", 12)
    before = fingerprint(open_(tmp_path / "data"))
    for i in (3, 4, 5, 6):
        for part in ("rgb", "depth"):
            (tmp_path / "data" / part / f"{i}.png").unlink()
    save(tmp_path / "data" / "rgb" / "new.png", pixels(20))
    save(tmp_path / "data" / "depth" / "new.png", np.full((12, 16), 1, np.uint16))
    save(tmp_path / "data" / "rgb" / "7.png", np.full((12, 16, 3), 9, np.uint8))
    now = fingerprint(open_(tmp_path / "data"))
    assert before.difference(now) == (
        "12 examples then and 9 now: 4 missing (3, 4, 5, ...), 1 new (new), 1 changed (7)"
    )


def test_units_categories_and_versions_count(tmp_path, monkeypatch):
    open_ = frames(tmp_path / "data")
    before = fingerprint(open_(tmp_path / "data"))
    (tmp_path / "data" / "index.csv").write_text("name,units_per_metre\n2,500\n")
    changed = before.difference(fingerprint(open_(tmp_path / "data")))
    assert changed.endswith("1 changed (2)")

    open_ = coco(tmp_path / "coco")
    before = fingerprint(open_(tmp_path / "coco"))
    index = tmp_path / "coco" / "panoptic.json"
    content = json.loads(index.read_text())
    content["annotations"][4]["segments_info"][0]["category_id"] = 2
    index.write_text(json.dumps(content))
    changed = before.difference(fingerprint(open_(tmp_path / "coco")))
    assert changed.endswith("1 changed (4)")

    before = fingerprint(Scenes((16, 16), 4))
    assert fingerprint(Scenes((16, 16), 4)).digest == before.digest
    assert fingerprint(Scenes((16, 16), 4, split="test")).digest != before.digest
    monkeypatch.setattr(scenes, "GENERATOR_VERSION", scenes.GENERATOR_VERSION + 1)
    assert "4 changed" in before.difference(fingerprint(Scenes((16, 16), 4)))


def test_of_tfds_the_version_and_the_place_count(read_tfds):
    source = read_tfds("nyu_depth_v2")
    found = fingerprint(source)
    assert found.count == len(source) and len(set(found.lines)) == found.count
    assert all("nyu_depth_v2/0.0.1" in line for line in found.lines)
    assert found.lines[0].endswith("\ttrain/000000")
    part = fingerprint(read_tfds("nyu_depth_v2", "train[1:]"))
    assert part.lines == found.lines[1:]


def test_order_and_odd_names(tmp_path):
    one = Fingerprint(["5\ta", "7\tb\\nc", "9\tnot UTF-8 \udcff"])
    other = Fingerprint(one.lines[::-1])
    assert one.difference(other).endswith("the same in another order")
    one.write(tmp_path / "names.gz")
    first = (tmp_path / "names.gz").read_bytes()
    read = read_fingerprint(tmp_path / "names.gz")
    assert read.digest == one.digest and read.lines == one.lines
    one.write(tmp_path / "names.gz")
    assert (tmp_path / "names.gz").read_bytes() == first


def test_sources_of_other_people_and_large_ones():
    class Many:
        categories = ()

        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            raise AssertionError("nothing is decoded")

        def reference(self, index):
            raise AssertionError("nothing is decoded")

        def example_id(self, index):
            return f"line\n{index}"

    found = fingerprint(Many())
    assert found.count == 10_000 and found.lines[-1] == "\tline\\n9999"
    assert fingerprint(Many()).lines[1:4:2] == ["\tline\\n1", "\tline\\n3"]
