"""Depth metrics: parity with the public evaluator, validity, averaging."""

import json

import numpy as np
import pytest

from uvim_fsq.evaluators.depth import METRICS, DepthEvaluator, depth_metrics
from uvim_fsq.evaluators.runner import evaluate
from uvim_fsq.tasks.depth.task import DepthTask


@pytest.mark.parametrize("case", range(4))
def test_golden_metrics_of_flat_arrays(golden, case):
    """Case 3 has ratios exactly at the thresholds of delta, which do not count."""
    a = golden("eval/nyu_depth.npz")
    prediction, target = (a[f"direct{case}/{name}"][None] for name in ("pred", "gt"))
    found = depth_metrics(prediction, target)
    expected = a[f"direct{case}/metrics"]
    np.testing.assert_allclose(
        [found[name] for name in METRICS], expected, rtol=1e-6, atol=1e-6
    )


def test_golden_evaluation(golden, golden_path):
    """Low-resolution predictions, padded batches, means over pictures: the public result."""
    a = golden("eval/nyu_depth.npz")
    expected = json.loads(golden_path("eval/nyu_depth.json").read_text())
    task = DepthTask(image_size=(32, 32))
    targets = a["gt_71x80"].reshape(-1, 71, 80).astype(np.float32)
    targets = targets.repeat(6, axis=1).repeat(7, axis=2)
    predictions = a["pred"].reshape(-1, 32, 32)
    items = (
        {
            "index": i,
            "id": str(i),
            "mask": a["mask"].ravel()[i],
            "prediction": task.restore({"depth": predictions[i]}, (426, 560)),
        }
        for i in range(len(targets))
    )
    evaluator = DepthEvaluator(expected["min_depth"], float(expected["max_depth"]))
    result = evaluate(
        items, {"depth": evaluator}, lambda i: {"depth": targets[i]}, count=10
    )
    theirs = [expected["result"][name] for name in ("RMSE", "abs_RE", *METRICS[2:])]
    ours = [result.scores[f"depth/{name}"] for name in METRICS]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for name, their_name in zip(METRICS, ("rmse", "abs_re", *METRICS[2:]), strict=True):
        np.testing.assert_allclose(
            [row[f"depth/{name}"] for row in result.per_image],
            a[f"per_image/{their_name}"][:10],
            rtol=1e-5,
            atol=1e-6,
        )


def test_metrics_by_hand():
    target = np.array([[1.0, 2.0, 4.0, 8.0]])
    found = depth_metrics(np.array([[1.0, 1.0, 5.0, 8.0]]), target)
    assert found["rmse"] == pytest.approx(np.sqrt(2 / 4))
    assert found["abs_rel"] == pytest.approx((0.5 + 0.25) / 4)
    assert found["log10"] == pytest.approx((np.log10(2) + np.log10(1.25)) / 4)
    assert (found["delta1"], found["delta2"], found["delta3"]) == (0.5, 0.75, 0.75)


def test_only_valid_pixels_count():
    """The bounds themselves are not valid; predictions at other pixels may be anything."""
    target = np.array([[0.0, np.nan, 0.5, 10.0, 11.0, 2.0, 3.0]])
    prediction = np.array([[9.0, 9.0, np.nan, -1.0, np.inf, 2.0, 4.0]])
    found = depth_metrics(prediction, target, min_depth=0.5, max_depth=10.0)
    assert found["valid_pixels"] == 2
    assert found["rmse"] == pytest.approx(np.sqrt(0.5))


def test_pictures_without_depth_are_left_out_and_counted():
    evaluator = DepthEvaluator()
    depths = [np.full((2, 2), 2.0), np.zeros((2, 2)), np.full((2, 2), 4.0)]
    stats = [
        evaluator.update(
            {"prediction": np.full((2, 2), 3.0), "reference": {"depth": d}}
        )
        for d in depths
    ]
    scores = evaluator.aggregate(stats)
    assert scores["rmse"] == pytest.approx(1.0)
    assert (scores["images"], scores["images_without_depth"]) == (2, 1)
    with pytest.raises(ValueError, match="none of the 1 pictures.*unit"):
        evaluator.aggregate(stats[1:2])


def test_rmse_is_the_mean_over_pictures():
    evaluator = DepthEvaluator()
    stats = [
        evaluator.update(
            {"prediction": d + error, "reference": {"depth": np.full((h, 5), 3.0)}}
        )
        for d, error, h in (
            (3.0, np.full((1, 5), 1.0), 1),
            (3.0, np.full((9, 5), 2.0), 9),
        )
    ]
    assert evaluator.aggregate(stats)["rmse"] == pytest.approx(1.5)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_impossible_predictions_are_refused(bad):
    target = np.full((2, 2), 3.0)
    prediction = target.copy()
    prediction[1, 0] = bad
    with pytest.raises(ValueError, match="finite and above 0"):
        depth_metrics(prediction, target)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"found \(3, 4\) and \(4, 3\)"):
        depth_metrics(np.ones((3, 4)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="found 5.0 and 1.0"):
        DepthEvaluator(5.0, 1.0)
