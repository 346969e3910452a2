"""Fields, classes and labels of TFDS datasets: those that are known, and those of one's own."""

import json

import numpy as np
import pytest

from uvim_fsq.data.categories import COCO_CATEGORIES
from uvim_fsq.data.tfds.fields import category_ids
from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category

COCO, NYU = "coco/2017_panoptic", "nyu_depth_v2"


def test_coco_categories_are_those_of_its_json(real_data):
    content = json.loads((real_data("coco_panoptic") / "panoptic.json").read_bytes())
    assert [(c.id, c.name, c.isthing, list(c.color)) for c in COCO_CATEGORIES] == [
        (c["id"], c["name"], bool(c["isthing"]), c["color"])
        for c in content["categories"]
    ]


def test_coco_knows_133_classes_of_which_80_are_things():
    assert len({c.id for c in COCO_CATEGORIES}) == len(COCO_CATEGORIES) == 133
    assert sum(c.isthing for c in COCO_CATEGORIES) == 80


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
def test_what_cannot_be_is_one_sentence(read_tfds, options, message):
    with pytest.raises(DataError, match=message) as caught:
        read_tfds(**{"name": NYU, **options})
    assert "\n" not in str(caught.value)


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
