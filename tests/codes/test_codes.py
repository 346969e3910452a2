"""Codes of a data set: what the files hold is what the model makes of each picture."""

import json
import math
import os

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.codes.files import id_line
from uvim_fsq.codes.plot import level_shares, save_histogram
from uvim_fsq.codes.write import write_codes
from uvim_fsq.configs.depth import get_config
from uvim_fsq.errors import DataError
from uvim_fsq.evaluators.codebook import CodebookEvaluator, UsedCodewords
from uvim_fsq.quantizers import FSQ
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import (
    ConfigError,
    FolderConfig,
    IdentityConfig,
    PicturesConfig,
    TfdsConfig,
    replace,
)
from uvim_fsq.tasks.base import example_transform

FILES = {
    *("bits.npy", "codes.json", "histogram.npy", "histogram.png"),
    *("ids.txt", "indices.npy"),
}


@pytest.fixture(scope="module")
def codes(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes") / "train"
    # 16 pictures: the last of the batches is not full.
    assert write_codes(tiny_run, folder, batch_size=5) == folder
    return folder


@pytest.fixture(scope="module")
def batch(tiny_run):
    """Every training picture at once, in order."""
    trained = open_trained(tiny_run)
    inference = load_inference(trained)
    source = trained.config.data.open("train")
    transform = example_transform(inference.task, train=False)
    generator = np.random.default_rng(0)
    examples = [transform(source[i], generator) for i in range(len(source))]
    arrays = {name: np.stack([e[name] for e in examples]) for name in examples[0]}
    return inference, arrays, [source.example_id(i) for i in range(len(source))]


def described(folder):
    return json.loads((folder / "codes.json").read_text())


def test_indices_are_those_of_the_model_in_order(codes, batch):
    inference, arrays, ids = batch
    assert {path.name for path in codes.iterdir()} == FILES
    indices = np.load(codes / "indices.npy", mmap_mode="r")
    assert indices.shape == (16, 4) and indices.dtype == np.uint8
    encoded = np.asarray(inference.encode(arrays["image"], arrays["planes"]))
    np.testing.assert_array_equal(indices, encoded)
    assert len(set(map(bytes, indices))) > 4
    assert (codes / "ids.txt").read_text().splitlines() == ids


def test_indices_decode_to_the_reconstruction(codes, batch):
    inference, arrays, _ = batch
    indices = np.load(codes / "indices.npy").astype(np.int32)
    decoded = inference.decode(indices, arrays["image"])["depth"]
    expected, _ = inference.reconstruct(arrays["image"], arrays["planes"])
    np.testing.assert_array_equal(decoded, expected["depth"])


def test_bits_and_usage_are_those_of_the_evaluator(codes, batch):
    inference, arrays, _ = batch
    indices, bits = (np.load(codes / f"{name}.npy") for name in ("indices", "bits"))
    log_probs = np.asarray(inference.code_log_probs(arrays["image"], np.int32(indices)))
    expected = -log_probs.sum(axis=1) / math.log(2)
    assert bits.dtype == np.float32
    np.testing.assert_allclose(bits, expected, rtol=1e-5)

    evaluator = CodebookEvaluator(25)
    scores = evaluator.aggregate(
        [
            evaluator.update({"indices": code.astype(np.int32), "log_probs": own})
            for code, own in zip(indices, log_probs, strict=True)
        ]
    )
    found = described(codes)
    for name in ("usage", "perplexity", "codewords_used", "indices"):
        assert found[name] == pytest.approx(scores[name]), name
    for name in ("bits_per_image", "bits_per_index"):
        assert found[name] == pytest.approx(scores[name], rel=1e-5), name
    corrected = found["usage"] / found["usage_by_chance"]
    assert corrected == pytest.approx(scores["usage_corrected"])
    histogram = np.load(codes / "histogram.npy")
    np.testing.assert_array_equal(histogram, np.bincount(indices.ravel(), minlength=25))
    assert found["most_used"] == {
        "index": int(histogram.argmax()),
        "share": histogram.max() / 64,
    }


def test_the_description_says_how_to_read_the_codes(codes, tiny_run):
    found = described(codes)
    trained = open_trained(tiny_run)
    assert found["hashes"] == {
        "stage1": trained.stage1().record["hash"],
        "stage2": trained.stage2().record["hash"],
    }
    assert found["parts"] == [{"part": "train", "first_row": 0, "pictures": 16}]
    assert (found["codebook_size"], found["levels"]) == (25, [5, 5])
    assert (found["code_length"], found["code_grid"]) == (4, [2, 2])
    assert found["stage2_tokens"] == {"start": 0, "of_index_0": 1}
    assert (found["task"]["kind"], found["data"]) == ("depth", "scenes")
    assert found["environment"]["uvim_fsq"]


def test_all_parts_follow_one_another(tiny_run, codes, tmp_path, capsys):
    folder = write_codes(tiny_run, tmp_path / "all", part="all", limit=29)
    found = described(folder)
    assert found["parts"] == [
        {"part": "train", "first_row": 0, "pictures": 16},
        {"part": "validation", "first_row": 16, "pictures": 8},
        {"part": "test", "first_row": 24, "pictures": 5},
    ]
    indices = np.load(folder / "indices.npy")
    np.testing.assert_array_equal(indices[:16], np.load(codes / "indices.npy"))
    test = np.load(
        write_codes(tiny_run, tmp_path / "test", part="test") / "indices.npy"
    )
    np.testing.assert_array_equal(indices[24:], test[:5])
    ids = (folder / "ids.txt").read_text().splitlines()
    assert (ids[0], ids[24]) == ("scene-0-train-000000", "scene-0-test-000000")
    said = capsys.readouterr().out
    assert "16 train, 8 validation, 5 test" in said
    assert (
        "under stage II (4.64 at fixed length)" in said and "images per second" in said
    )
    assert not list(tmp_path.glob(".*"))


def depth_folder(path, names):
    generator = np.random.default_rng(0)
    for kind, dtype, channels in (("rgb", np.uint8, (3,)), ("depth", np.uint16, ())):
        for name in names:
            file = path / kind / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = generator.integers(0, 255, (20, 24, *channels), dtype)
            if kind == "depth":  # up to 5 m
                image = image * dtype(20)
            assert cv2.imwrite(str(file), image)
    return path


def test_a_folder_is_encoded_and_its_parts_are_not_taken_twice(tiny_run, tmp_path):
    names = [f"frame{i:02d}" for i in range(12)]
    path = depth_folder(tmp_path / "frames", names)
    changes = {"data": FolderConfig(str(path), validation_fraction=0.3)}
    folder = write_codes(tiny_run, tmp_path / "codes", changes, part="all")
    ids = (folder / "ids.txt").read_text().splitlines()
    assert sorted(ids) == names
    assert [part["part"] for part in described(folder)["parts"]] == [
        "train",
        "validation",
    ]

    other = depth_folder(tmp_path / "others", ["x", "y"])
    changes = {"data": replace(changes["data"], evaluation_path=str(other))}
    folder = write_codes(tiny_run, tmp_path / "more", changes, part="all")
    assert (folder / "ids.txt").read_text().splitlines() == [*ids, "x", "y"]
    assert str(tmp_path) not in (folder / "codes.json").read_text()


def test_splits_of_tfds_are_taken_once():
    assert list(TfdsConfig("x").distinct_parts()) == ["train", "validation"]
    same = TfdsConfig("x", test_split="train")
    assert list(same.distinct_parts()) == ["train", "validation"]
    other = TfdsConfig("x", test_split="test")
    assert list(other.distinct_parts()) == ["train", "validation", "test"]


def test_a_model_without_stage2_has_no_bits(tmp_path, capsys):
    config = replace(get_config("vq", "tiny"), quantizer__codebook_size=300)
    train(config, tmp_path / "run", (1,))
    folder = write_codes(tmp_path / "run", part="validation")
    assert folder == tmp_path / "run" / "codes_validation"
    assert {path.name for path in folder.iterdir()} == FILES - {"bits.npy"}
    found = described(folder)
    assert found["levels"] is None and found["hashes"]["stage2"] is None
    assert not any(name.startswith("bits") for name in found)
    assert np.load(folder / "indices.npy").dtype == np.uint16
    assert "bits" not in capsys.readouterr().out


def test_nothing_is_overwritten_and_nothing_half_done_stays(tiny_run, codes, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in codes.iterdir()}
    with pytest.raises(ConfigError, match="is there already"):
        write_codes(tiny_run, codes)
    assert {path: path.stat().st_mtime_ns for path in codes.iterdir()} == before

    path = depth_folder(tmp_path / "frames", ["a", "b", "c", "d"])
    changes = {"data": FolderConfig(str(path), evaluation_path=str(path))}
    broken = path / "depth" / "d.png"
    cv2.imwrite(str(broken), np.zeros((9, 9), np.uint16))  # Another size: found late.
    with pytest.raises(DataError):
        write_codes(tiny_run, tmp_path / "out" / "codes", changes, part="test")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_failure_on_the_way_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("uvim_fsq.codes.write.save_histogram", fail)
    with pytest.raises(OSError, match="full"):
        write_codes(tiny_run, tmp_path / "codes")
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_codes_is_refused(tiny_run, tmp_path):
    config = replace(get_config("fsq", "tiny"), quantizer=IdentityConfig())
    RunDirectory(tmp_path / "identity").open(config)
    with pytest.raises(ConfigError, match="identity quantizer.* no indices"):
        write_codes(tmp_path / "identity", tmp_path / "codes")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        noise = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
        cv2.imwrite(str(pictures / f"{name}.png"), noise)
    changes = {"data": PicturesConfig(str(pictures))}
    with pytest.raises(DataError, match="the depth task needs examples with depth"):
        write_codes(tiny_run, tmp_path / "codes", changes)
    for wrong in ({"limit": 0}, {"batch_size": 0}):
        with pytest.raises(ConfigError, match="must be at least 1, found 0"):
            write_codes(tiny_run, tmp_path / "codes", **wrong)
    assert not (tmp_path / "codes").exists()


@pytest.mark.parametrize(
    "name", ["two\nlines", "return\r", "a\\nb", "line\u2028break", "x\x85", "\\"]
)
def test_any_id_fits_a_line_and_comes_back(name):
    line = id_line(name)
    assert line.splitlines() == [line] and "\\" in line
    assert line.encode("latin1").decode("unicode_escape") == name


@pytest.mark.parametrize("name", ["train/0001", "Küche\u202f1 ä", "日本/1"])
def test_plain_ids_stay_as_they_are(name):
    assert id_line(name) == name


def count(indices, codebook_size):
    used = UsedCodewords(codebook_size)
    used.add(indices)
    return used


def test_shares_of_levels_agree_with_the_quantizer():
    levels = (4, 3, 2)
    indices = np.random.default_rng(0).integers(0, 24, 500)
    indices = indices[indices % 3 > 0]
    codes = FSQ(levels=levels).apply(
        {}, jnp.asarray(indices), method="indices_to_codes"
    )
    digits = np.asarray(codes) * [2, 1, 1] + [2, 1, 1]
    shares = level_shares(count(indices, 24), levels)
    for channel, size in enumerate(levels):
        counted = np.bincount(digits[:, channel].round().astype(int), minlength=size)
        np.testing.assert_allclose(shares[channel], counted / len(indices))


@pytest.mark.parametrize("levels", [None, (5, 5)])
def test_the_picture_shows_something(tmp_path, levels):
    # One alone draws on a logarithmic axis.
    used = count(np.repeat(np.arange(1 if levels is None else 20), 7), 25)
    save_histogram(tmp_path / "histogram.png", used, levels, "depth")
    picture = cv2.imread(str(tmp_path / "histogram.png"))
    assert picture.shape[1] > 1000
    for color, drawn in ((0x2A6F97, True), (0x61A5C2, levels is not None)):
        bgr = [color & 255, color >> 8 & 255, color >> 16]
        assert ((picture == bgr).all(axis=-1).sum() > 10_000) == drawn
    assert os.listdir(tmp_path) == ["histogram.png"]
