"""Panoptic quality: parity with COCO's program and with the published evaluation of UViM."""

import json

import numpy as np
import pytest

from uvim_fsq.data.coco.format import read_index, read_predictions
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.transforms import resize_nearest
from uvim_fsq.evaluators.panoptic import PanopticEvaluator, total
from uvim_fsq.evaluators.runner import evaluate

GROUPS = {"All": "", "Things": "_things", "Stuff": "_stuff"}
SAMPLE = [
    f"{truth}|pred_{kind}"
    for kind in "perfect flipped_labels merged eroded missing shifted split mixed".split()
    for truth in ("gt", "gt_void_crowd")
]


def assert_public_result(pairs, categories, result):
    """All scores and counts as COCO's program has them, 0 to 1."""
    evaluator = PanopticEvaluator(categories)
    stats = [evaluator.update({"prediction": p, "reference": r}) for p, r in pairs]
    scores, counts = evaluator.aggregate(stats), total([s["counts"] for s in stats])
    for group, suffix in GROUPS.items():
        assert scores[f"classes{suffix}"] == result[group]["n"]
        for kind in ("pq", "sq", "rq"):
            found = scores[f"{kind}{suffix}"] / 100
            assert found == pytest.approx(result[group][kind], rel=0, abs=1e-9)
    nothing = {"iou": 0, "tp": 0, "fp": 0, "fn": 0}
    for label, category in enumerate(categories):
        for kind, expected in result["per_class"][str(category.id)].items():
            found = scores.get(f"{kind}_class/{category.name}", 0) / 100
            assert found == pytest.approx(expected, rel=0, abs=1e-9)
        expected = result["counts"].get(str(category.id), nothing)
        for name, value in expected.items():
            found = getattr(counts, name)[label]
            assert found == pytest.approx(value, rel=0, abs=1e-9)


def from_rgb(rgb):
    return (rgb.astype(np.int32) * [1, 256, 65536]).sum(-1).astype(np.int32)


@pytest.mark.parametrize("case", SAMPLE)
def test_golden_pictures(golden_path, case):
    """Void, crowd, empty classes, merged, split, missing and moved segments of real pictures."""
    folder = golden_path("eval/pq_sample")
    truth_name, prediction_name = case.split("|")
    result = json.loads((folder / "results.json").read_text())[case]
    truth = read_index(folder / f"{truth_name}.json")
    prediction = read_predictions(
        folder / f"{prediction_name}.json", truth.categories
    ).annotations
    pairs = [
        tuple(
            {
                "panoptic": read_ids(folder / name / each.file_name),
                "segments": each.segments,
            }
            for name, each in (
                (prediction_name, prediction[image]),
                (truth_name, truth.annotations[image]),
            )
        )
        for image in truth.annotations
    ]
    assert_public_result(pairs, truth.categories, result)


def test_golden_set(golden, golden_path, tmp_path):
    """Forty made-up pictures; one class never occurs."""
    arrays = golden("eval/pq_synthetic.npz")
    content = json.loads(golden_path("eval/pq_synthetic.json").read_text())
    for name in ("gt", "pred"):
        (tmp_path / name).write_text(json.dumps(content[name]))
    truth = read_index(tmp_path / "gt")
    prediction = read_predictions(tmp_path / "pred", truth.categories).annotations
    pairs = [
        (
            {"panoptic": from_rgb(predicted), "segments": prediction[image].segments},
            {
                "panoptic": from_rgb(true),
                "segments": truth.annotations[image].segments,
            },
        )
        for image, predicted, true in zip(
            arrays["image_id"].tolist(),
            arrays["pred_rgb"],
            arrays["gt_rgb"],
            strict=True,
        )
    ]
    assert_public_result(pairs, truth.categories, content["result"])
    assert len(truth.categories) == content["result"]["All"]["n"] + 1


def two_channel_segments(two_channel, categories):
    """Classes and instances (h w 2) as segments: those of one stuff class are one."""
    kinds = {category.id: category.isthing for category in categories}
    category, instance = np.moveaxis(two_channel.astype(np.int32), -1, 0)
    stuff = [number for number, isthing in kinds.items() if not isthing]
    pairs = category * 1000 + np.where(np.isin(category, stuff), 0, instance)
    pairs[category == 0] = 0
    segments = [
        {"id": pair, "category_id": pair // 1000}
        for pair in np.unique(pairs).tolist()
        if pair
    ]
    return {"panoptic": pairs, "segments": segments}


@pytest.fixture
def two_channel(golden, golden_path, tmp_path):
    """The arrays, the JSON, the categories and the references of that golden file."""
    arrays = golden("eval/two_channel.npz")
    content = json.loads(golden_path("eval/two_channel.json").read_text())
    (tmp_path / "gt.json").write_text(json.dumps(content["gt"]))
    index = read_index(tmp_path / "gt.json")
    references = {
        image: {
            "panoptic": from_rgb(arrays[f"{image}/gt_rgb"]),
            "segments": annotation.segments,
        }
        for image, annotation in index.annotations.items()
    }
    return arrays, content, index.categories, references


def test_golden_two_channel_maps(two_channel, tmp_path):
    """Merged stuff; the public converter's own output, with an entry twice, scores the same."""
    arrays, content, categories, references = two_channel
    (tmp_path / "pred.json").write_text(json.dumps(content["converted"]))
    converted = read_predictions(tmp_path / "pred.json", categories).annotations
    theirs, ours = [], []
    for image, reference in references.items():
        ids = from_rgb(arrays[f"{image}/converted_rgb"])
        segments = converted[image].segments
        theirs.append(({"panoptic": ids, "segments": segments}, reference))
        maps = arrays[f"{image}/two_channel"]
        ours.append((two_channel_segments(maps, categories), reference))
        assert len(ours[-1][0]["segments"]) == len(segments)
    for pairs in (theirs, ours):
        assert_public_result(pairs, categories, content["pq"])


def test_golden_evaluation(two_channel):
    """Low-resolution class labels in a padded batch: the published evaluator's result."""
    arrays, content, categories, references = two_channel
    remap = np.zeros(len(categories) + 1, np.int32)
    for label, category in content["remap"].items():
        remap[int(label)] = category
    items = []
    for position, image in enumerate(arrays["evaluator/image_id"].tolist()):
        low = arrays["evaluator/pred"][position].copy()
        low[..., 0] = remap[low[..., 0]]
        h, w = references[image]["panoptic"].shape if image in references else (9, 9)
        full = resize_nearest(low, (h, w))
        if image in references:
            written = arrays[f"evaluator/png_{image}"][..., :2]
            np.testing.assert_array_equal(full, written)
        items.append(
            {
                "index": image,
                "id": str(image),
                "mask": arrays["evaluator/mask"][position],
                "prediction": two_channel_segments(full, categories),
            }
        )
    evaluator = PanopticEvaluator(categories)
    found = evaluate(items, {"panoptic": evaluator}, references.__getitem__, count=2)
    for group, suffix in GROUPS.items():
        for kind in ("pq", "sq", "rq"):
            expected = content["evaluator"][f"{group}_{kind}"]
            ours = found.scores[f"panoptic/{kind}{suffix}"] / 100
            assert ours == pytest.approx(expected, rel=0, abs=1e-9)
    for row in found.per_image:
        assert 0 < row["panoptic/pq"] < 100
