"""What an experiment leaves behind: records as JSON lines, and the averaged table in every form."""

import json
import os
from pathlib import Path

from uvim_fsq.build.scoring import build_scoring
from uvim_fsq.experiment import paper
from uvim_fsq.experiment.plan import Plan, records
from uvim_fsq.experiment.report import Shown, write_report
from uvim_fsq.experiment.table import Score, Table, make_table
from uvim_fsq.experiment.table_formats import FORMATS, as_text


def experiment_table(plan: Plan) -> Table:
    """The table of the runs that are finished."""
    config = next(iter(plan.rows.values()))
    scoring = build_scoring(config.task)
    task = config.task.kind
    return make_table(
        plan.title,
        list(records(plan)),
        Score(scoring.headline, scoring.unit, scoring.higher_is_better),
        list(plan.rows),
        paper=paper.SCORES[task],
        paper_usage=paper.USAGE[task],
        comparable=all(map(paper.is_papers_setting, plan.rows.values())),
    )


def write_results(plan: Plan) -> list[Path]:
    """Writes `records.jsonl`, `table.{txt,md,csv,tex,json}` and `report.html` into the directory.

    Returns:
      The files.
    """
    table = experiment_table(plan)
    texts = {f"table.{ending}": form(table) for ending, form in FORMATS.items()}
    texts["records.jsonl"] = "".join(
        json.dumps(record, sort_keys=True) + "\n" for record in records(plan)
    )
    written = []
    for name, text in texts.items():
        path = plan.directory / name
        # Workers that share the plan end at about the same time.
        temporary = path.with_name(f".{name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
        written.append(path)
    report = plan.directory / "report.html"
    write_report(report, table, _shown(plan), _commands(plan))
    return [*written, report]


def _shown(plan: Plan) -> list[Shown]:
    done = [job for job in plan.jobs() if job.stage2_seed is not None]
    done = [job for job in done if plan.is_done(job)]
    found = list(records(plan))
    rows = dict.fromkeys(job.row for job in done)
    return [
        Shown(
            row,
            [record for record in found if record["row"] == row],
            [plan.evaluation(job) for job in done if job.row == row],
        )
        for row in rows
    ]


def _commands(plan: Plan) -> list[str]:
    """The command that this plan can be had with; the settings of its rows are in experiment.json."""
    return [
        f"# {plan.title}\n# {plan.stage1_seeds} stage I and {plan.stage2_seeds} stage II of each row; "
        "settings in experiment.json, single runs in records.jsonl"
    ]


def print_results(plan: Plan) -> None:
    """Prints the table, and where the rest is."""
    print(as_text(experiment_table(plan)))
    print(f"records, tables and report: {plan.directory}")
