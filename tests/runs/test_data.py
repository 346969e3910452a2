"""A run knows its data wherever they lie, and says what differs."""

import json
import shlex
import shutil

import cv2
import numpy as np
import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs.depth import get_config
from uvim_fsq.experiment.plan import Plan
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, FolderConfig, replace


def write_frames(root, count=8):
    for part, number in (("train", count), ("validation", 3)):
        for i in range(number):
            generator = np.random.default_rng(i)
            image = generator.integers(0, 256, (16, 16, 3), np.uint8)
            depth = generator.integers(500, 9000, (16, 16)).astype(np.uint16)
            for name, array in (("rgb", image), ("depth", depth)):
                folder = root / part / name
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / f"{i}.png"), array)


def settings(path, **changes):
    config = replace(get_config("fsq", "tiny"), output__pictures=0)
    return replace(config, data=FolderConfig(str(path)), **changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A stage I on frames that lie in `frames`, beside the run."""
    root = tmp_path_factory.mktemp("data")
    write_frames(root / "frames")
    train(settings(root / "frames"), root / "run", stages=(1,))
    return root


@pytest.fixture
def root(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def noted(root):
    return json.loads((root / "run" / "data.json").read_text())


def test_the_same_data_under_another_path_go_on(root, capsys):
    before = noted(root)
    assert before["parts"]["train"]["count"] == 8 and before["changes"] == []
    (root / "frames").rename(root / "moved")
    train(settings(root / "moved"), root / "run", stages=(1,))
    assert "all 4 steps are done already" in capsys.readouterr().out
    assert noted(root) == before
    data = RunDirectory(root / "run").config().data
    assert data.path == str(root / "moved")
    # What it is scored on in the end is not what it is trained on.
    elsewhere = settings(root / "moved", data__evaluation_path="other")
    train(elsewhere, root / "run", stages=(1,))


def test_other_data_are_refused_with_what_differs_and_can_be_chosen(root, capsys):
    for i in (2, 5):
        for name in ("rgb", "depth"):
            (root / "frames" / "train" / name / f"{i}.png").unlink()
    before = noted(root)
    config = settings(root / "frames")
    with pytest.raises(ConfigError) as error:
        train(config, root / "run", stages=(1,))
    assert (
        "train: 8 examples then and 6 now: 2 missing (train/2, train/5)): put back"
        in str(error.value)
    )
    assert "--new-data" in str(error.value) and "validation" not in str(error.value)
    assert noted(root) == before
    words = ["train", "depth", "--preset", "tiny", "--output.pictures", "0"]
    words += ["--source", "folder", "--data.path", str(root / "frames"), "--stage", "1"]
    words += ["--output.directory", str(root / "run")]
    assert main(words) == 2
    assert "--new-data" in capsys.readouterr().err
    assert main([*words, "--new-data"]) == 0
    assert "going on with other data (train: 8 examples" in capsys.readouterr().out
    (change,) = noted(root)["changes"]
    assert change["before"] == before["parts"] and change["steps"] == {"stage1": 4}
    assert noted(root)["parts"]["train"]["count"] == 6
    assert main(words) == 0  # From now on these are its data.
    assert len(noted(root)["changes"]) == 1


def test_runs_that_noted_nothing_go_on_and_get_a_note(root, trained):
    """Their path is all that is known."""
    expected = noted(root)
    (root / "run" / "data.json").unlink()
    shutil.rmtree(root / "run" / "data")
    shutil.copytree(root / "frames", root / "moved")
    with pytest.raises(ConfigError, match=r"data.path is .*or --new-data to go on"):
        train(settings(root / "moved"), root / "run", stages=(1,))
    train(settings(trained / "frames"), root / "run", stages=(1,))
    assert noted(root) == expected


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_names_that_are_gone_leave_the_numbers(root, damage):
    for file in (root / "run" / "data").iterdir():
        data = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(data[:-9] if damage == "cut" else data[:10] + b"\xff" * 20)
    write_frames(root / "frames", 9)
    with pytest.raises(ConfigError, match="train: 8 examples then and 9 now"):
        train(settings(root / "frames"), root / "run", stages=(1,))


def test_more_steps_are_refused_with_the_command_that_takes_them(root, capsys):
    longer = settings(root / "frames", stage1__steps=5)
    with pytest.raises(ConfigError, match="learning rate has followed") as error:
        train(longer, root / "run", stages=(1,))
    command = str(error.value).split("(")[1].removesuffix(")")
    words = shlex.split(command)
    assert words[0] == "uvim-fsq" and words[-1] == str(root / "run_longer")
    capsys.readouterr()
    assert main([*words[1:], "--stage", "1"]) == 0
    assert "starts from" in capsys.readouterr().out
    found = json.loads((root / "run_longer" / "stage1" / "done.json").read_text())
    assert found["steps"] == 5
    with pytest.raises(ConfigError, match=r"--stage1 .*--stage2.steps 1234567 "):
        more = settings(root / "frames", stage2__steps=1_234_567)
        train(more, root / "run", stages=(1,))
    for fewer in (dict(stage1__steps=3), dict(stage1__steps=9, seed=1)):
        with pytest.raises(ConfigError, match="holds a run with other settings"):
            train(settings(root / "frames", **fewer), root / "run", stages=(1,))


def test_a_run_of_an_older_version_is_continued_by_the_words_that_are_named(
    root, capsys
):
    """The default of `split_by` has changed since: the same command is no longer the same."""
    file = root / "run" / "config.json"
    old = json.loads(file.read_text()) | {"format": 1}
    old["data"].pop("split_by")
    old["data"] |= {"units_per_metre": 1000.0, "path": str(root / "frames")}
    file.write_text(json.dumps(old))
    (root / "run" / "data.json").unlink()
    command = [
        "train",
        "depth",
        "--preset",
        "tiny",
        "--source",
        "folder",
        "--stage",
        "1",
    ]
    command += ["--data.path", str(root / "frames"), "--output.pictures", "0"]
    command += ["--output.directory", str(root / "run")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "data.split_by is file there" in said and "--new-data" not in said
    words = said.split("to continue (")[1].split(":")[0].split()
    assert words == ["--data.split-by", "file"]
    assert main([*command, *words]) == 0
    assert "all 4 steps are done already" in capsys.readouterr().out


def test_rows_of_an_experiment_may_lie_elsewhere(tmp_path):
    rows = {"fsq": settings(tmp_path / "here")}
    Plan(tmp_path / "experiment", "title", rows).open()
    Plan(tmp_path / "experiment", "title", {"fsq": settings(tmp_path / "there")}).open()
    other = {"fsq": settings(tmp_path / "here", data__units_per_metre=5.0)}
    with pytest.raises(ConfigError, match="units_per_metre"):
        Plan(tmp_path / "experiment", "title", other).open()
