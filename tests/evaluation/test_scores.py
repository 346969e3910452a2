"""Scores say what they are of, and those that a model is known by are not overwritten."""

import json
import shutil

import pytest

from tests.runs.test_data import write_frames
from uvim_fsq.data.fingerprint import fingerprint
from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.evaluation.scores import own_scores, read_scores, scored_seed
from uvim_fsq.experiment.compare import compare
from uvim_fsq.runs.train import train
from uvim_fsq.settings import FolderConfig, ScenesConfig, replace
from uvim_fsq.share.bundle import save_bundle


@pytest.fixture(scope="module")
def run(tiny_run, tiny_config, tmp_path_factory):
    """With two stage IIs."""
    path = tmp_path_factory.mktemp("evaluations") / "run"
    shutil.copytree(tiny_run, path)
    config = replace(tiny_config, output__pictures=0)
    train(config, path, stages=(2,), stage2_seed=1)
    return path


@pytest.fixture(scope="module")
def settings(tiny_config):
    return tiny_config.evaluation


@pytest.fixture(scope="module")
def folders(run, settings, tmp_path_factory):
    """Scores of the run's own, and of other seeds, data and settings; what is scored, by folder."""
    frames = tmp_path_factory.mktemp("frames")
    write_frames(frames)
    other = {"data": FolderConfig(str(frames))}
    fewer = {"evaluation": replace(settings, samples=1, examples=5)}
    batches = {"evaluation": replace(settings, batch_size=4)}
    found = {}
    for name, changes, options in (
        ("own", batches, {}),
        ("seed", {}, {"seed": 1}),
        ("data", other, {}),
        ("settings", fewer, {}),
    ):
        before = set(run.iterdir())
        scores = evaluate_run(run, changes, **options)
        (folder,) = set(run.iterdir()) - before
        found[name] = folder, scores
    return found


def test_each_kind_has_a_folder_of_its_own(folders, run):
    names = {kind: folder.name for kind, (folder, _) in folders.items()}
    digest = read_scores(folders["data"][0])["data"]["digest"]
    assert names["own"] == "evaluation" and names["seed"] == "evaluation_seed_1"
    assert names["data"] == f"evaluation_data_{digest[:8]}"
    assert names["settings"].startswith("evaluation_settings_")
    for folder, scores in folders.values():
        assert read_scores(folder)["scores"] == scores


def test_scores_name_their_data_seeds_and_settings(folders, settings):
    own, data = (read_scores(folders[kind][0]) for kind in ("own", "data"))
    scenes = fingerprint(Scenes((16, 16), 8, split="test"))
    assert own["data"] == {
        **{"kind": "scenes", "name": "", "count": 8, "own": True},
        **{"digest": scenes.digest, "scored": scenes.digest},
    }
    assert own["pictures"] == 8 and own["part"] == "test"
    assert own["seeds"] == {"stage1": 0, "stage2": 0}
    assert own["settings"]["samples"] == 2 and "batch_size" not in own["settings"]
    assert data["data"]["own"] is False and data["data"]["kind"] == "folder"
    assert data["pictures"] == data["data"]["count"] == 3
    seed = read_scores(folders["seed"][0])
    assert seed["seeds"] == {"stage1": 0, "stage2": 1}
    fewer = read_scores(folders["settings"][0])
    assert fewer["pictures"] == 5 and fewer["data"]["digest"] == scenes.digest
    assert fewer["data"]["scored"] != scenes.digest
    assert fewer["settings"]["examples"] == 5


def test_bundles_take_the_scores_of_their_own_stage_two(folders, run, tmp_path):
    for seed in (0, 1):
        save_bundle(run, tmp_path / f"bundle_{seed}", seed)
        kind = "seed" if seed else "own"
        rmse = folders[kind][1]["greedy/rmse"]
        card = (tmp_path / f"bundle_{seed}" / "README.md").read_text("utf-8")
        assert f"the whole (greedy): {rmse:.3f} m" in card
        scored = read_scores(folders[kind][0])["data"]["scored"]
        assert (
            f"Of 8 pictures of the test part of the data (fingerprint {scored})" in card
        )
    assert folders["own"][1]["greedy/rmse"] != folders["seed"][1]["greedy/rmse"]


def test_reports_say_whose_scores_they_show(folders, run, tmp_path):
    models = [run, folders["seed"][0], folders["data"][0], folders["settings"][0]]
    compare(list(map(str, models)), tmp_path / "out")
    records = [
        json.loads(line)
        for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    ]
    assert [record["row"] for record in records] == [
        "run",
        *(f"run, {folder.name}" for folder in models[1:]),
    ]
    assert [record["stage2_seed"] for record in records] == [0, 1, 0, 0]
    assert {len(record["stages"]["stage2"]["curve"]) for record in records} == {1}
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "scored on different pictures (3 of test, 5 of test, 8 of test)" in text
    assert (
        "scored with different settings (examples 5 and None; samples 1 and 2)" in text
    )
    compare(list(map(str, models[:2])), tmp_path / "alike")
    assert "scored" not in (tmp_path / "alike" / "table.txt").read_text()


def test_scores_that_are_not_of_the_model_are_not_its_own(run, folders, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    scores = own_scores(tmp_path / "run")
    assert scores["seeds"]["stage2"] == 0
    assert own_scores(tmp_path / "run", 1)["seeds"]["stage2"] == 1
    shutil.rmtree(tmp_path / "run" / "evaluation")
    shutil.copytree(folders["data"][0], tmp_path / "run" / "evaluation")
    assert own_scores(tmp_path / "run") is None
    # An older file says nothing of data and seeds.
    old = {"scores": {"greedy/rmse": 0.5}, "pictures": 8, "part": "test"}
    (tmp_path / "run" / "evaluation" / "scores.json").write_text(json.dumps(old))
    assert own_scores(tmp_path / "run")["pictures"] == 8
    assert scored_seed(old, [3]) == 3 and scored_seed(old, [3, 4]) is None
    assert scored_seed(old | {"model": {"stage2": {"seed": 4}}}, [3, 4]) == 4
    assert scored_seed(old | {"model": {"stage1": {}}}, [3]) is None


def test_the_same_data_under_another_path_are_the_runs_own(tmp_path, tiny_config):
    write_frames(tmp_path / "frames")
    config = replace(tiny_config, output__pictures=0, evaluation__samples=1)
    config = replace(config, data=FolderConfig(str(tmp_path / "frames")))
    train(config, tmp_path / "run", stages=(1,))
    (tmp_path / "frames").rename(tmp_path / "moved")
    moved = {"data": FolderConfig(str(tmp_path / "moved"))}
    evaluate_run(tmp_path / "run", moved)
    assert (tmp_path / "run" / "evaluation" / "scores.json").is_file()
    assert read_scores(tmp_path / "run" / "evaluation")["data"]["name"] == "moved"
    evaluate_run(tmp_path / "run", {"data": ScenesConfig((16, 16), 4, 4)})
    assert len(list((tmp_path / "run").glob("evaluation_data_*"))) == 1
    # Where the run looks for its data lie others now, which are not its own.
    write_frames(tmp_path / "frames")
    for name in ("rgb", "depth"):
        (tmp_path / "frames" / "validation" / name / "2.png").unlink()
    evaluate_run(tmp_path / "run", {})
    assert len(list((tmp_path / "run").glob("evaluation_data_*"))) == 2
