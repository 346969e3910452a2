"""PSNR and colourfulness: parity with the public formula, numbers worked by hand, edge cases."""

import numpy as np
import pytest

from uvim_fsq.evaluators.color import PsnrEvaluator, colorfulness, psnr
from uvim_fsq.evaluators.runner import evaluate


def flat(*rgb):
    """A picture (3 5 3) of one colour, given from 0 to 255."""
    return np.full((3, 5, 3), rgb, np.float64) / 128 - 1


def vivid(shape=(8, 6, 3), seed=0):
    return np.random.default_rng(seed).uniform(-1, 0.99, shape).astype(np.float32)


def scores_of(*pairs):
    evaluator = PsnrEvaluator()
    items = ({"prediction": p, "reference": {"color": t}} for p, t in pairs)
    return evaluator.aggregate([evaluator.update(item) for item in items])


def test_golden_psnr(golden):
    """The last pair is identical."""
    a = golden("eval/psnr.npz")
    found = [psnr(p, t) for p, t in zip(a["pred"], a["labels"], strict=True)]
    np.testing.assert_allclose(found, a["psnr"], rtol=1e-6)
    assert found[-1] == np.inf
    items = (
        {"index": i, "id": str(i), "prediction": prediction}
        for i, prediction in enumerate(a["pred"])
    )
    result = evaluate(
        items, {"color": PsnrEvaluator()}, lambda i: {"color": a["labels"][i]}, count=6
    )
    scores = result.scores
    np.testing.assert_allclose(
        scores["color/psnr"], a["mean_of_first_5"], rtol=1e-6, atol=0
    )
    assert (scores["color/images"], scores["color/images_identical"]) == (6, 1)
    np.testing.assert_allclose(
        [row["color/psnr"] for row in result.per_image], a["psnr"], rtol=1e-6
    )


def test_psnr_by_hand():
    """Range 2: an error of 0.2 everywhere is 20 log10(2 / 0.2) = 20 dB."""
    target = np.zeros((4, 3, 3))
    assert psnr(target + 0.2, target) == pytest.approx(20.0)
    one_value = target.copy()
    one_value[1, 2, 0] = 1.0
    # One of 36 values is wrong by 1: 10 log10(2^2 / (1 / 36)).
    assert psnr(one_value, target) == pytest.approx(10 * np.log10(4 * 36))
    assert psnr(target - 1, target + 1) == pytest.approx(0.0)


def test_colorfulness_by_hand():
    for grey in (0, 77, 255):
        assert colorfulness(flat(grey, grey, grey)) == pytest.approx(0, abs=1e-9)
    # One colour: no spread; rg = 100, yb = (200 + 100) / 2 - 50 = 100.
    assert colorfulness(flat(200, 100, 50)) == pytest.approx(0.3 * 100 * np.sqrt(2))
    halves = np.concatenate([flat(255, 0, 0), flat(0, 255, 0)])
    # rg is 255 and -255, yb 127.5 in both halves.
    assert colorfulness(halves) == pytest.approx(255 + 0.3 * 127.5)
    # rg is -50 and 50, yb -40 and 25: mean and spread of each differ.
    mixed = np.concatenate([flat(0, 50, 65), flat(50, 0, 0)])
    expected = np.sqrt(50**2 + 32.5**2) + 0.3 * 7.5
    assert colorfulness(mixed) == pytest.approx(expected)


def test_colorfulness_is_that_of_the_picture_that_the_protocol_scaled():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.float64)
    rg = picture[..., 0] - picture[..., 1]
    yb = picture[..., :2].mean(axis=-1) - picture[..., 2]
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert colorfulness(picture / 128 - 1) == pytest.approx(expected)
    # A prediction may say 1, which is more than 255.
    assert colorfulness(np.ones((2, 2, 3)) * [1.0, -1.0, -1.0]) == pytest.approx(
        0.3 * np.hypot(255, 127.5)
    )


def test_the_ratio_tells_grey_from_colour():
    """Half the colour at the same grey has half the colourfulness."""
    target = flat(200, 100, 150)
    grey = np.broadcast_to(target.mean(axis=-1, keepdims=True), target.shape)
    assert scores_of((grey, target))["colorfulness_ratio"] == pytest.approx(0, abs=1e-9)
    half = scores_of(((grey + target) / 2, target))
    assert half["colorfulness_ratio"] == pytest.approx(0.5)
    assert half["reference_colorfulness"] == pytest.approx(colorfulness(target))
    assert half["colorfulness"] == pytest.approx(colorfulness(target) / 2)


def test_means_are_over_pictures():
    """PSNR and colourfulness per picture, however large it is; the ratio is of the means."""
    small, large = np.zeros((1, 5, 3)), np.zeros((9, 5, 3))
    scores = scores_of((small + 0.2, small), (large + 0.02, large))
    assert scores["psnr"] == pytest.approx((20 + 40) / 2)
    strong, weak = flat(200, 100, 100), flat(110, 100, 100)
    scores = scores_of((strong, strong), (weak, strong), (weak, weak))
    a, b = colorfulness(strong), colorfulness(weak)
    assert scores["colorfulness"] == pytest.approx((a + 2 * b) / 3)
    assert scores["colorfulness_ratio"] == pytest.approx((a + 2 * b) / (2 * a + b))


def test_identical_pictures_are_left_out_of_the_mean_and_counted():
    target = vivid()
    worse = np.clip(target + 0.1, -1, 1)
    alone = scores_of((worse, target))
    both = scores_of((worse, target), (target, target))
    assert both["psnr"] == alone["psnr"]
    assert (both["images"], both["images_identical"]) == (2, 1)
    assert alone["images_identical"] == 0
    assert scores_of((target, target))["psnr"] == np.inf


def test_without_any_colour_to_predict_there_is_no_ratio():
    grey = flat(100, 100, 100)
    scores = scores_of((flat(100, 90, 100), grey))
    assert "colorfulness_ratio" not in scores
    assert scores["reference_colorfulness"] == 0 and scores["colorfulness"] > 0
    assert np.isfinite(scores["psnr"])


@pytest.mark.parametrize("bad", [1.002, -1.002, 255.0, np.nan, np.inf])
def test_values_out_of_range_are_refused(bad):
    good = vivid()
    wrong = good.copy()
    wrong[2, 3, 1] = bad
    with pytest.raises(ValueError, match="prediction must lie in"):
        psnr(wrong, good)
    with pytest.raises(ValueError, match="target must lie in.*x / 128 - 1"):
        psnr(good, wrong)
    with pytest.raises(ValueError, match="picture must lie in"):
        colorfulness(wrong)


def test_rounding_may_leave_the_range_by_a_little():
    assert psnr(np.full((2, 2, 3), 1.0005), np.ones((2, 2, 3))) > 60


def test_sizes_must_agree_and_something_must_be_scored():
    with pytest.raises(ValueError, match=r"found \(3, 4, 3\) and \(4, 3, 3\)"):
        psnr(np.zeros((3, 4, 3)), np.zeros((4, 3, 3)))
    with pytest.raises(ValueError, match="found none"):
        PsnrEvaluator().aggregate([])
