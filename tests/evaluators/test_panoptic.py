"""Panoptic quality: each rule by hand, errors."""

import numpy as np
import pytest

from uvim_fsq.evaluators.panoptic import (
    PanopticEvaluator,
    panoptic_counts,
    panoptic_quality,
    total,
)
from uvim_fsq.evaluators.runner import EvaluationError, evaluate
from uvim_fsq.types import Category

CAR, DOG, SKY, SEA = CATEGORIES = (
    Category(3, "car", True, (1, 1, 1)),
    Category(7, "dog", True, (2, 2, 2)),
    Category(20, "sky", False, (3, 3, 3)),
    Category(21, "sea", False, (4, 4, 4)),
)


def picture(row, **segments):
    """One row of segment ids, `abb.`, with `.` for void; `a=SKY`, or `a=(CAR, {"iscrowd": 1})`."""
    listed = []
    for letter, what in segments.items():
        category, more = what if type(what) is tuple else (what, {})
        area = row.count(letter)
        listed.append(
            {"id": ord(letter), "category_id": category.id, "iscrowd": 0, "area": area}
            | more
        )
    ids = [0 if letter == "." else ord(letter) for letter in row]
    return {"panoptic": np.array([ids], np.int32), "segments": listed}


def counted(prediction, reference):
    """`{name: (iou, tp, fp, fn)}` of classes that count."""
    counts = panoptic_counts(prediction, reference, CATEGORIES)
    rows = zip(*counts, strict=True)
    named = zip([c.name for c in CATEGORIES], rows, strict=True)
    return {name: tuple(map(float, row)) for name, row in named if any(row)}


def score(pairs, categories):
    evaluator = PanopticEvaluator(categories)
    stats = [evaluator.update({"prediction": p, "reference": r}) for p, r in pairs]
    return evaluator.aggregate(stats), total([each["counts"] for each in stats])


def test_a_match_needs_more_than_half():
    """IoU 3 / 4 matches; 2 / 4 does not and is wrong twice."""
    truth = picture("aaaa", a=SKY)
    assert counted(picture("xxx.", x=SKY), truth) == {"sky": (0.75, 1, 0, 0)}
    assert counted(picture("xx..", x=SKY), truth) == {"sky": (0, 0, 1, 1)}


def test_a_match_needs_the_same_class():
    truth = picture("aaaa", a=CAR)
    found = counted(picture("xxxx", x=DOG), truth)
    assert found == {"car": (0, 0, 0, 1), "dog": (0, 0, 1, 0)}


def test_prediction_on_void_is_not_in_the_union():
    """IoU is 2 / 3, not 2 / 5."""
    found = counted(picture("xxxx.", x=SKY), picture("aa..a", a=SKY))
    assert found == {"sky": (pytest.approx(2 / 3), 1, 0, 0)}


def test_the_area_of_the_reference_is_believed():
    """Four pixels that are said to be six."""
    truth = picture("aaaa..", a=(SKY, {"area": 6}))
    found = counted(picture("xxxx..", x=SKY), truth)
    assert found == {"sky": (pytest.approx(4 / 6), 1, 0, 0)}


def test_predictions_on_void_are_dropped_if_more_than_half_is_there():
    truth = picture("...bbb", b=SKY)
    assert "car" not in counted(picture("xxx...", x=CAR), truth)
    assert "car" not in counted(picture(".xxx..", x=CAR), truth)
    assert counted(picture("..xxx.", x=CAR), truth)["car"] == (0, 0, 1, 0)
    assert counted(picture(".xxxx.", x=CAR), truth)["car"] == (0, 0, 1, 0)


def test_crowd_is_neither_matched_nor_missed():
    truth = picture("aaaabb", a=(CAR, {"iscrowd": 1}), b=SKY)
    assert "car" not in counted(picture("xxxx..", x=CAR), truth)
    assert "car" not in counted(picture("....bb", b=SKY), truth)
    # On crowd of another class it is wrong.
    assert counted(picture("xxxx..", x=DOG), truth)["dog"] == (0, 0, 1, 0)


def test_void_and_crowd_count_together():
    truth = picture("..aabb", a=(CAR, {"iscrowd": 1}), b=SKY)
    assert "car" not in counted(picture(".xx...", x=CAR), truth)
    assert counted(picture("...xx.", x=CAR), truth)["car"] == (0, 0, 1, 0)
    assert "car" not in counted(picture(".xxxx.", x=CAR), truth)


def test_the_last_crowd_of_a_class_is_meant():
    crowd = (CAR, {"iscrowd": 1})
    prediction = picture("xxx...", x=CAR)
    assert counted(prediction, picture("aaabbb", a=crowd, b=crowd)) == {
        "car": (0, 0, 1, 0)
    }
    assert counted(prediction, picture("bbbaaa", a=crowd, b=crowd)) == {}


def test_empty_pictures_and_empty_predictions():
    nothing = picture("......")
    assert counted(nothing, nothing) == {}
    assert counted(nothing, picture("aaabb.", a=CAR, b=SKY)) == {
        "car": (0, 0, 0, 1),
        "sky": (0, 0, 0, 1),
    }
    assert counted(picture("xxx...", x=CAR), nothing) == {}
    # A segment of which nothing is left is missed all the same.
    hidden = picture("bbbbbb", b=SKY, a=(CAR, {"area": 4}))
    assert counted(nothing, hidden)["car"] == (0, 0, 0, 1)


def test_scores_by_hand():
    """Two pictures; classes are added up over both, then averaged."""
    pairs = [
        (picture("xxxyyyyy", x=CAR, y=SKY), picture("aaaabbbb", a=CAR, b=SKY)),
        (picture("xxxxyyyy", x=DOG, y=SKY), picture("aaaabbbb", a=CAR, b=SKY)),
    ]
    scores, _ = score(pairs, CATEGORIES)
    expected = {
        # IoU 3 / 4 in one picture, missed in the other.
        "pq_class/car": 100 * 0.75 / 1.5,
        "sq_class/car": 75.0,
        "rq_class/car": 100 * 1 / 1.5,
        "pq_class/dog": 0.0,
        "sq_class/dog": 0.0,
        "rq_class/dog": 0.0,
        "pq_class/sky": 100 * (0.8 + 1) / 2,
        "sq_class/sky": 90.0,
        "rq_class/sky": 100.0,
        "pq": (50 + 0 + 90) / 3,
        "sq": (75 + 0 + 90) / 3,
        "rq": (200 / 3 + 0 + 100) / 3,
        "classes": 3,
        "pq_things": 25.0,
        "sq_things": 37.5,
        "rq_things": 100 / 3,
        "classes_things": 2,
        "pq_stuff": 90.0,
        "sq_stuff": 90.0,
        "rq_stuff": 100.0,
        "classes_stuff": 1,
        "images": 2,
    }
    assert scores == pytest.approx(expected)


def test_a_picture_has_its_own_score():
    evaluator = PanopticEvaluator(CATEGORIES)
    truth = picture("aaaabbbb", a=CAR, b=SKY)
    item = {"prediction": picture("xxxyyyyy", x=CAR, y=SKY), "reference": truth}
    assert evaluator.update(item)["pq"] == pytest.approx((75 + 80) / 2)
    nothing = {"prediction": picture("...."), "reference": picture("....")}
    assert set(evaluator.update(nothing)) == {"counts"}


def test_a_group_without_classes_is_absent():
    truth = picture("aaaa", a=CAR)
    scores, counts = score([(truth, truth)], CATEGORIES)
    assert "pq_things" in scores and "pq" in scores
    assert not [name for name in scores if "stuff" in name or "dog" in name]
    for each in panoptic_quality(counts):
        assert np.isnan(each[1:]).all() and not np.isnan(each[0])


def test_wrong_maps_are_refused():
    truth = picture("aabb", a=CAR, b=SKY)
    for bad, message in (
        (picture("aabbb", a=CAR, b=SKY), r"found \(1, 5\) and \(1, 4\)"),
        (picture("aabb", a=CAR), "has segment 98, which its `segments` lack"),
        (picture("aabb", a=CAR, b=SKY, c=CAR), "segment 99 of the prediction has no"),
        (picture("aa..", a=Category(9, "cat", True, (0, 0, 0))), "category 9 of the"),
    ):
        with pytest.raises(ValueError, match=message):
            panoptic_counts(bad, truth, CATEGORIES)
    twice = {**truth, "segments": truth["segments"] * 2}
    with pytest.raises(ValueError, match="listed twice"):
        panoptic_counts(twice, truth, CATEGORIES)
    with pytest.raises(ValueError, match="of the reference has segment 98"):
        panoptic_counts(truth, picture("aabb", a=CAR), CATEGORIES)


def test_sets_that_cannot_be_scored():
    with pytest.raises(ValueError, match="differ in their id, found 3 twice"):
        PanopticEvaluator((CAR, CAR))
    with pytest.raises(ValueError, match="name, found 'car' twice"):
        PanopticEvaluator((CAR, Category(4, "car", True, (0, 0, 0))))
    with pytest.raises(ValueError, match="found none"):
        PanopticEvaluator(())
    evaluator = PanopticEvaluator(CATEGORIES)
    nothing = {"prediction": picture("...."), "reference": picture("....")}
    for stats in ([], [evaluator.update(nothing)]):
        with pytest.raises(ValueError, match=f"none of the {len(stats)} pictures"):
            evaluator.aggregate(stats)
    unknown = {"panoptic": np.array([[97]], np.int32), "segments": []}
    item = {"index": 0, "id": "p", "prediction": unknown, "reference": picture(".")}
    with pytest.raises(EvaluationError, match="'p'.*has segment 97"):
        evaluate([item], {"panoptic": evaluator})
