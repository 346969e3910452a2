"""FID of predictions: what is fed to the network, and what the score may be called."""

import numpy as np
import pytest

from uvim_fsq.evaluation.coltran import network_input, picture_pixels, prediction_pixels
from uvim_fsq.evaluation.fid_evaluator import (
    FID5K_PICTURES,
    FidEvaluator,
    fid5k_evaluator,
    score_pools,
)
from uvim_fsq.evaluation.fid_files import PicturePool
from uvim_fsq.evaluators.fid import FeatureStatistics, FidError, frechet_distance
from uvim_fsq.evaluators.runner import EvaluationError, evaluate


class Colours:
    """Mean colours of a picture's halves; notes how many it was given at once."""

    name, digest, batch_size = "colours", "network", 4

    def __init__(self, is_inception=True):
        self.is_inception = is_inception
        self.batches = []

    def __call__(self, images):
        assert images.shape[1:] == (256, 256, 3) and images.dtype == np.float32
        self.batches.append(len(images))
        return images.reshape(len(images), 2, -1, 3).mean(2).reshape(-1, 6)


def predictions(count, size=(16, 16), seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (count, *size, 3)).astype(np.float32)


def make_pool(count=20, names=None, network="network"):
    features = np.random.default_rng(5).normal(size=(count, 6))
    names = names or [f"reference/{i}.png" for i in range(count)]
    return PicturePool(
        FeatureStatistics.of([features]), tuple(names), network
    ), features


def items(colors):
    return [
        {"index": i, "id": f"test/{i}", "prediction": color}
        for i, color in enumerate(colors)
    ]


def test_score_of_predictions():
    """Batch by batch, whatever remains at the end; the same as from all features at once."""
    pool, reference = make_pool()
    colors, extractor = predictions(10), Colours()
    evaluator = FidEvaluator(extractor, pool)
    result = evaluate(items(colors), {"color": evaluator}, count=10)
    assert extractor.batches == [4, 4, 2]
    pixels = np.stack([prediction_pixels(c) for c in colors])
    expected = frechet_distance(Colours()(network_input(pixels)), reference).value
    assert result.scores == {
        "color/fid": pytest.approx(expected, rel=1e-9),
        "color/images": 10,
        "color/reference_images": 20,
    }
    assert evaluator.warnings == ()


def test_every_pass_begins_anew():
    pool, _ = make_pool()
    evaluator = FidEvaluator(Colours(), pool)
    first = evaluate(items(predictions(9)), {"f": evaluator}).scores
    other = evaluate(items(predictions(11, seed=1)), {"f": evaluator}).scores
    assert other["f/images"] == 11
    assert evaluate(items(predictions(9)), {"f": evaluator}).scores == first != other


def test_two_kinds_of_predictions_need_two_evaluators():
    evaluator = FidEvaluator(Colours(), make_pool()[0])
    both = {"greedy": evaluator, "sample": evaluator}
    with pytest.raises(EvaluationError, match="the 9 pictures of one pass, found 18"):
        evaluate(items(predictions(9)), both)
    assert evaluate(items(predictions(9)), {"f": evaluator}).scores["f/images"] == 9


def test_results_can_be_read_in_between():
    evaluator = FidEvaluator(Colours(), make_pool()[0])
    for item in items(predictions(7)):
        evaluator.update(item)
    seven = evaluator.result()
    assert seven == evaluator.result()
    evaluator.update(items(predictions(1, seed=3))[0])
    assert evaluator.result()["images"] == 8
    assert evaluator.result()["fid"] != seven["fid"]


def test_few_pictures_are_said(caplog):
    evaluator = FidEvaluator(Colours(), make_pool()[0])
    evaluate(items(predictions(5)), {"f": evaluator})
    assert "6 dimensions from 5 pictures" in evaluator.warnings[0]
    assert "biased upwards" in caplog.text
    with pytest.raises(EvaluationError, match="at least 2 pictures, found 1"):
        evaluate(items(predictions(1)), {"f": evaluator})


def test_other_networks_are_not_called_fid():
    pool, _ = make_pool()
    evaluator = FidEvaluator(Colours(is_inception=False), pool)
    scores = evaluate(items(predictions(9)), {"f": evaluator}).scores
    assert set(scores) == {
        "f/frechet_distance_colours",
        "f/images",
        "f/reference_images",
    }
    assert "its distances are not FID" in evaluator.warnings[-1]
    with pytest.raises(FidError, match="those of another network"):
        FidEvaluator(Colours(), make_pool(network="other")[0])


def test_colours_outside_the_range_are_refused():
    evaluator = FidEvaluator(Colours(), make_pool()[0])
    with pytest.raises(EvaluationError, match=r"'test/0'.*must lie in \[-1, 1\]"):
        evaluate(items(predictions(3) * 100), {"f": evaluator})


def test_pools():
    a, features_a = make_pool(30)
    b, features_b = make_pool(20)
    scores, warnings = score_pools(Colours(), a, b)
    assert scores == {
        "fid": pytest.approx(frechet_distance(features_a, features_b).value),
        "images": 30,
        "reference_images": 20,
    }
    assert warnings == ()


@pytest.fixture
def lists(tmp_path, monkeypatch):
    """Two lists as of ImageNet, of 12 instead of 5,000 names, and a pool of the second."""
    monkeypatch.setattr("uvim_fsq.evaluation.fid_evaluator.FID5K_PICTURES", 12)
    names = [f"ILSVRC2012_val_{i:08}.JPEG" for i in range(24)]
    paths = tmp_path / "evaluation.txt", tmp_path / "reference.txt"
    for path, half in zip(paths, (names[:12], names[12:]), strict=True):
        path.write_text("\n".join(half) + "\n")
    pool, _ = make_pool(12, [f"val/{name}" for name in reversed(names[12:])])
    return *paths, pool


def score(evaluator, numbers, size=(512, 512)):
    """Scores predictions for pictures of these numbers, named as sources name them."""
    colors = predictions(len(numbers), size)
    rows = [
        {
            "index": i,
            "id": f"validation/ILSVRC2012_val_{number:08}",
            "prediction": color,
        }
        for i, (number, color) in enumerate(zip(numbers, colors, strict=True))
    ]
    return evaluate(rows, {"f": evaluator}).scores


def test_fid5k(lists):
    evaluation, reference, pool = lists
    evaluator = fid5k_evaluator(Colours(), pool, evaluation, reference)
    scores = score(evaluator, range(11, -1, -1))
    assert set(scores) == {"f/fid5k", "f/images", "f/reference_images"}
    assert evaluator.warnings == ()
    plain = FidEvaluator(Colours(), pool)
    assert score(plain, range(11, -1, -1))["f/fid"] == scores["f/fid5k"]


@pytest.mark.parametrize(
    "numbers, size, reason",
    [
        (range(11), (512, 512), "of the 12 listed pictures 1 were not scored, and 0"),
        (range(13), (512, 512), "0 were not scored, and 1 others were"),
        (range(1, 13), (512, 512), "1 were not scored, and 1 others were"),
        ([*range(11), 5], (512, 512), "1 were not scored, and 0 others were"),
        (range(12), (256, 256), "must be 512 x 512, found 256 x 256"),
    ],
)
def test_what_is_not_quite_fid5k(lists, numbers, size, reason):
    evaluation, reference, pool = lists
    evaluator = fid5k_evaluator(Colours(), pool, evaluation, reference)
    scores = score(evaluator, numbers, size)
    assert "f/fid" in scores and "f/fid5k" not in scores
    assert evaluator.warnings[-1].startswith("not FID-5k: ")
    assert reason in evaluator.warnings[-1]


def test_fid5k_refuses(lists):
    evaluation, reference, pool = lists
    command = "`python scripts/prepare_data.py imagenet2012-lists`"
    for given in ((None, None), (evaluation, None), (None, reference)):
        with pytest.raises(FidError, match=f"{command} writes the two lists"):
            fid5k_evaluator(Colours(), pool, *given)
    with pytest.raises(FidError, match="in common, found 12, ILSVRC2012_val_00000000"):
        fid5k_evaluator(Colours(), pool, evaluation, evaluation)
    with pytest.raises(FidError, match="must hold the 12 pictures .* found 12 with 0"):
        fid5k_evaluator(Colours(), pool, reference, evaluation)
    fewer, _ = make_pool(11, pool.names[1:])
    with pytest.raises(FidError, match="found 11 with 11"):
        fid5k_evaluator(Colours(), fewer, evaluation, reference)
    with pytest.raises(FidError, match="needs TF-GAN's Inception"):
        fid5k_evaluator(Colours(is_inception=False), pool, evaluation, reference)
    evaluation.write_text("a.JPEG\nb/a.JPEG\n")
    with pytest.raises(FidError, match="expected 12 different pictures, found 1 in 2"):
        fid5k_evaluator(Colours(), pool, evaluation, reference)


def test_fid5k_is_of_5000():
    assert FID5K_PICTURES == 5000


def test_real_pictures(real_data):
    """Colourings that keep the colours are nearer to other photographs than grey ones."""
    from uvim_fsq.data.images import read_image
    from uvim_fsq.tasks.colorization.task import ColorizationTask

    paths = sorted((real_data("photos") / "resized320").glob("*.jpg"))[:120]
    task = ColorizationTask((64, 64))
    extractor = Colours()
    pixels = np.stack([picture_pixels(read_image(path)) for path in paths[60:]])
    features = FeatureStatistics.of([extractor(network_input(pixels))])
    pool = PicturePool(features, tuple(p.name for p in paths[60:]), "network")
    found = {}
    for name, kind in (("colour", "target"), ("grey", "image")):
        evaluator = FidEvaluator(extractor, pool)
        for path in paths[:60]:
            example = {"image": read_image(path)}
            prepared = task.preprocess(example, np.random.default_rng(0), train=False)
            evaluator.update({"id": path.name, "prediction": prepared[kind]})
        found[name] = evaluator.result()["fid"]
    assert found["colour"] < 0.5 * found["grey"]
