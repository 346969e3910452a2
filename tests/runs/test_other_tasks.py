"""Panoptic segmentation and colorization from training to scores and predictions."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.configs import panoptic
from uvim_fsq.data.coco.format import read_index
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.scenes.source import CATEGORIES, Scenes
from uvim_fsq.data.segments import check_ids
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, replace


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / "000000000139.png", tmp_path / "wide.png"]
    for path, size in zip(paths, ((40, 30), (21, 64)), strict=True):
        cv2.imwrite(str(path), rng.integers(0, 256, (*size, 3), np.uint8))
    return paths


def test_a_panoptic_run_knows_its_categories(panoptic_run):
    task = RunDirectory(panoptic_run).config().task
    assert [c.name for c in task.categories] == [c.name for c in CATEGORIES]
    assert load_inference(open_trained(panoptic_run)).task.categories == CATEGORIES


def test_panoptic_scores(panoptic_run, tmp_path):
    scores = evaluate_run(panoptic_run, output=tmp_path)
    names = {key.split("/")[0] for key in scores if key.endswith("/pq")}
    assert {"stage1", "greedy", "sample", "constant", "per_pixel_mode"} < names
    assert not any(name.startswith("mean_of") for name in names)
    # The most frequent classes are walls and floors: some of them match.
    assert 0 < scores["per_pixel_mode/pq"] < 50
    rows = (tmp_path / "per_image.jsonl").read_text().splitlines()
    assert len(rows) == 8 and "greedy/pq" in json.loads(rows[0])
    for page in ("pictures", "best", "worst"):
        assert cv2.imread(str(tmp_path / f"{page}.png")).std() > 5


def test_panoptic_predictions_are_in_the_format_of_coco(
    panoptic_run, pictures, tmp_path
):
    model = uvim_fsq.load(panoptic_run, batch_size=2)
    written = model.predict_files(pictures, tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in written] == [
        "panoptic/000000000139.png",
        "000000000139_overlay.png",
        "panoptic/wide.png",
        "wide_overlay.png",
        "panoptic.json",
    ]
    index = read_index(tmp_path / "out" / "panoptic.json")
    assert index.categories == CATEGORIES and set(index.images) == {139, "wide"}
    for name, size in ((139, (40, 30)), ("wide", (21, 64))):
        annotation = index.annotations[name]
        path = tmp_path / "out" / "panoptic" / annotation.file_name
        ids = read_ids(path)
        check_ids(ids, annotation.segments, path, size)
        assert sum(s["area"] for s in annotation.segments) == (ids > 0).sum()
    alone = model.predict(pictures[1])
    np.testing.assert_array_equal(alone["panoptic"], ids)
    with pytest.raises(DataError, match="exist already"):
        model.predict_files(pictures[:1], tmp_path / "out")
    with pytest.raises(DataError, match="have no mean"):
        model.predict(pictures[0], samples=2)


def test_colorization_scores(color_run, tmp_path):
    scores = evaluate_run(color_run, output=tmp_path)
    names = {key.split("/")[0] for key in scores if key.endswith("/psnr")}
    assert {"greedy", "mean_of_2", "constant", "per_pixel_mean"} < names
    assert scores["per_pixel_mean/psnr"] > scores["constant/psnr"] > 5
    assert scores["grey/psnr"] > 20 and scores["grey/colorfulness_ratio"] < 0.01
    assert scores["constant/colorfulness_ratio"] < 1
    assert cv2.imread(str(tmp_path / "best.png")).std() > 5


def test_colors_are_written_with_and_without_the_pictures_luminance(
    color_run, pictures, tmp_path
):
    model = uvim_fsq.load(color_run)
    (plain,) = model.predict_files(pictures[:1], tmp_path / "plain")
    (kept,) = model.predict_files(pictures[:1], tmp_path / "kept", keep_luminance=True)
    assert plain.name == "000000000139_color.png"
    found = cv2.imread(str(plain))
    np.testing.assert_array_equal(found[..., ::-1], model.predict(pictures[0]))
    grey = [
        cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2GRAY).astype(float)
        for path in (pictures[0], kept, plain)
    ]
    assert np.abs(grey[1] - grey[0]).max() < 3
    assert np.abs(grey[2] - grey[0]).mean() > 20


def test_luminance_is_kept_for_colorization_only(panoptic_run, pictures, tmp_path):
    model = uvim_fsq.load(panoptic_run)
    with pytest.raises(DataError, match="for colorization"):
        model.predict_files(pictures, tmp_path / "out", keep_luminance=True)


def test_a_list_chooses_what_is_scored(color_run, tmp_path):
    source = Scenes((16, 16), 8, split="test")
    names = [source.example_id(i) for i in (5, 2, 7)]
    (tmp_path / "list.txt").write_text("\n".join(names))
    config = RunDirectory(color_run).config()
    evaluation = replace(config.evaluation, list=str(tmp_path / "list.txt"))
    evaluate_run(color_run, {"evaluation": evaluation}, tmp_path)
    rows = (tmp_path / "per_image.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == names
    (tmp_path / "list.txt").write_text("scene-0-test-000001\nelsewhere\n")
    with pytest.raises(DataError, match="1 of 2 names .*elsewhere is not there"):
        evaluate_run(color_run, {"evaluation": evaluation}, tmp_path)


def test_a_network_needs_pictures_to_compare_with(color_run, tmp_path):
    evaluation = replace(RunDirectory(color_run).config().evaluation, inception="net")
    with pytest.raises(ConfigError, match="--evaluation.reference-folder"):
        evaluate_run(color_run, {"evaluation": evaluation}, tmp_path)


def test_the_train_part_can_be_scored(panoptic_run):
    evaluate_run(panoptic_run, part="train")
    scores = json.loads((panoptic_run / "evaluation_train" / "scores.json").read_text())
    assert scores["part"] == "train" and scores["pictures"] == 16


def test_too_few_classes_for_the_data(tmp_path):
    config = replace(panoptic.get_config("fsq", "tiny"), task__classes=17)
    with pytest.raises(ConfigError, match="give at least 18"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_of_other_categories_is_refused(panoptic_run, tmp_path):
    run = RunDirectory(panoptic_run)
    task = run.config().task
    other = dataclasses.replace(task.categories[0], name="spaceship")
    changed = replace(run.config(), task__categories=(other, *task.categories[1:]))
    with pytest.raises(ConfigError, match="task.categories is a list of 17 there"):
        run.open(changed)
    with pytest.raises(DataError, match=r"does not know \(table\)"):
        evaluate_run(panoptic_run, {"task": changed.task}, tmp_path)
