"""`uvim-fsq score-fid`: what it checks before it starts, and a score of real files."""

import argparse
import builtins
import json
import sys

import cv2
import numpy as np
import pytest

from uvim_fsq.cli import score_fid
from uvim_fsq.cli.failure import explained


def command(*words):
    """The exit code of the command line."""
    parser = argparse.ArgumentParser()
    score_fid.add(parser.add_subparsers(dest="command"))
    options, rest = parser.parse_known_args(["score-fid", *map(str, words)])
    return explained(lambda: score_fid.run(options, rest))


def write_folder(folder, seeds):
    folder.mkdir(parents=True)
    for seed in seeds:
        generator = np.random.default_rng(seed)
        small = generator.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        size = ((60, 40), (40, 60), (300, 300))[seed % 3]
        assert cv2.imwrite(str(folder / f"{seed}.png"), cv2.resize(small, size))
    return folder


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "home"))
    return (
        write_folder(tmp_path / "mine", range(6)),
        write_folder(tmp_path / "reference", range(10, 18)),
    )


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """A SavedModel with the outputs of TF-GAN's Inception, computed from mean colours alone."""
    tf = pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("models") / "colours"

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
        def __call__(self, images):
            means = tf.reduce_mean(tf.image.resize(images, (2, 2)), axis=(1, 2))
            return {
                "pool_3": tf.pad(means, ((0, 0), (0, 2045))),
                "logits": tf.zeros((tf.shape(images)[0], 1008)),
            }

    tf.saved_model.save(Model(), str(path))
    return path


def test_score(folders, saved_model, tmp_path, capsys):
    mine, reference = folders
    arguments = [mine, "--reference-folder", reference, "--inception", saved_model]
    output = tmp_path / "score.json"
    cache = tmp_path / "cache"
    assert command(*arguments, "--cache", cache, "--output", output) == 0
    printed = capsys.readouterr()
    result = json.loads(output.read_text())
    value = result["scores"]["fid"]
    assert value > 0
    assert printed.out == f"fid {value:.6g} (6 pictures, 8 reference pictures)\n"
    assert "note: 2048 dimensions from 6 pictures" in printed.err
    assert "note: 2048 dimensions from 8 pictures" in printed.err
    assert result["scores"] == {"fid": value, "images": 6, "reference_images": 8}
    assert len(result["warnings"]) == 2
    assert len(result["inception"]["sha256"]) == 64
    assert (result["pictures"], result["reference_folder"]) == tuple(map(str, folders))
    # Two kept features, and a scan of each folder.
    assert len(list(cache.glob("fid-*.npz"))) == 2
    assert not (tmp_path / "home").exists()

    assert command(*arguments, "--output", output) == 2
    assert "is there already" in capsys.readouterr().err
    assert json.loads(output.read_text()) == result

    for file in reference.iterdir():
        file.unlink()
    write_folder(reference / "same", range(6))
    assert command(*arguments) == 0
    words = capsys.readouterr().out.split()
    assert (
        float(words[1]) < 1e-6
        and words[2:] == "(6 pictures, 6 reference pictures)".split()
    )
    assert len(list((tmp_path / "home").glob("fid-*.npz"))) == 1  # the same content


def test_broken_pictures(folders, saved_model, capsys):
    mine, reference = folders
    (mine / "0.png").write_bytes((mine / "0.png").read_bytes()[:-20])
    arguments = [mine, "--reference-folder", reference, "--inception", saved_model]
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert "1 of 6 pictures cannot be used" in error and "0.png" in error


def refused(capsys, *words):
    assert command(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("uvim-fsq: ") and captured.err.count("\n") == 1
    return captured.err


def test_what_is_refused_without_tensorflow(folders, tmp_path, capsys, monkeypatch):
    """All this is said before TensorFlow, which takes seconds to import, is asked for."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    mine, reference = folders
    rest = ["--inception", tmp_path / "model"]
    says = refused(capsys, mine, "--reference-folder", mine, *rest)
    assert "is also the reference folder" in says
    (tmp_path / "link").symlink_to(mine)
    says = refused(capsys, mine, "--reference-folder", tmp_path / "link", *rest)
    assert "is also the reference folder" in says
    says = refused(capsys, tmp_path, "--reference-folder", reference, *rest)
    assert "have 8 pictures in common" in says
    says = refused(capsys, tmp_path / "none", "--reference-folder", reference, *rest)
    assert "none does not exist" in says
    (tmp_path / "empty").mkdir()
    says = refused(capsys, tmp_path / "empty", "--reference-folder", reference, *rest)
    assert "empty has no pictures" in says
    both = [mine, "--reference-folder", reference]
    assert "found nothing" in refused(capsys, *both, *rest)
    says = refused(capsys, *both, *rest, "--referense-folder", "x")
    assert "did you mean --reference-folder?" in says
    says = refused(capsys, *both, *rest, "--output", tmp_path / "no" / "score.json")
    assert f"there is no folder {tmp_path / 'no'}" in says


def test_tensorflow_is_missing(folders, tmp_path, capsys, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    says = refused(
        capsys,
        *(folders[0], "--reference-folder", folders[1]),
        *("--inception", tmp_path / "model"),
    )
    assert (
        "TensorFlow, which is not installed: run `pip install tensorflow-cpu`" in says
    )


def test_one_picture(folders, saved_model, tmp_path, capsys):
    one = write_folder(tmp_path / "one", [1])
    arguments = ["--reference-folder", folders[1], "--inception", saved_model]
    assert "at least 2 pictures" in refused(capsys, one, *arguments)


def test_the_command_is_light(monkeypatch):
    """Adding it imports nothing slow."""
    real = builtins.__import__

    def watched(name, *rest):
        assert name.split(".")[0] not in ("tensorflow", "scipy", "cv2")
        assert not name.startswith("uvim_fsq.evaluators")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", watched)
    score_fid.add(argparse.ArgumentParser().add_subparsers())
