"""FID within the scoring of a run, by a network that is really a SavedModel."""

import cv2
import numpy as np
import pytest

from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.data.spread import spread
from uvim_fsq.evaluation.coltran import network_input, picture_pixels, prediction_pixels
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.evaluation.predictions import Predictions
from uvim_fsq.evaluators.fid import frechet_distance
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.settings import replace

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Features: the mean of each colour."""
    path = tmp_path_factory.mktemp("network") / "means"
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)

    class Model(tf.Module):
        @tf.function(input_signature=[spec])
        def __call__(self, x):
            return {"pool_3": tf.reduce_mean(x, axis=(1, 2))}

    tf.saved_model.save(Model(), str(path))
    return path


def means(pixels):
    return network_input(np.stack(pixels)).mean(axis=(1, 2), dtype=np.float64)


def test_distances_to_a_folder_and_to_a_list(color_run, network, tmp_path):
    source = Scenes((16, 16), 8, split="test")
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 20, 24, 3), np.uint8)
    for i, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{i}.png"), picture[..., ::-1])
    evaluation = RunDirectory(color_run).config().evaluation
    evaluation = replace(evaluation, inception=str(network), examples=5)
    greedy = predicted(color_run, source, evaluation, spread(8, 5))

    compared = replace(evaluation, reference_folder=str(folder))
    scores = evaluate_run(color_run, {"evaluation": compared}, tmp_path / "folder")
    expected = frechet_distance(greedy, means([picture_pixels(p) for p in pictures]))
    found = scores["greedy/frechet_distance_means"]
    assert found == pytest.approx(expected.value, rel=1e-4)
    assert scores["greedy/reference_images"] == 6
    assert "greedy_foreign_codes/frechet_distance_means" not in scores

    names = [source.example_id(i) for i in (5, 6, 7)]
    (tmp_path / "others.txt").write_text("\n".join(names))
    compared = replace(evaluation, reference_list=str(tmp_path / "others.txt"))
    scores = evaluate_run(color_run, {"evaluation": compared}, tmp_path / "list")
    others = means([picture_pixels(source[i]["image"]) for i in (5, 6, 7)])
    expected = frechet_distance(greedy, others)
    found = scores["greedy/frechet_distance_means"]
    assert found == pytest.approx(expected.value, rel=1e-4)


def test_stage1_alone_has_the_same_distance(color_run, network, tmp_path):
    source = Scenes((16, 16), 8, split="test")
    (tmp_path / "list.txt").write_text(
        "\n".join(source.example_id(i) for i in (5, 6, 7))
    )
    evaluation = replace(
        RunDirectory(color_run).config().evaluation,
        inception=str(network),
        examples=5,
        reference_list=str(tmp_path / "list.txt"),
    )
    whole, alone = (
        evaluate_run(
            color_run,
            {"evaluation": evaluation},
            tmp_path / str(only),
            stage1_only=only,
        )
        for only in (False, True)
    )
    distances = {name for name in alone if "frechet" in name}
    assert distances == {"stage1/frechet_distance_means"}
    assert alone["stage1/frechet_distance_means"] > 0
    for name in distances | {"stage1/reference_images"}:
        assert alone[name] == whole[name]


def predicted(run, source, evaluation, indices):
    """Features of greedy predictions."""
    inference = load_inference(open_trained(run))
    items = Predictions(inference, source, evaluation).items(indices)
    return means([prediction_pixels(i["planes"]["greedy"]["color"]) for i in items])
