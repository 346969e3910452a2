"""What an experiment leaves behind: records as JSON lines, and the averaged table in every form."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.experiment import paper
from uvim_fsq.experiment.plan import Plan, records
from uvim_fsq.experiment.report import Shown, write_report
from uvim_fsq.experiment.table import Score, Table, make_table
from uvim_fsq.experiment.table_formats import FORMATS, as_text
from uvim_fsq.files import write_text
from uvim_fsq.markup import json_text
from uvim_fsq.tasks.settings import TaskConfig


def score_of(task: TaskConfig) -> Score:
    """What ranks the runs of a task, and what stands beside it."""
    found = task.scoring()
    return Score(found.headline, found.unit, found.higher_is_better, found.further)


def experiment_table(plan: Plan) -> Table:
    """The table of the runs that are finished."""
    config = next(iter(plan.rows.values()))
    task = config.task.kind
    found = list(records(plan))
    return make_table(
        plan.title,
        found,
        score_of(config.task),
        list(plan.rows),
        paper=paper.SCORES.get(task, {}),
        paper_usage=paper.USAGE.get(task, {}),
        comparable=all(map(paper.is_papers_setting, plan.rows.values()))
        and all(map(paper.is_papers_evaluation, found)),
    )


def write_results(plan: Plan) -> list[Path]:
    """Writes `records.jsonl`, `table.{txt,md,csv,tex,json}` and `report.html` into the directory.

    Returns:
      The files.
    """
    found = list(records(plan))
    rows = shown_rows(plan, found)
    table = experiment_table(plan)
    return write_tables(
        plan.directory, table, found, rows, [plan.command] if plan.command else []
    )


def write_tables(
    folder: Path,
    table: Table,
    found: Sequence[Mapping[str, Any]],
    rows: Sequence[Shown],
    commands: Sequence[str],
) -> list[Path]:
    """Writes records, tables and report, each whole or not at all, and returns the files."""
    texts = {f"table.{ending}": form(table) for ending, form in FORMATS.items()}
    texts["records.jsonl"] = "".join(
        json_text(record, sort_keys=True) + "\n" for record in found
    )
    written = []
    for name, text in texts.items():
        path = folder / name
        # Workers that share the plan end at about the same time.
        write_text(path, text)
        written.append(path)
    report = folder / "report.html"
    write_report(report, table, rows, commands)
    return [*written, report]


def shown_rows(plan: Plan, found: Sequence[Mapping[str, Any]]) -> list[Shown]:
    """The rows of a plan of which a run is finished, with its records and pictures."""
    done = [job for job in plan.jobs() if job.stage2_seed is not None]
    done = [job for job in done if plan.is_done(job)]
    return [
        Shown(
            row,
            [record for record in found if record["row"] == row],
            [plan.evaluation(job) for job in done if job.row == row],
        )
        for row in dict.fromkeys(job.row for job in done)
    ]


def print_results(plan: Plan) -> None:
    """Prints the table, and where the rest is."""
    print(as_text(experiment_table(plan)))
    print(f"records, tables and report: {plan.directory}")
