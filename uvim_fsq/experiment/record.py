"""One tidy record per finished run: settings, surroundings, scores and time."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.evaluation.scores import read_scores
from uvim_fsq.experiment.plan import Job, Plan
from uvim_fsq.runs.directory import RunDirectory, StageDirectory, environment
from uvim_fsq.settings import as_json
from uvim_fsq.training.writers import read_json_lines


def make_record(plan: Plan, job: Job) -> dict[str, Any]:
    """The record of a finished stage-II job; nothing in it is averaged over runs.

    `scores` are those of `scores.json`, by `prediction/score`; `histogram` counts the indices of the
    training pictures that usage is counted over; `stages` has steps and seconds of training and the
    validation's metrics over it.
    """
    assert job.stage2_seed is not None
    run = plan.run(job)
    record = run_record(run, job.stage2_seed, plan.evaluation(job))
    return {
        "row": job.row,
        "stage1_seed": job.stage1_seed,
        "stage2_seed": job.stage2_seed,
        **record,
    }


def run_record(run: RunDirectory, seed: int | None, evaluation: Path) -> dict[str, Any]:
    """The record of any scored run."""
    config = run.config()
    scores = read_scores(evaluation)
    if scores is None:
        raise ConfigError(
            f"{evaluation} holds no scores: uvim-fsq evaluate writes them"
        )
    stages = {"stage1": stage_summary(run.stage1)}
    if seed is not None:
        stages["stage2"] = stage_summary(run.stage2(seed))
    return {
        "task": config.task.kind,
        "quantizer": config.quantizer.kind,
        "codebook_size": config.quantizer.build().codebook_size,
        "config": as_json.fingerprint(config)[:16],
        "environment": environment(),
        **of_scores(scores),
        "histogram": scores.get("codebook_histogram"),
        "stages": stages,
    }


def of_scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that scores make; what older ones do not say is None."""
    kept = ("pictures", "part", "data", "settings")
    return {name: scores.get(name) for name in kept} | {"scores": scores["scores"]}


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
