"""Scores of a trained run, and predictions on pictures of any kind."""

import itertools
import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.data.images import read_image
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.models.uvim.inference import content_hash, stable_hash
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.predictor import LeftOutError
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.settings import ConfigError, replace


@pytest.fixture(scope="module")
def scored(tiny_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("scores")
    return evaluate_run(tiny_run, output=output), output


def test_every_prediction_and_control_is_scored(scored):
    scores, output = scored
    names = {key.split("/")[0] for key in scores if key.endswith("/rmse")}
    controls = {
        f"{name}_foreign_{what}"
        for name in ("stage1", "greedy")
        for what in ("codes", "image")
    }
    assert names == controls | {
        "constant",
        "per_pixel_mean",
        "stage1",
        "greedy",
        "sample",
        "mean_of_2",
    }
    assert scores["per_pixel_mean/rmse"] < scores["constant/rmse"]
    assert 0 < scores["codebook/usage"] <= 1 and scores["codebook/indices"] == 8 * 4
    assert scores["codebook_training/indices"] == 16 * 4
    # An untrained model of 26 tokens cannot be far from log2(26).
    assert scores["codebook/bits_per_index"] == pytest.approx(np.log2(26), abs=0.5)
    assert json.loads((output / "scores.json").read_text())["scores"] == scores
    rows = [
        json.loads(line)
        for line in (output / "per_image.jsonl").read_text().splitlines()
    ]
    assert [row["index"] for row in rows] == list(range(8))
    mean = np.mean([row["greedy/rmse"] for row in rows])
    assert mean == pytest.approx(scores["greedy/rmse"])
    assert cv2.imread(str(output / "pictures.png")).shape[2] == 3
    single = json.loads((output / "single" / "pictures.json").read_text())
    assert {"image", "target", "stage1", "greedy"} <= set(single["columns"])
    for number in range(len(single["ids"])):
        shapes = {
            cv2.imread(str(output / "single" / f"{number}_{column}.png")).shape
            for column in single["columns"]
        }
        assert len(shapes) == 1 and None not in shapes


def test_the_batch_size_changes_no_score(scored, tiny_run, tiny_config, tmp_path):
    """Padding and neighbours do not matter; neither does the order of foreign codes."""
    evaluation = replace(tiny_config.evaluation, batch_size=3)
    again = evaluate_run(tiny_run, {"evaluation": evaluation}, tmp_path)
    for name, value in scored[0].items():
        assert again[name] == pytest.approx(value, rel=1e-4), name


def test_one_picture_has_no_neighbour_to_swap_codes_with(
    tiny_run, tiny_config, tmp_path
):
    evaluation = replace(tiny_config.evaluation, examples=1)
    with pytest.raises(ConfigError, match="at least two pictures"):
        evaluate_run(tiny_run, {"evaluation": evaluation}, tmp_path)


def test_an_image_does_not_depend_on_its_neighbours(tiny_run):
    """To the bit, from pixels to metres, in any place of the batch."""
    inference = load_inference(open_trained(tiny_run))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    hashes = np.array([content_hash(image) for image in images])

    def predict(order):
        drawn = inference.sample(
            images[order], hashes[order], Sampling(1.0), samples=2, seed=3
        )
        depth = inference.decode(drawn.indices[:, 1], images[order])["depth"]
        return np.asarray(drawn.indices), np.asarray(drawn.log_probs), np.asarray(depth)

    whole = predict(np.arange(5))
    assert len({bytes(code) for code in whole[0][:, 1]}) > 1
    order = np.array([4, 2, 0, 3, 1])
    for ours, theirs in zip(predict(order), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs[order])
    for ours, theirs in zip(predict(np.array([2, 2, 2, 2, 2])), whole, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[2])


def test_hashes_are_the_same_everywhere():
    assert stable_hash("0001") == 2753137544
    image = np.zeros((2, 3, 3), np.uint8)
    assert content_hash(image) == content_hash(image.copy())
    assert content_hash(image) != content_hash(image.reshape(3, 2, 3))


@pytest.fixture(scope="module")
def model(tiny_run):
    return uvim_fsq.load(tiny_run)


@pytest.mark.parametrize(
    "shape, dtype",
    [
        ((20, 30), np.uint8),
        ((20, 30, 1), np.uint8),
        ((50, 7, 4), np.uint8),
        ((9, 9, 3), np.uint16),
    ],
)
def test_arrays_of_any_mode(model, shape, dtype):
    picture = np.random.default_rng(0).integers(
        0, 2 ** (8 * np.dtype(dtype).itemsize), shape, dtype
    )
    depth = model.predict(picture)
    assert depth.shape == shape[:2] and depth.dtype == np.float32
    assert 0 < depth.min() and depth.max() <= 10


def write_pictures(folder):
    generator = np.random.default_rng(0)
    folder.mkdir()
    files = []
    for name, shape in (
        ("grey.png", (24, 31)),
        ("colour.jpg", (40, 20, 3)),
        ("alpha.png", (17, 18, 4)),
    ):
        cv2.imwrite(str(folder / name), generator.integers(0, 256, shape, np.uint8))
        files.append(folder / name)
    return files


def test_files_are_predicted_at_their_own_size(model, tmp_path):
    files = write_pictures(tmp_path / "in")
    written = model.predict_files(files, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in written
    )
    for file, size in zip(files, ((24, 31), (40, 20), (17, 18)), strict=True):
        data = cv2.imread(
            str(tmp_path / "out" / f"{file.stem}_depth.png"), cv2.IMREAD_UNCHANGED
        )
        assert data.dtype == np.uint16 and data.shape == size
        np.testing.assert_allclose(data / 1000, model.predict(file), atol=5.1e-4)
        view = cv2.imread(str(tmp_path / "out" / f"{file.stem}_depth_color.png"))
        assert view.shape == (*size, 3)
    (metres, _) = model.predict_files(files[:1], tmp_path / "npy", depth_format="npy")
    np.testing.assert_array_equal(np.load(metres), model.predict(files[0]))


def test_nothing_is_overwritten_unasked(model, tmp_path):
    files = write_pictures(tmp_path / "in")[:1]
    model.predict_files(files, tmp_path / "out")
    with pytest.raises(DataError, match="grey_depth.png.*--overwrite"):
        model.predict_files(files, tmp_path / "out")
    model.predict_files(files, tmp_path / "out", overwrite=True)


def test_broken_pictures_are_left_out_and_named(model, tmp_path):
    files = write_pictures(tmp_path / "in")
    for file in files[:2]:
        file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(LeftOutError, match=r"2 of 3 pictures.*grey.png.*colour") as e:
        model.predict_files(files, tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == sorted(e.value.written)
    assert {path.name for path in e.value.written} == {
        "alpha_depth.png",
        "alpha_depth_color.png",
    }


def test_where_all_are_broken_nothing_is_written(model, tmp_path):
    files = write_pictures(tmp_path / "in")[:1]
    files[0].write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 1 pictures.*grey.png"):
        model.predict_files(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_name_take_their_folders(model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("x", "y"):
        write_pictures(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("")
    written = model.predict_files(tmp_path / "in", tmp_path / "out")
    names = sorted(path.name for path in written if "color" not in path.name)
    expected = [f"{d}_{n}_depth.png" for d in "xy" for n in ("alpha", "colour", "grey")]
    assert names == expected


def test_an_output_that_is_a_file_is_refused(model, tmp_path):
    files = write_pictures(tmp_path / "in")[:1]
    with pytest.raises(DataError, match="is a file, expected a folder"):
        model.predict_files(files, files[0])


def test_one_picture_in_many_forms(model, tmp_path):
    (file, *_) = write_pictures(tmp_path / "in")[1:]
    expected = model.predict(file)
    image = read_image(file)
    for form in (str(file), file.read_bytes(), image, jnp.asarray(image)):
        np.testing.assert_array_equal(model.predict(form), expected)
        (alone,) = model.predict_many(form)
        np.testing.assert_array_equal(alone, expected)
    with file.open("rb") as opened:
        np.testing.assert_array_equal(model.predict(opened), expected)
    both = model.predict_many(np.stack([image, image]))
    assert len(list(both)) == 2
    taken = []
    frames = (taken.append(number) or image for number in itertools.count())
    film = model.predict_many(frames)  # Which has no end.
    np.testing.assert_array_equal(next(film), expected)
    assert len(taken) == model.batch_size
    with pytest.raises(TypeError, match="expected an image.* found list; predict_many"):
        model.predict([file])


def test_samples_and_seeds(tiny_run, model):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(
        model.predict(picture, temperature=1.0), model.predict(picture, temperature=1.0)
    )
    other = uvim_fsq.load(tiny_run, seed=1)
    codes = [
        np.asarray(
            m.inference.sample(
                picture[None],
                [content_hash(picture)],
                Sampling(1.0),
                samples=4,
                seed=m.seed,
            ).indices
        )
        for m in (model, other)
    ]
    assert (codes[0] != codes[1]).any()
    with pytest.raises(ValueError, match="samples must be at least 1"):
        model.predict(picture, samples=0)
