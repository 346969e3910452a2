"""What stands for a whole set comes from all over it, and foreign codes from far away."""

import numpy as np
import pytest

from uvim_fsq.data.spread import half_away, spread
from uvim_fsq.evaluation import evaluate
from uvim_fsq.evaluation.baselines import training_targets
from uvim_fsq.evaluation.predictions import Predictions
from uvim_fsq.evaluators.runner import EvaluationResult
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.validation import stage1_validation
from uvim_fsq.runs.job import watched_of
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.settings import replace
from uvim_fsq.training.state import create_state
from uvim_fsq.training.writers import TensorBoard


class Video:
    """Frames sorted by scene, those of one scene alike; remembers which were read."""

    categories = ()

    def __init__(self, length, scenes):
        self.length, self.scenes, self.read = length, scenes, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.read.append(index)
        scene = index * self.scenes // self.length
        image = np.random.default_rng(scene).integers(0, 256, (16, 16, 3), np.uint8)
        depth = np.full((16, 16), 0.5 + 9 * scene / self.scenes, np.float32)
        return {"image": image, "depth": depth, "id": self.example_id(index)}

    def reference(self, index):
        return {**self[index], "size": (16, 16)}

    def example_id(self, index):
        return f"{index:04d}"


@pytest.fixture(scope="module")
def model(tiny_run):
    trained = open_trained(tiny_run)
    return trained.config, load_inference(trained)


@pytest.mark.parametrize("length", [1, 2, 7, 256, 1001])
@pytest.mark.parametrize("count", [1, 2, 5, 256, None])
def test_places_are_spread(length, count):
    places = spread(length, count)
    assert len(places) == len(set(places)) == min(length, count or length)
    assert places == sorted(places) and places[0] == 0
    if len(places) > 1:
        gaps = np.diff(places)
        assert places[-1] == length - 1 and gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("length", range(1, 9))
def test_pairs_are_half_of_the_set_apart(length):
    pairs = half_away(length)
    assert {place for pair in pairs for place in pair} == set(range(length))
    assert {abs(a - b) for a, b in pairs} == {length // 2}
    assert len(pairs) == (length + 1) // 2


@pytest.mark.parametrize("length, batch_size", [(8, 5), (5, 4), (3, 1), (1, 4)])
def test_foreign_codes_are_of_the_picture_half_the_set_away(model, length, batch_size):
    config, inference = model
    source = Video(length, length)
    settings = replace(config.evaluation, batch_size=batch_size)
    items = list(Predictions(inference, source, settings).items(range(length)))
    assert sorted(item["index"] for item in items) == list(range(length))
    # Every picture is read once; of an odd number one lends its code twice.
    assert len(source.read) <= length + (length % 2 and length > 1)
    codes = {item["index"]: item["indices"] for item in items}
    images = {index: source[index]["image"] for index in range(length)}
    half, last = length // 2, length - 1
    for item in items:
        index = item["index"]
        other = index + half if index < half else index - half
        if length % 2 and index == last:
            other = last - half
        for name, code, image in (
            ("stage1_foreign_codes", codes[other], images[index]),
            ("stage1_foreign_image", codes[index], images[other]),
        ):
            expected = inference.decode(code[None], image[None])["depth"][0]
            np.testing.assert_allclose(item["planes"][name]["depth"], expected, 1e-5)


def scenes_of(source):
    return {index * source.scenes // source.length for index in source.read}


def test_codebook_usage_is_counted_over_all_scenes(model):
    config, inference = model
    source, result = Video(1000, 10), EvaluationResult({})
    predictions = Predictions(inference, source, config.evaluation)
    evaluate._training_histogram(predictions, source, result)
    assert result.scores["codebook_training/indices"] == 4 * len(source.read) < 1000
    assert scenes_of(source) == set(range(10))


def test_validation_and_baselines_look_at_all_scenes(model, tmp_path):
    config, inference = model
    source = Video(1000, 10)
    config = replace(config, output__evaluate_examples=20, output__pictures=0)
    validation = stage1_validation(
        config, inference.task, inference.stage1, watched_of(config, source)
    )

    optimizer, _ = build.build_optimizer(config.stage1, 10)
    state = create_state(inference.variables1["params"], {}, optimizer)
    tensorboard = TensorBoard(tmp_path)
    assert validation(state, {}, tensorboard)["codebook_usage"] > 0
    tensorboard.close()
    assert len(source.read) == 20 and scenes_of(source) == set(range(10))
    source = Video(5000, 10)
    assert len(list(training_targets(inference.task, source, 32, None))) == 2000
    assert scenes_of(source) == set(range(10))


def test_fewer_scored_examples_are_of_all_scenes():
    source = Video(1000, 10)
    settings = replace(evaluate.EvaluationConfig(), examples=20)
    source.read = evaluate._chosen(settings, source)
    assert len(source.read) == 20 and scenes_of(source) == set(range(10))
