"""Bundles: a trained model moves to another folder and stays what it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.models.uvim.inference import content_hash
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.runs.held import hold
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError
from uvim_fsq.share.bundle import save_bundle


@pytest.fixture(scope="module")
def scored(tiny_run, tmp_path_factory):
    """A copy of the run, with scores, and its scores."""
    run = tmp_path_factory.mktemp("runs") / "scored"
    shutil.copytree(tiny_run, run)
    return run, evaluate_run(run)


@pytest.fixture(scope="module")
def depth_bundle(scored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "depth"
    save_bundle(scored[0], folder)
    return folder


PICTURE = np.random.default_rng(0).integers(0, 256, (21, 34, 3), np.uint8)
PROGRAM = """
import sys
import numpy as np
import uvim_fsq
from uvim_fsq.models.uvim.inference import content_hash
from uvim_fsq.models.uvim.stage2.sampling import Sampling

results = {}
picture = np.load("picture.npy")
for name in sys.argv[1:]:
    model = uvim_fsq.load(name, seed=3)
    prediction = model.predict(picture)
    if isinstance(prediction, dict):
        prediction = prediction["panoptic"]
    image = model.inference.task.prepare_image(picture)[None]
    drawn = model.inference.sample(
        image, [content_hash(picture)], Sampling(1.0), samples=3, seed=3
    )
    results |= {f"{name}_prediction": prediction, f"{name}_codes": drawn.indices}
    results[f"{name}_log_probs"] = drawn.log_probs
np.savez("results.npz", **results)
"""


def test_a_moved_bundle_predicts_the_same_without_its_run(
    tiny_run, panoptic_run, color_run, tmp_path
):
    """To the bit, in a fresh process, for every task; the codes drawn at random too."""
    runs = {"depth": tiny_run, "panoptic": panoptic_run, "colors": color_run}
    there = tmp_path / "there"
    expected, segments = {}, None
    for name, run in runs.items():
        shutil.copytree(run, tmp_path / "runs" / name)
        model = uvim_fsq.load(tmp_path / "runs" / name, seed=3)
        prediction = model.predict(PICTURE)
        if name == "panoptic":
            segments, prediction = prediction["segments"], prediction["panoptic"]
        image = model.inference.task.prepare_image(PICTURE)[None]
        drawn = model.inference.sample(
            image, [content_hash(PICTURE)], Sampling(1.0), samples=3, seed=3
        )
        expected |= {f"{name}_prediction": prediction, f"{name}_codes": drawn.indices}
        expected[f"{name}_log_probs"] = drawn.log_probs
        model.save(tmp_path / "saved" / name)
        shutil.move(tmp_path / "saved" / name, there / name)
    shutil.rmtree(tmp_path / "runs")
    np.save(there / "picture.npy", PICTURE)
    cache = os.environ["UVIM_FSQ_CACHE"]
    subprocess.run(
        [sys.executable, "-c", PROGRAM, *runs],
        cwd=there,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "UVIM_FSQ_CACHE": cache},
        check=True,
    )
    with np.load(there / "results.npz") as found:
        assert set(found) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], np.asarray(array), name)
    loaded = uvim_fsq.load(there / "panoptic", seed=3).predict(PICTURE)
    assert loaded["segments"] == segments


def test_what_was_loaded_is_saved_even_if_the_run_is_gone(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    model = uvim_fsq.load(tmp_path / "run")
    before = open_trained(tmp_path / "run").stage1().record["hash"]
    shutil.rmtree(tmp_path / "run")
    model.save(tmp_path / "bundle")
    assert open_trained(tmp_path / "bundle").stage1().record["hash"] == before


def test_a_bundle_scores_as_its_run(scored, depth_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate_run(depth_bundle) == scored[1]
    assert [path.name for path in tmp_path.glob("evaluations/*")] == ["depth"]
    assert sorted(path.name for path in depth_bundle.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_what_is_known_of_a_run_goes_along(scored, depth_bundle):
    details = open_trained(depth_bundle).details()
    assert details["scores"]["scores"] == scored[1]
    assert details["scores"]["pictures"] == 8
    assert set(details["steps"]) == {"stage1", "stage2"}
    assert details["steps"]["stage1"] in range(1, 5)
    assert details["stage2_seed"] == 0
    assert details["codebook_usage"]["indices"] == 16 * 4
    assert details["versions"]["uvim_fsq"] == uvim_fsq.__version__
    assert "devices" not in json.dumps(dict(details))


def test_a_bundle_of_a_bundle_is_the_same(depth_bundle, tmp_path):
    save_bundle(depth_bundle, tmp_path / "depth")
    for file in depth_bundle.iterdir():
        assert (tmp_path / "depth" / file.name).read_bytes() == file.read_bytes()


def test_stage_two_is_trained_on_a_bundles_stage_one(
    tiny_run, tiny_config, depth_bundle, tmp_path
):
    """It is the same stage I, so that either stage II goes with either."""
    train(tiny_config, tmp_path / "run", (2,), stage1_run=depth_bundle)
    ours, theirs = open_trained(tmp_path / "run"), open_trained(tiny_run)
    assert ours.stage1().record == theirs.stage1().record
    stage2 = ours.stage2()
    assert stage2 is not None and stage2.record == theirs.stage2().record  # pyright: ignore[reportOptionalMemberAccess]
    link = tmp_path / "run" / "stage1.json"
    link.write_text(json.dumps({"run": str(tiny_run)}))
    assert open_trained(tmp_path / "run").stage2() is not None
    save_bundle(tmp_path / "run", tmp_path / "bundle")
    moved = hold(open_trained(tmp_path / "bundle"))
    assert moved.stage1().record == theirs.stage1().record
    assert "Stage I was trained on the built-in" in card(tmp_path / "bundle")


def test_stage_one_alone_is_a_bundle(tiny_config, tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "stage2")
    save_bundle(tmp_path / "run", tmp_path / "bundle")
    assert open_trained(tmp_path / "bundle").stage2() is None
    with pytest.raises(ConfigError, match="has no trained stage II"):
        uvim_fsq.load(tmp_path / "bundle")
    assert "--stage1 bundle" in card(tmp_path / "bundle")


def card(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def test_other_stage_two_seeds(scored, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(scored[0], run)
    shutil.copytree(run / "stage2" / "seed_0", run / "stage2" / "seed_7")
    save_bundle(run, tmp_path / "seven", seed=7)
    trained = open_trained(tmp_path / "seven")
    record = open_trained(run).stage2(7).record  # pyright: ignore[reportOptionalMemberAccess]
    assert trained.stage2().record == record and record["seed"] == 7  # pyright: ignore[reportOptionalMemberAccess]
    assert trained.stage2(7) is not None
    with pytest.raises(ConfigError, match="holds stage II of seed 7, and seed 0 was"):
        trained.stage2(0)
    with pytest.raises(ConfigError, match="seed_5 holds no checkpoint"):
        save_bundle(run, tmp_path / "five", seed=5)
    assert not (tmp_path / "five").exists()


def test_scores_of_other_weights_stay_behind(scored, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(scored[0], run)
    file = run / "evaluation" / "scores.json"
    report = json.loads(file.read_text())
    model = {"stage1": dict(open_trained(run).stage1().record)}
    file.write_text(json.dumps({**report, "model": model}))
    save_bundle(run, tmp_path / "same")
    assert "scores" in open_trained(tmp_path / "same").details()
    model["stage1"]["hash"] = "0" * 16
    file.write_text(json.dumps({**report, "model": model}))
    save_bundle(run, tmp_path / "other")
    assert "scores" not in open_trained(tmp_path / "other").details()
    assert "Not scored yet." in card(tmp_path / "other")
