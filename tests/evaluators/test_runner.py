"""The runner: every picture once, references read once, errors that name the culprit."""

import numpy as np
import pytest

from uvim_fsq.evaluators.codebook import CodebookEvaluator
from uvim_fsq.evaluators.depth import DepthEvaluator
from uvim_fsq.evaluators.runner import EvaluationError, Evaluator, evaluate

DEPTH = {"depth": DepthEvaluator()}
BOTH = {**DEPTH, "codebook": CodebookEvaluator(4)}


def item(index, depth=2.0, size=(2, 3), **more):
    prediction = np.full(size, depth)
    return {"index": index, "id": f"picture {index}", "prediction": prediction} | more


def reference(index):
    return {"depth": np.full((2, 3), 2.0 + index)}


def test_evaluators_follow_the_protocol():
    assert all(isinstance(evaluator, Evaluator) for evaluator in BOTH.values())


def test_scores_of_several_evaluators_in_one_pass():
    reads = []

    def read(index):
        reads.append(index)
        return reference(index)

    items = iter([item(1, indices=np.array([0, 1])), item(0, indices=np.array([1, 3]))])
    result = evaluate(items, BOTH, read, count=2)
    assert result.scores["depth/rmse"] == pytest.approx(0.5)
    assert result.scores["codebook/usage"] == 0.75
    assert all(type(score) is float for score in result.scores.values())
    assert reads == [1, 0]
    assert [row["id"] for row in result.per_image] == ["picture 1", "picture 0"]
    assert [row["depth/rmse"] for row in result.per_image] == [1.0, 0.0]


def test_masked_items_are_skipped():
    items = [item(0, mask=np.bool_(True)), item(0, depth=9.0, mask=np.bool_(False))]
    result = evaluate(items, DEPTH, reference, count=1)
    assert len(result.per_image) == 1 and result.scores["depth/rmse"] == 0


def test_a_reference_that_nobody_needs_is_not_read():
    evaluate([item(0, indices=np.array([1]))], {"codebook": CodebookEvaluator(4)})
    with pytest.raises(EvaluationError, match="depth compare with a reference"):
        evaluate([item(0)], DEPTH)


def test_a_picture_that_comes_twice_is_refused():
    with pytest.raises(EvaluationError, match="'picture 3' .index 3. came twice"):
        evaluate([item(3), item(1), item(3)], DEPTH, reference)


def test_lost_pictures_are_noticed():
    with pytest.raises(EvaluationError, match="expected 3 pictures, found 2"):
        evaluate([item(0), item(1)], DEPTH, reference, count=3)
    with pytest.raises(EvaluationError, match="expected 1 pictures, found 2"):
        evaluate([item(0), item(1)], DEPTH, reference, count=1)


def test_errors_name_evaluator_and_picture():
    with pytest.raises(
        EvaluationError,
        match=r"'depth' failed on picture 'picture 1'.*\(5, 5\) and \(2, 3\)",
    ):
        evaluate([item(0), item(1, size=(5, 5))], DEPTH, reference)
    with pytest.raises(EvaluationError, match="'codebook' needs indices.*'picture 0'"):
        evaluate([item(0)], BOTH, reference)
    with pytest.raises(
        EvaluationError, match="'depth' failed on the whole of 0 pictures"
    ):
        evaluate([], DEPTH, reference)
