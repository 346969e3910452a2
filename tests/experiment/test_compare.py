"""Scored models side by side."""

import json
from functools import partial

import jax
import pytest

from uvim_fsq.cli.main import main
from uvim_fsq.configs import colorization, depth
from uvim_fsq.experiment.compare import compare
from uvim_fsq.models.uvim import build
from uvim_fsq.settings import ConfigError, as_json
from uvim_fsq.share.bundle import write_model

SCORES = {
    "scores": {
        "greedy/rmse": 0.5,
        "greedy/psnr": 20.0,
        "stage1/rmse": 0.25,
        "constant/rmse": 1.5,
        "codebook_training/usage": 0.75,
    },
    "codebook_histogram": [4, 2, 1],
    "pictures": 8,
    "part": "test",
    "environment": {"jax": "0.10", "devices": ["cpu"]},
}


def scored(path, config=None, **changes):
    """A run directory as far as a comparison reads it."""
    (path / "evaluation").mkdir(parents=True)
    as_json.save(config or depth.get_config("fsq", "tiny"), path / "config.json")
    text = json.dumps(SCORES | changes)
    (path / "evaluation" / "scores.json").write_text(text)
    return str(path)


def test_runs_side_by_side(tmp_path):
    models = [scored(tmp_path / "a" / "run"), scored(tmp_path / "b" / "run")]
    written = compare(models, tmp_path / "out")
    assert {path.name for path in written} == {
        *(f"table.{ending}" for ending in ("txt", "md", "csv", "tex", "json")),
        *("records.jsonl", "report.html"),
    }
    assert all(path.stat().st_size for path in written)
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "run (2)" in text and "0.500" in text and "75.0" in text
    assert "no model: the same everywhere" in text and "compare with care" not in text
    rows = [
        json.loads(line)["row"]
        for line in (tmp_path / "out" / "records.jsonl").read_text().splitlines()
    ]
    assert rows == ["run", "run (2)"]


def test_scores_of_different_pictures_are_said_to_be(tmp_path):
    models = [scored(tmp_path / "a"), scored(tmp_path / "b", pictures=9)]
    compare(models, tmp_path / "out")
    text = (tmp_path / "out" / "table.txt").read_text()
    assert "scored on different pictures (8 of test, 9 of test)" in text
    assert "no model" not in text


def test_a_bundle_beside_a_run(tmp_path):
    config = depth.get_config("fsq", "tiny")
    task = config.task.build()
    model = build.build_stage1(config, task)
    stage1 = jax.jit(partial(build.init_stage1, model, task))(jax.random.key(0))
    details = {"scores": SCORES, "steps": {"stage1": 4}}
    write_model(tmp_path / "bundle", config, {"stage1": stage1}, details)
    models = [scored(tmp_path / "run"), str(tmp_path / "bundle")]
    compare(models, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["name"] for row in data["rows"]] == ["run", "bundle"]
    assert [row["cells"]["greedy/rmse"]["mean"] for row in data["rows"]] == [0.5, 0.5]
    write_model(tmp_path / "unscored", config, {"stage1": stage1}, {})
    with pytest.raises(ConfigError, match="holds no scores"):
        compare([str(tmp_path / "unscored")], tmp_path / "out2")


def test_what_cannot_be_compared_is_refused_and_nothing_written(tmp_path):
    run = scored(tmp_path / "run")
    color = colorization.get_config("fsq", "tiny")
    other = scored(tmp_path / "color", color)
    with pytest.raises(ConfigError, match=r"several tasks \(colorization, depth\)"):
        compare([run, other], tmp_path / "out")
    (tmp_path / "run" / "evaluation" / "scores.json").unlink()
    with pytest.raises(ConfigError, match="was not scored: uvim-fsq evaluate"):
        compare([run], tmp_path / "out")
    with pytest.raises(ConfigError, match="is no trained model"):
        compare([str(tmp_path / "nothing")], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="is there already"):
        compare([other], tmp_path / "color")


def test_the_command(tmp_path, capsys):
    run = scored(tmp_path / "run")
    assert main(["report", run]) == 2
    assert "add --output FOLDER" in capsys.readouterr().err
    assert main(["report", run, "--outptu", "x"]) == 2
    assert "did you mean --output" in capsys.readouterr().err
    assert main(["report", run, "--output", str(tmp_path / "out")]) == 0
    assert "0.500" in capsys.readouterr().out
