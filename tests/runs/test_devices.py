"""Whole runs on four devices: the losses and scores of one, whatever is trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from uvim_fsq.training.writers import read_json_lines

PROGRAM = Path(__file__).parent / "whole_runs.py"


def whole_runs(folder, devices):
    folder.mkdir()
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    command = [sys.executable, str(PROGRAM), str(folder), str(devices)]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def losses(stage):
    """By step and name; how long it took is left out."""
    return {
        (line["step"], name): value
        for line in read_json_lines(stage / "metrics.jsonl")
        for name, value in line.items()
        if "second" not in name and name not in ("step", "time")
    }


@pytest.mark.slow
def test_four_devices_give_what_one_gives(tmp_path):
    processes = [whole_runs(tmp_path / str(n), n) for n in (1, 4)]
    for process in processes:
        output, _ = process.communicate(timeout=1200)
        assert process.returncode == 0, output[-5000:]
        assert output.count("continuing after step") == 4
    names = json.loads((tmp_path / "4" / "runs.json").read_text())
    assert len(names) == 4
    for name in names:
        one, four = tmp_path / "1" / name, tmp_path / "4" / name
        for stage in ("stage1", "stage2/seed_0"):
            if name == "depth-identity" and stage != "stage1":
                continue
            assert (four / stage / "done.json").exists()
            expected, found = losses(one / stage), losses(four / stage)
            assert {step for step, _ in expected} == {1, 2, 3, 4}
            assert {(n, "validation/loss") for n in (2, 4)} <= set(expected)
            assert found == pytest.approx(expected, rel=2e-4, abs=2e-4), name
        expected, found = (
            json.loads((run / "scores" / "scores.json").read_text())["scores"]
            for run in (one, four)
        )
        assert found == pytest.approx(expected, rel=1e-2, abs=1e-3), name
