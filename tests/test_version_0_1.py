"""A run, a bundle and an experiment that version 0.1.0 left half done are used and continued.

They are depth models of a few thousand weights on built-in scenes of 16 px. The run was stopped by
SIGTERM after step 40 of the 400 of stage II; of the experiment one of two stage IIs is done.
"""

import json
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest

import uvim_fsq
from uvim_fsq.cli import main
from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.runs.train import train
from uvim_fsq.settings import as_json

HERE = Path(__file__).parent / "version_0_1"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """`old("run")`: a copy of what that version left."""
    monkeypatch.chdir(tmp_path)

    def unpack(name):
        with tarfile.open(HERE / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        return tmp_path / name

    return unpack


def test_a_bundle_predicts_as_then(old):
    y, x = np.mgrid[:20, :24]
    image = np.stack([y * 12, x * 10, x * y % 256], -1).astype(np.uint8)
    depth = uvim_fsq.load(old("bundle")).predict(image)
    with np.load(HERE / "expected.npz") as expected:
        # Another processor may round to the next bin somewhere.
        assert np.mean(np.abs(depth - expected["depth"]) < 1e-3) > 0.9


@pytest.mark.slow
def test_a_run_goes_on_and_ends_as_then(old):
    run = old("run")
    config = as_json.load(run / "config.json")
    train(config, run)
    scores = evaluate_run(run)
    expected = json.loads((HERE / "expected.json").read_text())["scores"]
    for name, tolerance in (("stage1/rmse", 1e-3), ("greedy/rmse", 0.3)):
        assert scores[name] == pytest.approx(expected[name], abs=tolerance)
    assert (run / "stage2" / "seed_0" / "done.json").exists()


@pytest.mark.slow
def test_an_experiment_is_finished(old, capsys):
    folder = old("experiment")
    plan = json.loads((folder / "experiment.json").read_text())
    words = shlex.split(plan["command"])
    assert main([*words[1:], "--only", "vq", "--output", str(folder)]) == 0
    records = (folder / "records.jsonl").read_text().splitlines()
    assert len(records) == 2
    assert "left for a next time" not in capsys.readouterr().out
