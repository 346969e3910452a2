"""Datasets that TFDS's real builders prepared from small archives."""

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from uvim_fsq.data.coco_categories import COCO_CATEGORIES
from uvim_fsq.data.errors import BrokenFileError, DataError
from uvim_fsq.data.source import Source
from uvim_fsq.data.tfds_fields import category_ids
from uvim_fsq.data.tfds_source import TfdsSource
from uvim_fsq.types import Category

FORMATS = ("array_record", "tfrecord")
COCO, NYU, IMAGENET = "coco/2017_panoptic", "nyu_depth_v2", "imagenet2012"


@pytest.fixture
def read(tfds_data, tmp_path):
    """`read(name, split="train", file_format="array_record", **options)`: a source."""

    def make(name, split="train", file_format="array_record", **options):
        options.setdefault("cache_dir", tmp_path / "cache")
        return TfdsSource(name, tfds_data.folders[file_format], split, **options)

    return make


def same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_nyu_gives_the_pixels_and_metres_of_its_files(
    tfds_data, read, split, file_format
):
    source = read(NYU, split, file_format)
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


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_coco_gives_the_ids_of_the_pngs_and_the_segments_of_the_json(
    tfds_data, read, split, file_format
):
    source = read(COCO, split, file_format)
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


def test_coco_categories_are_those_of_its_json(real_data):
    content = json.loads((real_data("coco_panoptic") / "panoptic.json").read_bytes())
    assert [(c.id, c.name, c.isthing, list(c.color)) for c in COCO_CATEGORIES] == [
        (c["id"], c["name"], bool(c["isthing"]), c["color"])
        for c in content["categories"]
    ]


def test_coco_knows_133_classes_of_which_80_are_things():
    assert len({c.id for c in COCO_CATEGORIES}) == len(COCO_CATEGORIES) == 133
    assert sum(c.isthing for c in COCO_CATEGORIES) == 80


def test_imagenet_has_names_with_and_without_ending(read):
    source = read(IMAGENET, "validation")
    assert set(source[0]) == {"image", "id"}
    names = {source.file_name(i) for i in range(len(source))}
    assert names == {f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 41)}
    assert f"{source[3]['id']}.JPEG" == source.file_name(3)


@pytest.mark.parametrize("name", [NYU, COCO, IMAGENET])
def test_both_formats_give_the_same_in_the_same_order(read, name):
    one, other = read(name), read(name, file_format="tfrecord")
    assert len(one) == len(other)
    for i in range(len(one)):
        same(one[i], other[i])


@pytest.mark.parametrize("file_format", FORMATS)
def test_slices_are_parts_of_the_whole_with_the_same_ids(read, file_format):
    for name in (NYU, COCO):
        whole = read(name, "train", file_format)
        count = len(whole)
        for split, rows in {
            "train[2:]": range(2, count),
            "train[:40%]": range(round(0.4 * count)),
            "train[-1:]": range(count - 1, count),
            "train[1:3]+train[:1]": [1, 2, 0],
        }.items():
            part = read(name, split, file_format)
            assert len(part) == len(rows)
            for i, row in enumerate(rows):
                assert part.example_id(i) == whole.example_id(row)
                same(part[i], whole[row])
    both = read(NYU, "train+validation", file_format)
    assert len(both) == 7 and both[6]["id"] == "validation/000001"
    assert len(read(NYU, "all", file_format)) == 7


def test_jpegs_are_those_of_the_accurate_transform(tfds_data, read):
    import tensorflow as tf

    source = read(COCO)
    for i in range(len(source)):
        jpeg = tfds_data.truth[COCO]["train"][source.example_id(i)]["jpeg"]
        exact = tf.io.decode_jpeg(jpeg, 3, dct_method="INTEGER_ACCURATE")
        np.testing.assert_array_equal(source[i]["image"], exact.numpy())


def test_agrees_with_the_data_source_of_tfds(tfds_data, read):
    import tensorflow_datasets as tfds

    folder = tfds_data.folders["array_record"] / COCO / "1.1.0"
    theirs = tfds.builder_from_directory(folder).as_data_source("train")
    source = read(COCO)
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
from uvim_fsq.data.tfds_fields import category_ids
from uvim_fsq.data.tfds_source import TfdsSource
for name in ("nyu_depth_v2", "coco/2017_panoptic", "imagenet2012"):
    source = TfdsSource(name, sys.argv[1], "train[1:]", cache_dir=sys.argv[3])
    print(name, len(source), source[0]["id"], source[len(source) - 1]["image"].sum())
print("tensorflow" in sys.modules)
"""


@pytest.mark.parametrize(
    ("tensorflow", "file_format"),
    [("hidden", "array_record"), ("hidden", "tfrecord"), ("installed", "tfrecord")],
)
def test_reads_without_tensorflow(tfds_data, read, file_format, tensorflow, tmp_path):
    folder = tfds_data.folders[file_format]
    arguments = [folder, tensorflow, tmp_path]
    result = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TENSORFLOW, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    expected = []
    for name in (NYU, COCO, IMAGENET):
        source = read(name, "train[1:]", file_format)
        last = source[len(source) - 1]["image"].sum()
        expected.append(f"{name} {len(source)} {source[0]['id']} {last}")
    assert result.stdout.splitlines() == [*expected, "False"]


_FEW_FILES = """
import resource, sys
from uvim_fsq.data.tfds_fields import category_ids
from uvim_fsq.data.tfds_source import TfdsSource
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
    folder = tfds_data.folders["array_record"]
    result = subprocess.run(
        [sys.executable, "-c", _FEW_FILES, str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.returncode) == ("40 40\n", 0), result.stderr


@pytest.mark.parametrize("file_format", FORMATS)
def test_threads_and_copies_read_the_same(read, file_format):
    source = read(COCO, "train", file_format)
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


def test_a_list_chooses_examples_and_their_order(read, tmp_path):
    names = tmp_path / "names.txt"
    whole = read(IMAGENET, "validation")
    rows = {whole.example_id(i): i for i in range(len(whole))}
    lines = [whole.file_name(30), whole.example_id(4), ""]  # with ending and without
    names.write_text("\n".join(lines))
    for _ in range(2):  # the second time from the cache
        source = read(IMAGENET, "validation", file_list=names)
        assert [source.example_id(i) for i in range(len(source))] == [
            line.removesuffix(".JPEG") for line in lines[:2]
        ]
        for i in range(2):
            same(source[i], whole[rows[source.example_id(i)]])
    with pytest.raises(IndexError):
        source[2]
    names.write_text("ILSVRC2012_val_00000007.JPEG\nother.JPEG\n")
    with pytest.raises(DataError, match=r"1 are not among the 40 .*\(other\)"):
        read(IMAGENET, "validation", file_list=names)
    with pytest.raises(DataError, match="cannot be read"):
        read(IMAGENET, "validation", file_list=tmp_path / "none.txt")


def test_fields_that_are_not_asked_for_are_not_read(read):
    fields = {"image": "image", "id": "image/filename"}
    source = read(COCO, fields=fields)
    assert set(source[0]) == {"image", "id"} and source.categories == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "nyu"}, "prepare_data.py tfds nyu --data-dir"),
        ({"name": "coco"}, r"there are coco/2017_panoptic/1\.1\.0"),
        ({"name": f"{NYU}:9.9.9"}, "is not prepared"),
        ({"split": "test"}, "has the splits train, validation"),
        ({"split": "train[5:5]"}, "is empty"),
        ({"split": "train[:5%%]"}, "has the splits train, validation"),
        (
            {"fields": {"image": "rgb"}},
            "has the features .*, not 'rgb'; say which one is the im",
        ),
        ({"fields": {"depth": "depth"}}, "say which one is the image"),
        ({"fields": {"image": "image", "dept": "depth"}}, "got 'dept'"),
        ({"fields": {"image": "image", "panoptic": "depth"}}, "needed together"),
        ({"name": COCO, "categories": COCO_CATEGORIES[:5]}, "as many as it labels"),
    ],
)
def test_what_cannot_be_is_one_sentence(read, options, message):
    with pytest.raises(DataError, match=message) as caught:
        read(**{"name": NYU, **options})
    assert "\n" not in str(caught.value)


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


@pytest.fixture(scope="module")
def own_dataset(tmp_path_factory):
    """A dataset with other fields, labels that are category ids, and depth in centimetres."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("own")
    features = tfds.features
    parts = {"number": np.int64, "kind": np.int64}
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="frames",
        version="1.0.0",
        data_dir=folder,
        file_format="array_record",
        features=features.FeaturesDict(
            {
                "rgb": features.Image(shape=(None, None, 1)),
                "far": features.Image(shape=(None, None, 1), dtype=np.uint16),
                "map": features.Tensor(
                    shape=(None, None), dtype=np.uint16, encoding="zlib"
                ),
                "parts": features.Sequence(parts),
                "title": features.Text(),
            }
        ),
        split_datasets={"train": [(n, _frame(n)) for n in range(3)]},
    )
    assert builder is not None
    return folder


def _frame(number):
    segments = np.zeros((6, 8), np.uint16)
    segments[:2], segments[4:] = 300, 7
    return {
        "rgb": np.full((6, 8, 1), 50 + number, np.uint8),
        "far": np.full((6, 8, 1), 250, np.uint16),
        "map": segments if number else segments.T,
        "parts": [{"number": 300, "kind": 4}, {"number": 7, "kind": 2}],
        "title": f"frame.{number}",
    }


OWN = {
    **{"image": "rgb", "depth": "far", "panoptic": "map", "segments": "parts"},
    **{"segments/id": "number", "segments/category": "kind", "id": "title"},
}
KINDS = (Category(2, "wall", False, (1, 2, 3)), Category(4, "cup", True, (4, 5, 6)))


def test_a_dataset_of_ones_own(own_dataset):
    source = TfdsSource(
        "frames", own_dataset, fields=OWN, categories=KINDS, units_per_metre=100.0
    )
    assert source.categories == KINDS
    rows = {source.example_id(i): i for i in range(3)}
    assert set(rows) == {"frame.0", "frame.1", "frame.2"}
    example = source[rows["frame.2"]]
    assert (example["image"] == 52).all() and example["image"].shape == (6, 8, 3)
    assert example["depth"].shape == (6, 8) and (example["depth"] == 2.5).all()
    assert np.unique(example["panoptic"]).tolist() == [0, 7, 300]
    assert example["segments"] == [
        {"id": 300, "category_id": 4, "iscrowd": 0, "area": 16},
        {"id": 7, "category_id": 2, "iscrowd": 0, "area": 16},
    ]
    with pytest.raises(DataError, match=r"its panoptic, 8 x 6, is not of the size"):
        source[rows["frame.0"]]


def test_labels_are_matched_by_name_or_else_by_order():
    label = pytest.importorskip("tensorflow_datasets").features.ClassLabel
    assert category_ids("x", label(names=["cup", "wall"]), KINDS) == (4, 2)
    assert category_ids("x", label(names=["mug", "wall"]), KINDS) == (2, 4)
    assert category_ids("x", label(num_classes=2), KINDS) == (2, 4)
    with pytest.raises(DataError, match=r"x labels 3 classes .* of the 2 categories"):
        category_ids("x", label(num_classes=3), KINDS)


def test_a_dataset_of_ones_own_needs_categories_and_fields(own_dataset, tmp_path):
    with pytest.raises(DataError, match="has the features .*rgb.*which one is the im"):
        TfdsSource("frames", own_dataset)
    with pytest.raises(DataError, match="which classes are things"):
        TfdsSource("frames", own_dataset, fields=OWN)
    wrong = {**OWN, "segments/category": "sort"}
    with pytest.raises(DataError, match="with 'sort' for segments/category"):
        TfdsSource("frames", own_dataset, fields=wrong, categories=KINDS)
    entries = [{**c._asdict(), "color": list(c.color)} for c in KINDS]
    file = tmp_path / "classes.json"
    file.write_text(json.dumps({"categories": entries}))
    assert TfdsSource("frames", own_dataset, "train", OWN, file).categories == KINDS
