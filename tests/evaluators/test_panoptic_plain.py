"""Panoptic quality against its rules taken by the letter, on made-up and on real pictures.

The plain program here has nothing in common with the other but the rules: masks, sets and loops.
"""

from collections import defaultdict

import cv2
import numpy as np
import pytest

from uvim_fsq.data.coco.format import read_index
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.transforms import resize_nearest
from uvim_fsq.evaluators.panoptic import PanopticEvaluator
from uvim_fsq.types import Category

KINDS = ("pq", "sq", "rq")
GROUPS = {"All": "", "Things": "_things", "Stuff": "_stuff"}


def plain_counts(prediction, reference):
    """`{category_id: [iou, tp, fp, fn]}` of one picture."""
    counts = defaultdict(lambda: [0.0, 0, 0, 0])
    void = reference["panoptic"] == 0
    matched = set()
    crowd_of_class = {}
    masks = {s["id"]: prediction["panoptic"] == s["id"] for s in prediction["segments"]}
    for true in reference["segments"]:
        category = true["category_id"]
        true_mask = reference["panoptic"] == true["id"]
        if true.get("iscrowd"):
            crowd_of_class[category] = true_mask
            continue
        missed = True
        for predicted in prediction["segments"]:
            if predicted["category_id"] != category:
                continue
            mask = masks[predicted["id"]]
            intersection = (mask & true_mask).sum()
            union = true["area"] + (mask & ~void).sum() - intersection
            if intersection and intersection / union > 0.5:
                counts[category][0] += intersection / union
                counts[category][1] += 1
                matched.add(predicted["id"])
                missed = False
        counts[category][3] += missed
    for predicted in prediction["segments"]:
        mask = masks[predicted["id"]]
        nobody = void | crowd_of_class.get(predicted["category_id"], False)
        if predicted["id"] not in matched and (mask & nobody).sum() / mask.sum() <= 0.5:
            counts[predicted["category_id"]][2] += 1
    return counts


def plain_scores(pairs, categories):
    """`{"All": {pq, sq, rq, n}, "Things": ..., "Stuff": ..., "per_class": ...}`, 0 to 1."""
    sums = {category.id: np.zeros(4) for category in categories}
    for prediction, reference in pairs:
        for category, found in plain_counts(prediction, reference).items():
            sums[category] += found
    classes, occur = {}, set()
    for category, (iou, tp, fp, fn) in sums.items():
        size = tp + 0.5 * fp + 0.5 * fn
        if size:
            occur.add(category)
        sq = iou / tp if tp else 0.0
        rq = tp / size if size else 0.0
        classes[category] = {"pq": sq * rq, "sq": sq, "rq": rq}
    scores = {"per_class": classes}
    for group, kinds in (("All", (0, 1)), ("Things", (1,)), ("Stuff", (0,))):
        chosen = [c.id for c in categories if c.isthing in kinds and c.id in occur]
        scores[group] = {
            kind: sum(classes[c][kind] for c in chosen) / len(chosen)
            for kind in ("pq", "sq", "rq")
        }
        scores[group]["n"] = len(chosen)
    return scores


def perturbed(reference, categories, generator):
    """A prediction that has much in common with a reference, and its own mistakes.

    Of the segments some are lost, some cut in two, some get another class; all are moved a little, and their
    edges are ragged. The ids are new. Pixels of no segment are void.
    """
    truth = reference["panoptic"]
    h, w = truth.shape
    panoptic, segments = np.zeros_like(truth), []
    ids = iter(generator.choice(2**24 - 1, 2 * len(reference["segments"]), False) + 1)
    for true in reference["segments"]:
        fate = generator.random()
        if fate < 0.1:
            continue
        mask = truth == true["id"]
        category = true["category_id"]
        if fate < 0.2:
            category = categories[generator.integers(len(categories))].id
        parts = [mask]
        if fate > 0.9 and mask.any():
            half = mask.copy()
            half[:, int(np.nonzero(mask)[1].mean()) :] = False
            parts = [half, mask & ~half]
        for part in parts:
            segment = {"id": int(next(ids)), "category_id": category, "iscrowd": 0}
            panoptic[part] = segment["id"]
            segments.append(segment)
    down, right = generator.integers(-3, 4, 2)
    columns, rows = np.meshgrid(np.arange(w), np.arange(h))
    rows = rows + down + generator.integers(-1, 2, (h, w))
    columns = columns + right + generator.integers(-1, 2, (h, w))
    panoptic = cv2.remap(
        panoptic.astype(np.float32),  # exact below 2^24
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_NEAREST,
    ).astype(np.int32)
    found, areas = np.unique(panoptic, return_counts=True)
    sizes = dict(zip(found.tolist(), areas.tolist(), strict=True))
    painted = [
        {**segment, "area": sizes[segment["id"]]}
        for segment in segments
        if segment["id"] in sizes
    ]
    return {"panoptic": panoptic, "segments": painted}


def assert_equal_scores(pairs, categories):
    """Both programs agree on every score; returns ours."""
    evaluator = PanopticEvaluator(categories)
    stats = [evaluator.update({"prediction": p, "reference": r}) for p, r in pairs]
    ours = evaluator.aggregate(stats)
    theirs = plain_scores(pairs, categories)
    for group, suffix in GROUPS.items():
        assert ours.get(f"classes{suffix}", 0) == theirs[group]["n"]
        for kind in KINDS if theirs[group]["n"] else ():
            found = ours[f"{kind}{suffix}"] / 100
            assert found == pytest.approx(theirs[group][kind], rel=0, abs=1e-9)
    for category in categories:
        for kind in KINDS:
            found = ours.get(f"{kind}_class/{category.name}", 0.0) / 100
            expected = theirs["per_class"][category.id][kind]
            assert found == pytest.approx(expected, rel=0, abs=1e-9)
    return ours


def coco_pictures(folder):
    """Categories, and every picture's reference."""
    index = read_index(folder / "panoptic.json")
    return index.categories, [
        {
            "panoptic": read_ids(folder / "panoptic" / each.file_name),
            "segments": each.segments,
        }
        for each in index.annotations.values()
    ]


def random_reference(generator, categories, size=(24, 32)):
    """Rectangles over each other: void, crowd (several of a class) and hidden segments occur."""
    panoptic = np.zeros(size, np.int32)
    ids = generator.choice(200, 12, replace=False) + 1
    segments = []
    for number in ids.tolist():
        top, left = generator.integers(0, size)
        panoptic[top : top + 14, left : left + 14] = number
        category = categories[generator.integers(len(categories))]
        crowd = int(category.isthing and generator.random() < 0.4)
        segments.append(
            {"id": number, "category_id": category.id, "iscrowd": crowd, "area": 0}
        )
    for segment in segments:
        # Areas are believed, also where they are wrong.
        wrong = int(generator.integers(0, 30)) * (generator.random() < 0.3)
        segment["area"] = int((panoptic == segment["id"]).sum()) + wrong
    return {"panoptic": panoptic, "segments": segments}


@pytest.mark.parametrize("seed", range(6))
def test_made_up_pictures(seed):
    categories = [Category(3 * i + 2, f"class {i}", i < 2, (i, i, i)) for i in range(4)]
    generator = np.random.default_rng(seed)
    truths = [random_reference(generator, categories) for _ in range(12)]
    pairs = [(perturbed(each, categories, generator), each) for each in truths]
    scores = assert_equal_scores(pairs, categories)
    assert 1 < scores["pq"] < 90


def test_real_pictures(real_data):
    """Crowd, void and hundreds of segments; both programs on perturbed labels."""
    categories, truths = coco_pictures(real_data("coco_panoptic"))
    generator = np.random.default_rng(0)
    pairs = [(perturbed(each, categories, generator), each) for each in truths[::3]]
    assert sum(s["iscrowd"] for each in truths[::3] for s in each["segments"]) > 1
    scores = assert_equal_scores(pairs, categories)
    assert 20 < scores["pq"] < 80


def test_a_perfect_prediction_scores_100(real_data):
    """With the crowd segments, which are dropped, and without them."""
    categories, truths = coco_pictures(real_data("coco_panoptic"))
    evaluator = PanopticEvaluator(categories)
    for keep_crowd in (True, False):
        stats = []
        for truth in truths:
            segments = [s for s in truth["segments"] if keep_crowd or not s["iscrowd"]]
            ids = [segment["id"] for segment in segments]
            panoptic = truth["panoptic"] * np.isin(truth["panoptic"], ids)
            prediction = {"panoptic": panoptic, "segments": segments}
            item = {"prediction": prediction, "reference": truth}
            stats.append(evaluator.update(item))
        assert all(each["pq"] == pytest.approx(100) for each in stats)
        scores = evaluator.aggregate(stats)
        for group in GROUPS.values():
            for kind in KINDS:
                assert scores[f"{kind}{group}"] == pytest.approx(100)
        assert (scores["classes"], scores["images"]) == (109, 65)


@pytest.mark.parametrize(
    ("size", "expected"), [(512, 98.6398), (128, 88.7274), (32, 62.7818)]
)
def test_what_resolution_costs(real_data, size, expected):
    """PQ of labels brought to a square and back by nearest neighbour: a bound for models."""
    categories, truths = coco_pictures(real_data("coco_panoptic"))
    evaluator = PanopticEvaluator(categories)
    stats = []
    for truth in truths:
        there = resize_nearest(truth["panoptic"], (size, size))
        panoptic = resize_nearest(there, truth["panoptic"].shape)
        kept = set(np.unique(panoptic).tolist())
        segments = [each for each in truth["segments"] if each["id"] in kept]
        prediction = {"panoptic": panoptic, "segments": segments}
        stats.append(evaluator.update({"prediction": prediction, "reference": truth}))
    assert evaluator.aggregate(stats)["pq"] == pytest.approx(expected, abs=1e-3)
