"""Names of folders and files, and scores, that are unlike others."""

import json

import cv2
import numpy as np

from uvim_fsq.configs import panoptic
from uvim_fsq.data.coco.format import read_index
from uvim_fsq.data.scenes.source import CATEGORIES
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.settings import PicturesConfig, replace
from uvim_fsq.tasks.panoptic.files import PanopticFiles


def test_folders_that_are_no_stage_two_are_left_alone(tmp_path):
    run = RunDirectory(tmp_path)
    names = ("seed_0", "seed_12", "seed_0_backup", "seed_", "seed_01", "seed_x")
    for name in names:
        (tmp_path / "stage2" / name).mkdir(parents=True)
    assert run.stage2_seeds() == [0, 12]


def test_pictures_of_one_number_have_ids_of_their_own(tmp_path):
    config = replace(panoptic.get_config("fsq", "tiny"), task__classes=18)
    task = config.task.build()
    files = PanopticFiles(task)
    image = np.zeros((8, 8, 3), np.uint8)
    thing = next(category for category in CATEGORIES if category.isthing)
    ids = np.ones((8, 8), np.int32)
    segments = [{"id": 1, "category_id": thing.id}]
    object.__setattr__(task, "categories", CATEGORIES)
    for stem in ("1", "01", "000000000139", "a"):
        files.write(tmp_path, stem, image, {"panoptic": ids, "segments": segments})
    files.finish(tmp_path)
    index = read_index(tmp_path / "panoptic.json")
    named = {number: image.file_name for number, image in index.images.items()}
    assert named == {
        **{1: "1.png", "01": "01.png"},
        **{139: "000000000139.png", "a": "a.png"},
    }


def strict(text):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_perfect_prediction_leaves_json_behind(color_run, tmp_path):
    """The grey picture as it is has no error where the truth is grey: infinite PSNR."""
    folder = tmp_path / "grey"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), np.zeros((16, 16), np.uint8))
    config = RunDirectory(color_run).config()
    data = PicturesConfig(str(folder), str(folder), skip_grey=False)
    evaluation = replace(config.evaluation, samples=1)
    changes = {"data": data, "evaluation": evaluation}
    scores = evaluate_run(color_run, changes, tmp_path / "out")
    assert scores["grey/psnr"] == float("inf")
    kept = strict((tmp_path / "out" / "scores.json").read_text())
    assert kept["scores"]["grey/psnr"] is None
    assert kept["not_finite"]["grey/psnr"] == "inf"
    rows = (tmp_path / "out" / "per_image.jsonl").read_text().splitlines()
    for row in map(strict, rows):
        assert row["grey/psnr"] is None and row["not_finite"]["grey/psnr"] == "inf"
