"""Datasets that TFDS's real builders prepared from small archives."""

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from uvim_fsq.data.base import Source
from uvim_fsq.data.categories import COCO_CATEGORIES
from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import BrokenFileError, DataError

FORMATS = ("array_record", "tfrecord")
COCO, NYU, IMAGENET = "coco/2017_panoptic", "nyu_depth_v2", "imagenet2012"


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_nyu_gives_the_pixels_and_metres_of_its_files(
    tfds_data, read_tfds, split, file_format
):
    source = read_tfds(NYU, split, file_format)
    truth = list(tfds_data.truth[NYU][split].values())
    assert isinstance(source, Source) and len(source) == len(truth)
    assert source.categories == ()
    found = set()
    for i, example in enumerate(source[i] for i in range(len(source))):
        (k,) = (
            k for k, t in enumerate(truth) if (t["image"] == example["image"]).all()
        )
        found.add(k)
        half = truth[k]["depth"].astype(np.float16).astype(np.float32)
        assert example["depth"].dtype == np.float32
        np.testing.assert_array_equal(example["depth"], half)
        assert (example["depth"][:10] == 0).all()
        assert example["id"] == source.example_id(i) == f"{split}/{i:06d}"
        same(source.reference(i), {**example, "size": (480, 640)})
    assert found == set(range(len(truth)))


def test_areas_that_are_not_of_the_map_are_refused_where_they_count(
    read_tfds, monkeypatch
):
    """The builder takes them from the JSON, and panoptic quality believes them."""
    from uvim_fsq.data.tfds import source as tfds_source

    to_segments = tfds_source.to_segments

    def stale(*arguments):
        return [{**s, "area": s["area"] + 1} for s in to_segments(*arguments)]

    source = read_tfds(COCO, "validation")
    monkeypatch.setattr(tfds_source, "to_segments", stale)
    place = next(i for i in range(len(source)) if source[i]["segments"])
    with pytest.raises(
        DataError, match=r"its segment \d+ has \d+ pixels, and the JSON"
    ):
        source.reference(place)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_coco_gives_the_ids_of_the_pngs_and_the_segments_of_the_json(
    tfds_data, read_tfds, split, file_format
):
    source = read_tfds(COCO, split, file_format)
    truth = tfds_data.truth[COCO][split]
    assert source.categories == COCO_CATEGORIES
    assert {source.example_id(i) for i in range(len(source))} == set(truth)
    for i in range(len(source)):
        example, expected = source.reference(i), truth[source.example_id(i)]
        assert example["id"] == source.example_id(i)
        assert example["panoptic"].dtype == np.int32
        np.testing.assert_array_equal(example["panoptic"], expected["panoptic"])
        wanted = [
            {k: s[k] for k in ("id", "category_id", "iscrowd", "area")}
            for s in expected["segments"]
        ]
        assert example["segments"] == wanted
        for segment in example["segments"]:
            assert (example["panoptic"] == segment["id"]).sum() == segment["area"]
        jpeg = np.frombuffer(expected["jpeg"], np.uint8)
        shown = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(example["image"], shown)
        assert example["size"] == expected["panoptic"].shape
    examples = [source[i] for i in range(len(source))]
    assert sum(not e["segments"] for e in examples) == 1
    assert sum(s["iscrowd"] for e in examples for s in e["segments"]) == 1


def test_imagenet_has_names_with_and_without_ending(read_tfds):
    source = read_tfds(IMAGENET, "validation")
    assert set(source[0]) == {"image", "id"}
    names = {source.file_name(i) for i in range(len(source))}
    assert names == {f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 41)}
    assert f"{source[3]['id']}.JPEG" == source.file_name(3)


@pytest.mark.parametrize("name", [NYU, COCO, IMAGENET])
def test_both_formats_give_the_same_in_the_same_order(read_tfds, name):
    one, other = read_tfds(name), read_tfds(name, file_format="tfrecord")
    assert len(one) == len(other)
    for i in range(len(one)):
        same(one[i], other[i])


@pytest.mark.parametrize("file_format", FORMATS)
def test_slices_are_parts_of_the_whole_with_the_same_ids(read_tfds, file_format):
    for name in (NYU, COCO):
        whole = read_tfds(name, "train", file_format)
        count = len(whole)
        for split, rows in {
            "train[2:]": range(2, count),
            "train[:40%]": range(round(0.4 * count)),
            "train[-1:]": range(count - 1, count),
            "train[1:3]+train[:1]": [1, 2, 0],
        }.items():
            part = read_tfds(name, split, file_format)
            assert len(part) == len(rows)
            for i, row in enumerate(rows):
                assert part.example_id(i) == whole.example_id(row)
                same(part[i], whole[row])
    both = read_tfds(NYU, "train+validation", file_format)
    assert len(both) == 7 and both[6]["id"] == "validation/000001"
    assert len(read_tfds(NYU, "all", file_format)) == 7


def test_jpegs_are_those_of_the_accurate_transform(tfds_data, read_tfds):
    import tensorflow as tf

    source = read_tfds(COCO)
    for i in range(len(source)):
        jpeg = tfds_data.truth[COCO]["train"][source.example_id(i)]["jpeg"]
        exact = tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(source[i]["image"], exact.numpy())


def test_agrees_with_the_data_source_of_tfds(tfds_data, read_tfds):
    import tensorflow_datasets as tfds

    folder = tfds_data.folders["array_record"] / COCO / "1.1.0"
    theirs = tfds.builder_from_directory(folder).as_data_source("train")
    source = read_tfds(COCO)
    for i, example in enumerate(theirs):
        np.testing.assert_array_equal(source[i]["image"], example["image"])
        colours = example["panoptic_image"].astype(int)
        ids = colours @ np.array([1, 256, 65536])
        np.testing.assert_array_equal(source[i]["panoptic"], ids)


_WITHOUT_TENSORFLOW = """
import sys

class Hidden:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "tensorflow":
            return self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

if sys.argv[2] == "hidden":
    sys.meta_path[:] = map(Hidden, sys.meta_path)
from uvim_fsq.data.tfds.source import TfdsSource
for name in ("nyu_depth_v2", "coco/2017_panoptic", "imagenet2012"):
    source = TfdsSource(name, sys.argv[1], "train[1:]", cache_dir=sys.argv[3])
    print(name, len(source), source[0]["id"], source[len(source) - 1]["image"].sum())
print("tensorflow" in sys.modules)
"""


@pytest.mark.parametrize(
    ("tensorflow", "file_format"),
    [("hidden", "array_record"), ("hidden", "tfrecord"), ("installed", "tfrecord")],
)
def test_reads_without_tensorflow(
    tfds_data, read_tfds, file_format, tensorflow, tmp_path
):
    arguments = [tfds_data.folders[file_format], tensorflow, tmp_path]
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    expected = []
    for name in (NYU, COCO, IMAGENET):
        source = read_tfds(name, "train[1:]", file_format)
        last = source[len(source) - 1]["image"].sum()
        expected.append(f"{name} {len(source)} {source[0]['id']} {last}")
    assert result.stdout.splitlines() == [*expected, "False"]


_FEW_FILES = """
import resource, sys
from uvim_fsq.data.tfds.source import TfdsSource
source = TfdsSource("nyu_depth_v2", sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 4000))
source = TfdsSource("imagenet2012", sys.argv[2], "validation")
print(len(source.file_lengths), len({source[i]["id"] for i in range(len(source))}))
"""


def test_more_files_than_a_process_may_open(tfds_data, tmp_path):
    import tensorflow_datasets as tfds

    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(tfds_data.raw / "ILSVRC2012_img_val.tar", raw)
    config = tfds.download.DownloadConfig(
        manual_dir=raw, try_download_gcs=False, num_shards=40
    )
    tfds.builder(IMAGENET, data_dir=tmp_path).download_and_prepare(
        file_format="array_record", download_config=config
    )
    nyu = str(tfds_data.folders["array_record"])
    result = subprocess.run(
        [sys.executable, "-c", _FEW_FILES, nyu, str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.returncode) == ("40 40\n", 0), result.stderr


@pytest.mark.parametrize("file_format", FORMATS)
def test_threads_and_copies_read_the_same(read_tfds, file_format):
    source = read_tfds(COCO, "train", file_format)
    expected = [source[i] for i in range(len(source))]
    copy = pickle.loads(pickle.dumps(source))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for reader in (source, copy):
                for one, other in zip(
                    pool.map(reader.__getitem__, range(len(source))),
                    expected,
                    strict=True,
                ):
                    same(one, other)


def test_fields_that_are_not_asked_for_are_not_read(read_tfds):
    source = read_tfds(COCO, fields={"image": "image", "id": "image/filename"})
    assert set(source[0]) == {"image", "id"} and source.categories == ()


@pytest.fixture
def copied(tfds_data, tmp_path):
    """`copied(file_format)`: a copy of NYU's folder, and one of its files."""

    def make(file_format):
        folder = tmp_path / "copy" / NYU / "0.0.1"
        shutil.copytree(tfds_data.folders[file_format] / NYU / "0.0.1", folder)
        (shard,) = folder.glob("*-train*")
        return tmp_path / "copy", shard

    return make


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_that_lack_or_are_not_whole_are_named(copied, tmp_path, file_format):
    folder, shard = copied(file_format)
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 2])
    with pytest.raises(BrokenFileError, match=shard.name) as caught:
        TfdsSource(NYU, folder, cache_dir=tmp_path)
    assert "copy the file again" in str(caught.value)
    assert len(TfdsSource(NYU, folder, "validation", cache_dir=tmp_path)) == 2
    (other,) = shard.parent.glob("*-validation*")
    shutil.copy(other, shard)
    with pytest.raises(BrokenFileError, match="expected 5 records, found 2"):
        TfdsSource(NYU, folder, cache_dir=tmp_path)
    shard.unlink()
    with pytest.raises(BrokenFileError, match="there is no such file"):
        TfdsSource(NYU, folder, cache_dir=tmp_path)


def test_an_example_that_does_not_decode_is_named(copied, tmp_path):
    folder, shard = copied("tfrecord")
    data = bytearray(shard.read_bytes())
    start = data.index(b"\x89PNG")
    data[start : start + 8] = bytes(8)
    shard.write_bytes(data)
    source = TfdsSource(NYU, folder, cache_dir=tmp_path)
    with pytest.raises(DataError, match=r"train.*example 0: it cannot be decoded"):
        source[0]
    assert source[1]["image"].shape == (480, 640, 3)
