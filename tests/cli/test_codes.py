"""`uvim-fsq codes` on a stage I that was really trained."""

import json

import cv2
import numpy as np
import pytest

from uvim_fsq.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    words = ["--preset", "tiny", "--output.directory", str(folder), "--stage", "1"]
    assert main(["train", "depth", *words]) == 0
    return folder


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_codes_of_the_training_data_lie_in_the_run(run, tmp_path, capsys):
    assert main(["codes", str(run)]) == 0
    folder = run / "codes_train"
    assert np.load(folder / "indices.npy", mmap_mode="r").shape == (16, 4)
    said = capsys.readouterr().out
    for words in ("codebook usage", "perplexity", "most used codeword", str(folder)):
        assert words in said
    assert main(["codes", str(run)]) == 2
    assert "codes_train is there already" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_data_and_a_few_of_them(run, tmp_path):
    for kind, shape in (("rgb", (20, 24, 3)), ("depth", (20, 24))):
        (tmp_path / "frames" / kind).mkdir(parents=True)
        for name in "abcd":
            pixels = np.full(shape, ord(name), np.uint8)
            if kind == "depth":  # 2 m
                pixels = pixels * np.uint16(20)
            assert cv2.imwrite(str(tmp_path / "frames" / kind / f"{name}.png"), pixels)
    data = ["--source", "folder", "--data.path", "frames", "--data.skip-broken"]
    words = [*data, "--part", "all", "--limit", "3", "--batch-size", "2"]
    assert main(["codes", str(run), *words, "--output", "codes"]) == 0
    assert len((tmp_path / "codes" / "ids.txt").read_text().splitlines()) == 3
    description = json.loads((tmp_path / "codes" / "codes.json").read_text())
    assert description["data"] == "folder" and description["pictures"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "0"], "limit must be at least 1, found 0"),
        (["--limits", "3"], "did you mean --limit"),
        (
            ["--part", "both"],
            "there is no 'both': there are train, validation, test, all",
        ),
        (["--evaluation.samples", "2"], "there is no option --evaluation.samples"),
        (["--data.path", "x"], "add --source folder"),
        (["--source", "folder"], "add --data.path FOLDER"),
        (["--stage1.steps", "3"], "there is no option --stage1.steps"),
    ],
)
def test_wrong_input_is_one_sentence_and_writes_nothing(
    run, capsys, tmp_path, words, message
):
    before = sorted(run.iterdir())
    try:
        code = main(["codes", str(run), *words])
    except SystemExit as leaving:  # argparse leaves by itself.
        code = leaving.code
    said = capsys.readouterr().err
    assert code == 2 and message in said
    assert len(said.splitlines()) == 1 and said.startswith("uvim-fsq: ")
    assert list(tmp_path.iterdir()) == [] and sorted(run.iterdir()) == before


def test_help_tells_the_settings_of_data_and_no_others(run, capsys):
    with pytest.raises(SystemExit):
        main(["codes", str(run), "--help"])
    said = capsys.readouterr().out
    for option in ("--part", "--limit", "--data.train-count", "--loader-threads"):
        assert option in said
    assert "--evaluation" not in said
