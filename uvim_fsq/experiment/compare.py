"""Finished models side by side: runs, bundles, and rows of experiments."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.evaluation.scores import SCORES, read_scores, scored_seed
from uvim_fsq.experiment.plan import load_plan
from uvim_fsq.experiment.record import model_record, run_record
from uvim_fsq.experiment.report import Shown
from uvim_fsq.experiment.results import shown_rows, write_tables
from uvim_fsq.markup import printable
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.open import RunModel, open_trained
from uvim_fsq.settings.run import RunConfig


def compare(models: Sequence[str], output: Path) -> list[Path]:
    """Writes records, tables and report of models into a new folder.

    Args:
      models: run directories, bundles and names on the Hub that were scored, and experiments, whose
        rows are taken.
      output: the folder.

    Returns:
      The files.

    Raises:
      ConfigError: if one was not scored, they are of several tasks, or the folder is there.
    """
    if output.exists():
        raise ConfigError(f"{output} is there already: name another folder")
    found = [row for model in models for row in _rows(model)]
    tasks = sorted({config.task.kind for _, config in found})
    if len(tasks) > 1:
        raise ConfigError(
            f"these are models of several tasks ({', '.join(tasks)}), whose scores cannot be "
            "compared: give those of one"
        )
    rows = _with_distinct_names([row for row, _ in found])
    configs = {row.name: config for row, (_, config) in zip(rows, found, strict=True)}
    title = f"{tasks[0]}: {len(rows)} models"
    command = shlex.join(["uvim-fsq", "report", *models])
    return write_tables(output, title, configs, rows, [command])


def _rows(model: str) -> Iterable[tuple[Shown, RunConfig]]:
    path = Path(model)
    if (path / "experiment.json").is_file():
        plan = load_plan(path)
        rows = shown_rows(plan)
        if not rows:
            raise ConfigError(f"no run of the experiment {path} is finished yet")
        return [(row, plan.rows[row.name]) for row in rows]
    folder = None
    if (path / SCORES).is_file():  # Scores that are kept apart from a run's own.
        folder, path = path, _run_of(path)
    trained = open_trained(model if folder is None else path)
    name = trained.name if folder is None else f"{trained.name}, {folder.name}"
    if isinstance(trained, RunModel):
        folder = folder or trained.path / "evaluation"
        record, evaluation = _run(trained, folder), [folder]
    else:
        record, evaluation = _kept(trained.config, trained.details(), model), []
    return [(Shown(printable(name), [record], evaluation), trained.config)]


def _run_of(evaluation: Path) -> Path:
    """The run that an evaluation's folder is in."""
    for folder in evaluation.resolve().parents[:2]:
        if RunDirectory(folder).config_file.is_file():
            return folder
    raise ConfigError(
        f"{evaluation} holds scores, but is in no run: name a run, or a folder of scores in one"
    )


def _run(trained: RunModel, evaluation: Path) -> dict[str, Any]:
    scores = read_scores(evaluation)
    if scores is None:
        raise ConfigError(
            f"{trained.path} was not scored: uvim-fsq evaluate {shlex.quote(str(trained.path))} does it"
        )
    run = RunDirectory(trained.path)
    return run_record(run, scored_seed(scores, run.stage2_seeds()), scores)


def _kept(config: RunConfig, details: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The record that a bundle's details make: scores without curves."""
    scores = details.get("scores")
    if not scores:
        raise ConfigError(
            f"the bundle {model} holds no scores: it was made of a run that was not evaluated. Make "
            "it again afterwards, or compare runs"
        )
    steps = details.get("steps", {})
    return model_record(config, details.get("stage2_seed"), scores) | {
        "environment": scores.get("environment", {}),
        "histogram": None,
        "stages": {stage: {"steps": count or 0} for stage, count in steps.items()},
    }


def _with_distinct_names(rows: Sequence[Shown]) -> list[Shown]:
    """Rows of one name are numbered, in the order given."""
    seen: dict[str, int] = {}
    result = []
    for row in rows:
        seen[row.name] = seen.get(row.name, 0) + 1
        number = seen[row.name]
        name = row.name if number == 1 else f"{row.name} ({number})"
        renamed = [{**record, "row": name} for record in row.records]
        result.append(Shown(name, renamed, row.evaluations))
    return result
