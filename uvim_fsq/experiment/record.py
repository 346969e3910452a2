"""One tidy record per finished run: settings, surroundings, scores and time."""

import json
from collections.abc import Mapping
from typing import Any

from uvim_fsq.evaluation.scores import read_scores
from uvim_fsq.experiment.plan import Job, Plan
from uvim_fsq.runs.directory import RunDirectory, StageDirectory, environment
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.writers import read_json_lines


def make_record(plan: Plan, job: Job) -> dict[str, Any]:
    """The record of a finished stage-II job; nothing in it is averaged over runs.

    `scores` are those of `scores.json`, by `prediction/score`; `histogram` counts the indices of the
    training pictures that usage is counted over; `stages` has steps and seconds of training and the
    validation's metrics over it.
    """
    assert job.stage2_seed is not None
    scores = read_scores(plan.evaluation(job))
    assert scores is not None  # They were written just now.
    record = run_record(plan.run(job), job.stage2_seed, scores)
    return {"row": job.row, **record, "stage1_seed": job.stage1_seed}


def run_record(
    run: RunDirectory, seed: int | None, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """The record of any scored run; `seed` is that of its stage II."""
    stages = {"stage1": stage_summary(run.stage1)}
    if seed is not None:
        stages["stage2"] = stage_summary(run.stage2(seed))
    record = model_record(run.config(), seed, scores)
    return record | {"environment": environment(), "stages": stages}


def model_record(
    config: RunConfig, seed: int | None, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """The part of a record that settings and scores make; what older scores do not say is None."""
    kept = ("pictures", "part", "data", "settings")
    return {
        "stage1_seed": config.seed,
        "stage2_seed": seed,
        "task": config.task.kind,
        "quantizer": config.quantizer.kind,
        "codebook_size": config.quantizer.build().codebook_size,
        "config": as_json.fingerprint(config)[:16],
        **{name: scores.get(name) for name in kept},
        "scores": scores["scores"],
        "histogram": scores.get("codebook_histogram"),
    }


def stage_summary(directory: StageDirectory) -> dict[str, Any]:
    """How a training went: `steps`, `best_step`, `seconds`, and `curve`, its validations by step."""
    summary: dict[str, Any] = {}
    if directory.done.exists():
        summary |= json.loads(directory.done.read_text())
    lines = read_json_lines(directory.metrics) if directory.metrics.exists() else []
    curve = [
        {"step": line["step"]}
        | {name: v for name, v in line.items() if name.startswith("validation/")}
        for line in lines
    ]
    return summary | {"curve": [line for line in curve if len(line) > 1]}
