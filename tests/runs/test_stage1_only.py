"""Scores of stage I alone: the bound that it sets, without any work of stage II."""

import json
import shutil

import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.evaluation.table import summary
from uvim_fsq.models.uvim import build
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.open import RunModel, open_trained
from uvim_fsq.settings import replace
from uvim_fsq.share.bundle import save_bundle

RUNS = ("tiny_run", "panoptic_run", "color_run")
STAGE1 = {"stage1", "stage1_foreign_codes", "stage1_foreign_image"}
MODEL_FREE = {"constant", "per_pixel_mean", "per_pixel_mode", "grey"}


@pytest.fixture(params=RUNS)
def run(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def stage1_run(tiny_run, tmp_path):
    """The run as it was before stage II was trained."""
    folder = tmp_path / "stage1_run"
    ignored = shutil.ignore_patterns("stage2", "evaluation*")
    return shutil.copytree(tiny_run, folder, ignore=ignored)


def no_stage2(*_, **__):
    raise AssertionError("stage II was touched")


def scores_without_pictures(run, output=None, **options):
    """Pages of pictures take longer than scores."""
    settings = open_trained(run).config.output
    changes = {"output": replace(settings, pictures=0)}
    return evaluate_run(run, changes, output, **options)


def test_scores_are_those_of_the_whole_evaluation(run, tmp_path, capsys, monkeypatch):
    whole = scores_without_pictures(run, tmp_path / "whole")
    capsys.readouterr()
    monkeypatch.setattr(RunModel, "stage2", no_stage2)
    monkeypatch.setattr(build, "build_stage2", no_stage2)
    alone = evaluate_run(run, stage1_only=True)
    said = capsys.readouterr().out.lower()

    predictions = {name.split("/")[0] for name in alone}
    assert STAGE1 < predictions
    assert predictions <= STAGE1 | MODEL_FREE | {"codebook", "codebook_training"}
    assert alone == {name: whole[name] for name in alone}  # To the bit.
    assert not any("bits" in name for name in alone)

    assert "stage i: reconstruction from its own code" in said
    for word in ("greedy", "whole", "sample", "stage ii", "bits"):
        assert word not in said
    folder = run / "evaluation_stage1"
    assert json.loads((folder / "scores.json").read_text())["scores"] == alone
    assert "greedy" not in (folder / "per_image.jsonl").read_text()
    assert {path.stem for path in folder.glob("*.png")} == {"pictures", "best", "worst"}

    scoring = RunDirectory(run).config().task.scoring()
    line = summary(alone, scoring)
    assert line.startswith(f"{scoring.headline} of stage I alone: ")
    assert "greedy" in summary(whole, scoring) and "greedy" not in line


def test_a_run_with_stage1_alone_needs_no_flag(tiny_run, stage1_run, tmp_path):
    expected = scores_without_pictures(tiny_run, tmp_path / "scores", stage1_only=True)
    assert scores_without_pictures(stage1_run) == expected
    assert (stage1_run / "evaluation" / "scores.json").exists()


def test_a_bundle_with_stage1_alone_needs_no_flag(
    tiny_run, stage1_run, tmp_path, monkeypatch
):
    expected = scores_without_pictures(tiny_run, tmp_path / "scores", stage1_only=True)
    save_bundle(stage1_run, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    assert scores_without_pictures("bundle") == expected
    assert scores_without_pictures("bundle", stage1_only=True) == expected
    folders = {path.name for path in (tmp_path / "evaluations").iterdir()}
    assert folders == {"bundle", "bundle_stage1"}


def test_a_seed_of_stage2_is_not_for_stage1_alone(tiny_run, capsys):
    words = [str(tiny_run), "--stage1-only", "--stage2-seed", "0"]
    assert main(["evaluate", *words]) == 2
    assert "give one of the two" in capsys.readouterr().err
