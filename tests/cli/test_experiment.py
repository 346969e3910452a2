"""`uvim-fsq experiment` as a person meets it."""

import json

import pytest

from uvim_fsq.cli.main import main

TINY = ["experiment", "depth", "--preset", "tiny"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, found 0"),
        (["--stage1-seeds", "-1"], "--stage1-seeds must be at least 1"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--stale-after", "0"], "--stale-after must be above 0"),
        (["--only", "fqs"], "no row 'fqs': did you mean fsq"),
        (["--sedes", "2"], "no option --sedes: did you mean --seeds"),
        (["--stage1.steps", "0"], "row fsq: stage1"),
    ],
)
def test_mistakes_are_one_sentence_and_write_nothing(
    options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([*TINY, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*TINY, "--dry-run", "--seeds", "2"]) == 0
    assert "10 runs: 1 stage I and 2 stage II of each" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_runs_records_and_tables(tmp_path, monkeypatch, capsys):
    """Two rows; stopped after the stage Is, then finished, then nothing is left to do."""
    monkeypatch.chdir(tmp_path)
    command = [*TINY, "--only", "fsq", "vq_no_split", "--seeds", "1"]
    command += ["--evaluation.samples", "2", "--output.pictures", "0"]
    assert main([*command, "--limit", "2"]) == 0
    assert "left for a next time: 2" in capsys.readouterr().out
    assert main(command) == 0
    folder = tmp_path / "experiments" / "depth-tiny-variants"
    text = (folder / "table.txt").read_text()
    assert "fsq" in text and "vq_no_split" in text and "foreign codes" in text
    lines = (folder / "records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["row"] for record in records] == ["fsq", "vq_no_split"]
    for record in records:
        assert record["stages"]["stage1"]["steps"] == 4
        assert record["scores"]["greedy/rmse"] > 0
        assert record["environment"]["devices"]
    assert str(tmp_path) not in "".join(lines)
    page = (folder / "report.html").read_text()
    assert "uvim-fsq experiment depth --preset tiny --study variants" in page
    capsys.readouterr()
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "4 stages, 4 of them done" in out and "started" not in out


def test_stages_that_fail_end_in_one_sentence(tmp_path, monkeypatch, capsys):
    """Reasons came before, and after them the program left without another word."""
    monkeypatch.chdir(tmp_path)
    options = ["--source", "folder", "--data.path", "missing", "--only", "fsq"]
    assert main([*TINY, *options, "--seeds", "1"]) == 1
    *reasons, last = capsys.readouterr().err.splitlines()
    assert "fsq-stage1_0: DataError: missing does not exist" in reasons[0]
    folder = "experiments/depth-tiny-variants/failures"
    assert last == (
        "uvim-fsq: 1 of 2 stages failed, 1 wait for them: the same command tries them again; "
        f"{folder} says where."
    )
    assert (tmp_path / folder / "fsq-stage1_0.json").exists()
