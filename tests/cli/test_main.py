"""The command as a whole: exit codes, messages, and that mistakes write nothing."""

import json
import subprocess
import sys

import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs.depth import get_config
from uvim_fsq.settings.as_json import from_dict, save


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _settings(text: str):
    data = json.loads(text)
    del data["format"]
    return from_dict(data)


def test_config_prints_the_settings(capsys):
    assert main(["config", "depth", "--variant", "vq", "--preset", "tiny"]) == 0
    assert _settings(capsys.readouterr().out) == get_config("vq", "tiny")


def test_config_with_overrides(capsys):
    words = ["--seed", "3", "--source", "folder", "--data.path", "frames"]
    assert main(["config", "depth", *words]) == 0
    config = _settings(capsys.readouterr().out)
    assert (config.seed, config.data.path) == (3, "frames")


@pytest.mark.parametrize(
    ("variant", "size", "expected"),
    [
        ("fsq", "1024", (8, 5, 5, 5)),
        ("fsq", "4096", (7, 5, 5, 5, 5)),
        ("fsq", "125", (5, 5, 5)),
        ("vq", "77", 77),
    ],
)
def test_codebook_size(capsys, variant, size, expected):
    assert main(["config", "depth", "--variant", variant, "--codebook-size", size]) == 0
    quantizer = _settings(capsys.readouterr().out).quantizer
    assert expected == (
        quantizer.levels if variant == "fsq" else quantizer.codebook_size
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "required: CONFIG"),
        (["trian"], "did you mean train?"),
        (["train", "nothere"], "there is no configuration nothere: expected"),
        (["train", "depht"], "there is no configuration depht: did you mean depth?"),
        (["train", "configs/depht.py"], "did you mean depth?"),
        (["train", "depth", "--variant", "fqs"], "no variant 'fqs': did you mean fsq"),
        (["train", "depth", "--variant", "zz"], "no variant 'zz': there are fsq, vq,"),
        (["train", "depth", "--source", "foldr"], "did you mean folder?"),
        (["experiment", "depth", "--study", "varants"], "did you mean variants?"),
        (["train", "depth", "--varaint", "vq"], "did you mean --variant"),
        (["train", "depth", "--preset", "papper"], "did you mean paper"),
        (["train", "depth", "--stage", "3"], "no '3': there are 1, 2, both"),
        (["train", "depth", "--stage1.model.widht", "3"], "--stage1.model.width"),
        (["train", "depth", "--quantizer.levels", "8", "1"], "found 8 1"),
        (["train", "depth", "--task.image-size", "30", "30"], "must divide"),
        (["train", "depth", "--codebook-size", "3"], "found 3"),
        (["train", "depth", "--codebook-size", "many"], "invalid int value: 'many'"),
        (["train", "depth", "--preset", "folder"], "add --data.path FOLDER"),
        (["train", "depth", "--stage", "1", "--stage1", "x"], "give one of the two"),
        (["train", "depth", "--stage1", "x"], "x is no trained model"),
        (["evaluate", "x"], "x is no trained model"),
        (["evaluate", "."], "found a folder without config.json"),
        (["predict", "x", "a.png", "--output", "y"], "x is no trained model"),
        (["predict", "x", "a.png"], "required: --output"),
        (["predict", "x", "a", "--output", "y", "--top-p", "2"], "--top-p must be"),
        (["predict", "x", "a", "--output", "y", "--tpo-k", "2"], "mean --top-k"),
    ],
)
def test_wrong_input_is_one_sentence_and_writes_nothing(
    capsys, tmp_path, words, message
):
    try:
        code = main(words)
    except SystemExit as leaving:  # argparse leaves by itself.
        code = leaving.code
    said = capsys.readouterr().err
    assert code == 2
    assert message in said
    assert len(said.splitlines()) == 1 and said.startswith("uvim-fsq: ")
    assert list(tmp_path.iterdir()) == []


def test_evaluate_refuses_settings_of_the_training(capsys, tmp_path):
    save(get_config(preset="tiny"), tmp_path / "config.json")
    assert main(["evaluate", ".", "--stage1.steps", "3"]) == 2
    assert "there is no option --stage1.steps" in capsys.readouterr().err


def _run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def test_as_a_process():
    result = _run("-m", "uvim_fsq", "train", "depth", "--preset", "papper")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr and "did you mean paper" in result.stderr


def test_help_explains_every_setting():
    text = _run(
        "-m", "uvim_fsq", "train", "depth", "--preset", "paper", "--help"
    ).stdout
    for word in ("--variant", "--stage1.model.width", "--task.bins", "--data.name"):
        assert word in text
    assert "(default: 1024)" in text  # The value in this preset.
    assert "Width of a token." in text
    assert "--data.path STR" not in _run("-m", "uvim_fsq", "train", "--help").stdout


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "-h"]])
def test_help_waits_for_nothing_slow(words):
    result = _run("-X", "importtime", "-m", "uvim_fsq", *words)
    assert result.returncode == 0 and "usage: uvim-fsq" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "uvim_fsq.cli.main" in imported
    assert not imported & {
        "jax",
        "flax",
        "numpy",
        "orbax",
        "grain",
        "matplotlib",
        "cv2",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["score-panoptic", "nothing.json", "other.json"],
        ["score-fid", "a", "--reference-folder", "b", "--inception", "c"],
    ],
)
def test_scorers_are_reached(words, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("uvim-fsq: ") and error.count("\n") == 1
