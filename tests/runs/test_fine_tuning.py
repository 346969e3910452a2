"""Fine-tuning: trained on one folder, a model goes on from its bundle on another."""

import json
import shutil

import cv2
import jax
import numpy as np
import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs import panoptic
from uvim_fsq.configs.depth import get_config
from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.runs import job
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.open import expected_variables
from uvim_fsq.runs.train import train
from uvim_fsq.settings import (
    CategoryConfig,
    ConfigError,
    PanopticConfig,
    ScenesConfig,
    replace,
)
from uvim_fsq.share.bundle import save_bundle, write_model
from uvim_fsq.training.writers import read_json_lines

QUIET = dict(output__pictures=0, output__checkpoint_every=100)


def scenes(seed):
    return ScenesConfig((16, 16), train_count=16, validation_count=8, seed=seed)


@pytest.fixture(scope="module")
def config():
    return replace(
        get_config("vq", "tiny"),
        **QUIET,
        data=scenes(0),
        stage1__steps=60,
        stage2__steps=60,
        output__evaluate_every=60,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("fine_tuning")
    train(config, folder / "run")
    save_bundle(folder / "run", folder / "bundle")
    shutil.rmtree(folder / "run")
    return folder / "bundle"


def write_frames(folder, seed, count=10):
    """A folder of RGB-D frames that has nothing to do with the built-in source any more."""
    source = Scenes((16, 16), count, seed, split="train")
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        example = source[i]
        name = f"{i:03}.png"
        cv2.imwrite(str(folder / "rgb" / name), example["image"][..., ::-1])
        depth = np.rint(example["depth"] * 1000).astype(np.uint16)
        cv2.imwrite(str(folder / "depth" / name), depth)
    return folder


def losses(run, stage="stage1"):
    lines = read_json_lines(run / stage / "metrics.jsonl")
    return [line["validation/loss"] for line in lines if "validation/loss" in line]


def test_a_model_of_one_folder_is_fine_tuned_on_another(
    bundle, tmp_path, monkeypatch, capsys
):
    """The command of a practitioner: settings and weights from one bundle."""
    monkeypatch.chdir(tmp_path)
    frames = write_frames(tmp_path / "frames", seed=5)
    words = ["--source", "folder", "--data.path", str(frames)]
    words += ["--stage1.steps", "3", "--stage2.steps", "2"]
    words += ["--output.evaluate-every", "1"]
    assert main(["train", str(bundle), "--init-from", str(bundle), *words]) == 0
    assert "stage II starts from" in capsys.readouterr().out
    tuned = tmp_path / "runs" / "from-bundle"
    assert main(["train", str(bundle), "--stage", "1", *words]) == 2
    error = capsys.readouterr().err
    assert f"init_from is {bundle} there and  here" in error.replace("''", "")
    scratch = tmp_path / "scratch"
    words += ["--output.directory", str(scratch)]
    assert main(["train", str(bundle), "--stage", "1", *words]) == 0
    printed = capsys.readouterr().out
    assert (
        f"from scratch: to start from its weights, add --init-from {bundle}" in printed
    )
    assert losses(tuned)[0] < 0.9 * losses(scratch)[0]
    assert (tuned / "stage1" / "initial.json").exists()
    assert not (scratch / "stage1" / "initial.json").exists()


def test_stage2_is_fine_tuned_on_the_frozen_stage1_of_a_bundle(
    bundle, config, tmp_path
):
    """On one and the same stage I losses of stage II can be compared."""
    here = replace(config, data=scenes(5), stage2__steps=2, output__evaluate_every=1)
    train(here, tmp_path / "scratch", (2,), stage1_run=bundle)
    here = replace(here, init_from=str(bundle))
    train(here, tmp_path / "tuned", (2,), stage1_run=bundle)
    stage2 = "stage2/seed_0"
    assert (
        losses(tmp_path / "tuned", stage2)[0] < losses(tmp_path / "scratch", stage2)[0]
    )
    assert not (tmp_path / "tuned" / "stage1").exists()


def last_arrays(run):
    import orbax.checkpoint as ocp

    folder = run / "stage1" / "checkpoints"
    step = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    tree = ocp.StandardCheckpointer().restore(folder / str(step) / "state")
    return step, jax.tree.leaves(tree)


def test_a_killed_run_needs_the_given_model_only_before_its_first_checkpoint(
    bundle, config, tmp_path, monkeypatch
):
    given = tmp_path / "given"
    shutil.copytree(bundle, given)
    here = replace(
        config,
        data=scenes(5),
        init_from=str(given),
        stage1__steps=4,
        output__checkpoint_every=2,
        output__evaluate_every=100,
    )
    train(here, tmp_path / "whole", (1,))
    loader = job.training_batches

    class Killed(BaseException):
        """No error, after which the run would be saved."""

    def dying_at(last):
        def batches(*args, **options):
            made = loader(*args, **options)
            for step, batch in enumerate(made, start=options["start_step"]):
                if step == last:
                    raise Killed
                yield batch

        return batches

    run = tmp_path / "run"
    for last in (1, 3):
        with monkeypatch.context() as patch:
            patch.setattr(job, "training_batches", dying_at(last))
            with pytest.raises(Killed):
                train(here, run, (1,))
        found = [path.name for path in (run / "stage1" / "checkpoints").iterdir()]
        assert ("2" in found) == (last == 3)
    shutil.rmtree(given)
    train(here, run, (1,))
    (step, expected), (found_step, found) = map(last_arrays, (tmp_path / "whole", run))
    assert step == found_step == 4
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ConfigError, match="init_from is .*given there and elsewhere"):
        train(replace(here, init_from="elsewhere"), run, (1,))
    with pytest.raises(ConfigError, match="no trained model"):
        train(here, run)  # Stage II has no checkpoint, and starts from it too.


def write_panoptic(folder, names):
    """Two halves of every picture, of one category each, in COCO's format."""
    from PIL import Image

    categories = [
        {"id": 3 * i + 7, "name": name, "isthing": 1, "color": [9 * i, 0, 0]}
        for i, name in enumerate(names)
    ]
    annotations, images = [], []
    rng = np.random.default_rng(0)
    for name in ("images", "panoptic"):
        (folder / name).mkdir(parents=True)
    for i in range(8):
        picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
        ids = np.zeros((16, 16, 3), np.uint8)
        ids[:, :8, 0], ids[:, 8:, 0] = 1, 2
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(ids).save(folder / "panoptic" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "height": 16, "width": 16})
        chosen = [categories[(i + j) % len(names)]["id"] for j in range(2)]
        segments = [
            dict(id=j + 1, category_id=c, iscrowd=0, area=128, bbox=[8 * j, 0, 8, 16])
            for j, c in enumerate(chosen)
        ]
        annotations.append(
            {"image_id": i, "file_name": f"{i}.png", "segments_info": segments}
        )
    index = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "panoptic.json").write_text(json.dumps(index))
    return folder


def test_data_with_other_categories_has_classes_of_its_own(tmp_path, monkeypatch):
    """The settings of the model hold its categories; classes follow the new data."""
    monkeypatch.chdir(tmp_path)
    config = replace(panoptic.get_config("fsq", "tiny"), **QUIET, data=scenes(0))
    config = replace(config, task=config.task.of_source(Scenes((16, 16), 16)))
    zeros = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype), expected_variables(config, "stage1")
    )
    write_model(tmp_path / "model", config, {"stage1": zeros}, {})
    folder = write_panoptic(tmp_path / "mine", ["cup", "dog", "sofa"])
    words = ["--init-from", "model", "--stage", "1", "--source", "coco"]
    words += ["--data.path", str(folder), "--stage1.steps", "2"]
    assert main(["train", "model", *words]) == 0
    run = tmp_path / "runs" / "from-model"
    task = RunDirectory(run).config().task
    assert isinstance(task, PanopticConfig) and task.classes == 4
    assert [c.name for c in task.categories] == ["cup", "dog", "sofa"]
    record = json.loads((run / "stage1" / "initial.json").read_text())
    assert {text.split()[0] for text in record["new"]} == {
        "embedding_semantics",
        "head_semantics",
    }


@pytest.mark.parametrize(("given", "classes"), [(3, 18), (0, 18), (30, 30)])
def test_classes_that_a_model_was_given_beyond_its_categories_stay(given, classes):
    known = tuple(CategoryConfig(i, f"c{i}", True, (0, 0, 0)) for i in (1, 2))
    task = dict(task__categories=known, task__classes=given)
    config = replace(panoptic.get_config("fsq", "tiny"), **task)
    found = replace(config, task=config.task.of_source(Scenes((16, 16), 16))).task
    assert isinstance(found, PanopticConfig)
    assert found.classes == classes and len(found.categories) == 17
