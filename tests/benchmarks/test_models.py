"""The benchmark: every part runs at tiny size, and its figures hang together."""

import json

import jax
import pytest

from benchmarks import measure, models
from benchmarks.case import PART_NAMES, Case
from benchmarks.parts import PARTS, Setting
from benchmarks.worker import serve
from uvim_fsq.configs import colorization, depth
from uvim_fsq.cost import flops


def answers(part: str, case: Case) -> list[dict]:
    """What a worker says when it is asked for one round of two calls."""
    job = {
        "part": part,
        "case": case.to_dict(),
        "cache": jax.config.jax_compilation_cache_dir,
    }
    told: list[dict] = []
    serve(iter([json.dumps(job), json.dumps({"repeats": 2})]), told.append)
    return json.loads(json.dumps(told))


@pytest.mark.parametrize(
    "part, channels",
    [("stage1", (5, 3)), ("stage2", ()), ("sampling", ()), ("predict", (5, 3))],
)
def test_a_part_answers(part, channels):
    case = Case(depth.get_config("vq", "tiny"), channels)
    ready, timing, memory = answers(part, case)
    assert ready["images"] == 4
    assert ready["flops"] > 0
    assert ready["dtype"] == "float32"
    assert ready["compile_s"] >= 0
    assert timing["wall"] > 0
    assert memory["host_bytes"] > 10**8


def test_the_colours_of_a_continuous_channel_are_measured():
    case = Case(colorization.get_config("fsq", "tiny"))
    batch = Setting(case).batch(2)["planes"]
    assert batch.shape == (2, 16, 16, 3) and batch.dtype == "float32"
    ready, timing, _ = answers("stage1", case)
    assert ready["flops"] > 0 and timing["wall"] > 0


def test_splitting_is_measured_whatever_the_settings():
    ready, timing, _ = answers("splitting", Case(depth.get_config("fsq", "tiny")))
    assert ready["images"] == ready["flops"] == 0
    assert timing["wall"] > 0


def test_channels_replace_those_of_the_task():
    config = depth.get_config("vq", "tiny")
    few, many = (
        flops.total(flops.stage1_training(Setting(Case(config, channels)).stage1))
        for channels in [(5, 3), (50, 30)]
    )
    # 4 patches of 64 pixels, 72 classes more, width 32, three products.
    assert many - few == 3 * 2 * 4 * 64 * 72 * 32


def test_the_loader_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path))
    ready, timing, _ = answers("loader", Case(depth.get_config("fsq", "tiny")))
    assert ready["images"] == 4 and ready["flops"] == 0
    assert timing["wall"] > 0


def test_every_name_has_a_part():
    assert tuple(PARTS) == PART_NAMES


def test_two_settings_in_processes_of_their_own(tmp_path, capfd):
    file = tmp_path / "out.json"
    words = ["--preset", "tiny", "--what", "peak_float32", "--rounds", "2"]
    assert models.main([*words, "--against", "batch=2", "--json", str(file)]) == 0
    out = capfd.readouterr().out
    measured = json.loads(file.read_text())
    batches = [case["config"]["stage1"]["batch_size"] for case in measured["cases"]]
    assert batches == [4, 2]
    (entry,) = measured["parts"]
    first, second = entry["results"]
    assert len(first["rounds"]) == len(second["rounds"]) == 2
    # The same product three times over: all near the peak, however busy the machine.
    assert 0.1 < first["share_of_peak"] < 10
    assert entry["ratio"]["min"] <= entry["ratio"]["median"] <= entry["ratio"]["max"]
    assert first["host_bytes"] > 3 * 4 * 3072**2
    assert "A over B" in out and "peak_float32" in out


def test_ratio_is_per_image_and_round_by_round():
    first = {"images": 8, "rounds": [8.0, 16.0, 8.0]}
    second = {"images": 4, "rounds": [2.0, 4.0, 8.0]}
    assert measure.ratio(first, second) == {"median": 2.0, "min": 0.5, "max": 2.0}


def test_a_process_that_fails_says_so(tmp_path):
    case = Case(depth.get_config("fsq", "tiny")).to_dict()
    with pytest.raises(measure.WorkerError, match="measuring nothing failed"):
        measure.measure("nothing", [case], rounds=1)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--what", "stage3"], "did you mean stage2 or stage1"),
        (["--set", "batch"], "expected NAME=VALUE"),
        (["--set", "channels=a"], "whole numbers"),
        (["--set", "stage1.model.widht=3"], "stage1.model.width"),
        (["--set", "batch=0"], "batch_size must be at least 1"),
        (["--against", "preset=tniy"], "did you mean tiny"),
    ],
)
def test_bad_input_is_one_sentence(capsys, words, message):
    assert models.main(["--preset", "tiny", *words]) == 2
    assert message in capsys.readouterr().err
