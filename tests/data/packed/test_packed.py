"""Packed datasets: read back to the bit, from many threads, and nothing broken goes unseen."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from uvim_fsq.data.base import Source
from uvim_fsq.data.coco.source import CocoPanopticFolder
from uvim_fsq.data.folders.pictures import PictureFolder
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.images import read_image
from uvim_fsq.data.packed.pack import Changes, pack
from uvim_fsq.data.packed.source import Records
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.types import Category

pytest.importorskip("array_record")

CATEGORIES = (
    Category(1, "person", True, (220, 20, 60)),
    Category(184, "tree-merged", False, (107, 142, 35)),
)
SIZES = [(24, 32), (33, 17), (20, 20)]


class Mixed:
    """Pictures of several sizes, JPEG and PNG files, with depth and panoptic labels."""

    def __init__(self, folder, count, categories=CATEGORIES, start=0):
        self.categories = categories
        self.numbers = range(start, start + count)
        self.files = [self.write(folder, number) for number in self.numbers]

    def write(self, folder, number):
        height, width = SIZES[number % 3]
        generator = np.random.default_rng(number)
        colours = generator.integers(0, 256, (4, 4, 3), np.uint8)
        picture = cv2.resize(colours, (width, height))
        file = folder / f"{number:03d}.{'png' if number % 4 == 3 else 'jpg'}"
        cv2.imwrite(str(file), picture[..., 0] if number % 5 == 4 else picture)
        return file

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = read_image(self.files[index])
        generator = np.random.default_rng((1, self.numbers[index]))
        depth = generator.uniform(0, 10, image.shape[:2]).astype(np.float32)
        depth[:2] = 0
        panoptic = np.zeros(image.shape[:2], np.int32)
        panoptic[:8], panoptic[8:16, :9] = 0xABCDEF, 7
        panoptic[-1, -1] = 99
        segments = [
            {"id": i, "category_id": c, "iscrowd": crowd, "area": (panoptic == i).sum()}
            for i, c, crowd in [(0xABCDEF, 184, 0), (7, 1, 1), (99, 1, 0)]
        ]
        return {
            "image": image,
            "depth": depth,
            "panoptic": panoptic,
            "segments": segments,
            "id": self.example_id(index),
        }

    def reference(self, index):
        example = self[index]
        return {**example, "size": example["image"].shape[:2]}

    def example_id(self, index):
        return f"pictures/{self.numbers[index]:03d}ü"

    def image_file(self, index):
        return self.files[index]


class Undocumented(Mixed):
    """The same without saying where the pictures' files are."""

    image_file = None  # type: ignore[assignment]


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype
            assert found[name].flags.writeable and found[name].flags.aligned
            np.testing.assert_array_equal(found[name], value)
        else:
            assert found[name] == value


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def parts(pictures):
    return {
        "train": Mixed(pictures, 23),
        "validation": Mixed(pictures, 4, start=23),
    }


@pytest.fixture(scope="module")
def packed(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "a" / "packed"
    assert pack(parts, path, shard_length=8) == path
    return path


@pytest.fixture
def copy(packed, tmp_path):
    """A packed folder to spoil."""
    path = tmp_path / "copy"
    path.mkdir()
    for file in packed.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def test_examples_are_the_same_to_the_bit(parts, packed):
    for part, source in parts.items():
        records = Records(packed, part)
        assert isinstance(records, Source)
        assert len(records) == len(source)
        assert records.categories == CATEGORIES
        for i in range(len(source)):
            assert_same(records[i], source[i])
            assert_same(records.reference(i), source.reference(i))
            assert records.example_id(i) == source.example_id(i)
    assert sorted(p.name for p in packed.iterdir()) == [
        "index.json",
        "train-00000-of-00003.array_record",
        "train-00001-of-00003.array_record",
        "train-00002-of-00003.array_record",
        "validation-00000-of-00001.array_record",
    ]


def test_all_parts_in_one(parts, packed):
    everything = Records(packed, "all")
    assert len(everything) == 27
    assert_same(everything[22], parts["train"][22])
    assert_same(everything[23], parts["validation"][0])
    with pytest.raises(IndexError, match="example 27 of 27"):
        everything[27]
    with pytest.raises(IndexError):
        everything[-1]


def stored(path, number):
    return Records(path, "train")._records[number]


def test_jpeg_files_are_copied_as_they_are(parts, packed, tmp_path):
    source = parts["train"]
    for number in (0, 4):  # 4 is grey
        assert source.files[number].read_bytes() in stored(packed, number)
    assert source.files[3].suffix == ".png"
    assert source[3]["image"].tobytes() in stored(packed, 3)


def a_folder_of(kind, root):
    """A source of two JPEG files."""
    places = {"frames": "rgb", "coco": "images", "pictures": "."}
    labels = {"frames": "depth", "coco": "panoptic", "pictures": None}[kind]
    for i in (1, 2):
        colours = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
        file = root / places[kind] / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), cv2.resize(colours, (16, 12)))
        if labels:
            (root / labels).mkdir(exist_ok=True)
            shape = (12, 16) if labels == "depth" else (12, 16, 3)
            zeros = np.zeros(shape, np.uint16 if labels == "depth" else np.uint8)
            cv2.imwrite(str(root / labels / f"{i}.png"), zeros)
    if kind == "frames":
        return RgbdFolder(root, "all")
    if kind == "pictures":
        return PictureFolder(root, "all")
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 12, "width": 16}
            for i in (1, 2)
        ],
        "annotations": [
            {"image_id": i, "file_name": f"{i}.png", "segments_info": []}
            for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "sky", "isthing": 0, "color": [1, 2, 3]}],
    }
    (root / "panoptic.json").write_text(json.dumps(content))
    return CocoPanopticFolder(root, "all")


@pytest.mark.parametrize("kind", ["frames", "coco", "pictures"])
def test_folders_name_the_files_to_copy(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))
    source = a_folder_of(kind, tmp_path / "data")
    path = pack({"train": source}, tmp_path / "packed")
    for i in range(2):
        record = Records(path)._records[i]
        assert source.image_file(i).read_bytes() in record
        assert_same(Records(path)[i], source[i])


def test_a_jpeg_that_decodes_otherwise_is_stored_as_an_array(pictures, tmp_path):
    class Inverted(Mixed):
        def __getitem__(self, index):
            example = super().__getitem__(index)
            return {**example, "image": 255 - example["image"]}

    source = Inverted(pictures, 2)
    records = Records(pack({"train": source}, tmp_path / "packed"))
    assert_same(records[0], source[0])


def test_sources_without_files_are_packed_too(pictures, tmp_path):
    source = Undocumented(pictures, 5)
    records = Records(pack({"train": source}, tmp_path / "packed"))
    for i in range(5):
        assert_same(records[i], source[i])


def test_many_threads_read_at_once(parts, packed):
    records = Records(packed, "all")
    sources = [*map(parts["train"].__getitem__, range(23))]
    sources += [*map(parts["validation"].__getitem__, range(4))]
    order = np.random.default_rng(0).integers(0, 27, 3000)

    def differs(i):
        found = records[i]
        return any(
            not np.array_equal(found[name], sources[i][name])
            for name in ("image", "depth", "panoptic")
        )

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(differs, order.tolist()))


def test_pickled_records_read_on(parts, packed):
    records = Records(packed)
    assert_same(records[1], parts["train"][1])
    again = pickle.loads(pickle.dumps(records))
    assert_same(again[1], parts["train"][1])


def test_smaller_training_pictures(parts, tmp_path):
    path = pack(parts, tmp_path / "small", Changes(max_side=16))
    small = Records(path, "train").reference(0)
    whole = parts["train"][0]
    assert small["size"] == small["image"].shape[:2] == (12, 16)
    means = whole["image"].astype(float).reshape(12, 2, 16, 2, 3).mean((1, 3))
    assert np.abs(small["image"] - means).max() <= 0.5
    np.testing.assert_array_equal(small["depth"], whole["depth"][1::2, 1::2])
    assert small["depth"].dtype == np.float32
    for segment in small["segments"]:
        assert segment["area"] == (small["panoptic"] == segment["id"]).sum() > 0
    assert [s["id"] for s in small["segments"]] == [0xABCDEF, 7, 99]
    assert Records(path, "train")[1]["image"].shape == (16, 8, 3)
    assert_same(Records(path, "validation")[0], parts["validation"][0])
    tiny = pack({"train": parts["train"]}, tmp_path / "tiny", Changes(max_side=3))
    example = Records(tiny)[0]
    ids = {segment["id"] for segment in example["segments"]}
    assert (
        ids == set(np.unique(example["panoptic"]).tolist()) - {0} != {0xABCDEF, 7, 99}
    )
    (said,) = json.loads((tiny / "index.json").read_text())["changes"]
    assert "at most 3 pixels" in said


def test_jpeg_and_millimetres_when_asked_for(parts, pictures, tmp_path):
    source = Undocumented(pictures, 4)
    changes = Changes(jpeg_quality=90, millimetres=True)
    example = Records(pack({"train": source}, tmp_path / "p", changes))[0]
    expected = source[0]
    assert 0 < np.abs(example["image"].astype(int) - expected["image"]).mean() < 8
    millimetres = example["depth"] * np.float32(1000)
    np.testing.assert_allclose(millimetres, np.rint(millimetres), atol=1e-3)
    assert 0 < np.abs(example["depth"] - expected["depth"]).max() <= 0.00051
    assert example["depth"].dtype == np.float32
    np.testing.assert_array_equal(example["panoptic"], expected["panoptic"])


def test_changes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        Changes(max_side=0)
    with pytest.raises(ValueError, match="from 1 to 100, got 101"):
        Changes(jpeg_quality=101)


def test_nothing_is_overwritten(parts, packed, tmp_path):
    with pytest.raises(DataError, match="exists and is not overwritten"):
        pack(parts, packed)
    with pytest.raises(ValueError, match="named train or validation"):
        pack({"test": parts["train"]}, tmp_path / "x")


class Failing(Mixed):
    """Breaks off at one example; counts what is read."""

    fails_at = 13
    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if index == self.fails_at:
            raise DataError("this one is broken")
        return super().__getitem__(index)


def test_an_interrupted_packing_goes_on(pictures, tmp_path):
    source = Failing(pictures, 20)
    path = tmp_path / "packed"
    with pytest.raises(DataError, match="this one is broken"):
        pack({"train": source}, path, shard_length=5, threads=1)
    assert not path.exists()
    with pytest.raises(DataError, match="with other settings"):
        pack({"train": source}, path, Changes(max_side=9), shard_length=5)
    source.reads, source.fails_at = 0, -1
    told = []
    pack({"train": source}, path, shard_length=5, progress=told.append)
    # Two of four files, and three examples to see that the source is the same.
    assert source.reads == 10 + 3 and sum(told) == 20
    assert sorted(p.name for p in tmp_path.iterdir()) == ["packed"]
    records = Records(path)
    for i in range(20):
        assert_same(records[i], source[i])


@pytest.mark.parametrize("change", ["unit", "index", "file"])
def test_an_interrupted_packing_goes_on_with_the_same_source_only(tmp_path, change):
    frames = tmp_path / "frames"
    for name in ("rgb", "depth"):
        (frames / name).mkdir(parents=True)
        for i in range(12):
            values = np.full((4, 6), 1000 + i, np.uint16)
            cv2.imwrite(str(frames / name / f"{i:02d}.png"), values)

    def source(units=1000.0):
        return RgbdFolder(frames, "all", units, cache_dir=tmp_path / "cache")

    def pack_some(units=1000.0, progress=lambda count: None):
        return pack(
            {"train": source(units)},
            tmp_path / "out",
            shard_length=2,
            progress=progress,
        )

    done = []

    def stop(count):
        done.append(count)
        if len(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_some(progress=stop)
    if change == "index":  # of a frame whose values are not looked at
        (frames / "index.csv").write_text("name,units_per_metre\n08,5000\n")
    elif change == "file":
        cv2.imwrite(str(frames / "depth" / "08.png"), np.full((4, 6), 7, np.uint16))
    with pytest.raises(DataError, match="other settings or files that have changed"):
        pack_some(5000.0 if change == "unit" else 1000.0)
    if change == "unit":
        packed = Records(pack_some())
        assert len(packed) == 12 and packed[11]["depth"].max() == np.float32(1.011)


def test_what_cannot_be_stored_is_named(pictures, tmp_path):
    class Odd(Mixed):
        extra: object = np.array([None])

        def __getitem__(self, index):
            return {**super().__getitem__(index), "extra": self.extra}

    source = Odd(pictures, 1)
    with pytest.raises(DataError, match="'pictures/000ü' has arrays of objects"):
        pack({"train": source}, tmp_path / "a")
    Odd.extra = {1, 2}
    with pytest.raises(DataError, match="set cannot be stored"):
        pack({"train": source}, tmp_path / "b")
    other = Mixed(pictures, 1, categories=CATEGORIES[:1])
    with pytest.raises(DataError, match="differ in their categories"):
        pack({"train": source, "validation": other}, tmp_path / "c")


def test_a_full_disk_is_one_sentence(pictures, tmp_path, monkeypatch):
    from array_record.python import array_record_module as module

    class Full(module.ArrayRecordWriter):
        def __init__(self, path, options):
            super().__init__("/dev/full", options)

    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(module, "ArrayRecordWriter", Full)
    with pytest.raises(DataError, match="No space left on device.*goes on from there"):
        pack({"train": Mixed(pictures, 2)}, tmp_path / "packed")


def edit(path, **changes):
    file = path / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_folders_that_are_not_packed(copy, tmp_path):
    with pytest.raises(DataError, match="is not a folder; expected a packed folder"):
        Records(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no index.json"):
        Records(tmp_path / "empty")
    with pytest.raises(ValueError, match="split must be"):
        Records(copy, "test")
    edit(copy, version=2)
    with pytest.raises(DataError, match="packed in format 2.*reads up to 1"):
        Records(copy)
    edit(copy, format="else")
    with pytest.raises(BrokenFileError, match="not the index of a packed folder"):
        Records(copy)
    (copy / "index.json").write_text("[1")
    with pytest.raises(BrokenFileError, match="not the index of a packed folder"):
        Records(copy)


def test_a_part_that_was_not_packed(pictures, tmp_path):
    path = pack({"validation": Mixed(pictures, 2)}, tmp_path / "packed")
    with pytest.raises(DataError, match="without a part 'train'; it has validation"):
        Records(path)
    assert len(Records(path, "all")) == 2


def test_missing_and_short_files_are_all_named(copy):
    first = copy / "train-00000-of-00003.array_record"
    first.write_bytes(first.read_bytes()[:-100])
    (copy / "train-00002-of-00003.array_record").unlink()
    with pytest.raises(DataError) as caught:
        Records(copy)
    assert "train-00000-of-00003.array_record has" in str(caught.value)
    assert "train-00002-of-00003.array_record is missing" in str(caught.value)
    Records(copy, "validation")


def test_files_outside_of_the_folder_are_not_read(copy, tmp_path):
    """An index of a stranger's, whose path would be there."""
    file = copy / "train-00000-of-00003.array_record"
    file.rename(tmp_path / "stolen")
    index = json.loads((copy / "index.json").read_text())
    shards = index["parts"]["train"]["shards"]
    for name in ("../stolen", str(tmp_path / "stolen")):
        shards[0]["file"] = name
        edit(copy, parts=index["parts"])
        with pytest.raises(DataError, match="stolen' leads out of its folder"):
            Records(copy)


def test_no_damage_goes_unseen(copy, parts):
    file = copy / "train-00001-of-00003.array_record"
    whole = file.read_bytes()
    expected = [parts["train"][8 + i] for i in range(8)]
    broken = []
    for place in range(100, len(whole), 601):
        data = bytearray(whole)
        data[place] ^= 255
        file.write_bytes(data)
        records = Records(copy)
        for i in range(8):
            try:
                assert_same(records[8 + i], expected[i])
            except BrokenFileError as error:
                assert error.path == file and "record " in str(error)
                broken.append(i)
    assert set(broken) == set(range(8))


def test_a_file_of_another_packing_is_refused(copy):
    file = copy / "train-00000-of-00003.array_record"
    file.write_bytes((copy / "train-00001-of-00003.array_record").read_bytes())
    index = json.loads((copy / "index.json").read_text())
    index["parts"]["train"]["shards"][0]["bytes"] = file.stat().st_size
    edit(copy, **index)
    with pytest.raises(BrokenFileError, match="008ü'.*'pictures/000ü'"):
        Records(copy)[0]


def test_a_missing_package_is_named(packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python.array_record_module", None)
    with pytest.raises(DataError, match="pip install array-record"):
        Records(packed)


def test_no_tensorflow(packed):
    code = (
        "import sys; from uvim_fsq.data.packed.source import Records; "
        f"Records({str(packed)!r})[0]; print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
