"""What an experiment leaves behind: records as JSON lines, and the averaged table in every form."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from uvim_fsq.experiment import paper
from uvim_fsq.experiment.plan import Plan, records
from uvim_fsq.experiment.report import Shown, write_report
from uvim_fsq.experiment.table import make_table
from uvim_fsq.experiment.table_formats import FORMATS
from uvim_fsq.files import write_text
from uvim_fsq.markup import json_text
from uvim_fsq.settings.run import RunConfig


def write_results(plan: Plan) -> list[Path]:
    """Writes the files of `write_tables` into the directory of an experiment."""
    commands = [plan.command] if plan.command else []
    rows = shown_rows(plan)
    return write_tables(plan.directory, plan.title, plan.rows, rows, commands)


def write_tables(
    folder: Path,
    title: str,
    configs: Mapping[str, RunConfig],
    rows: Sequence[Shown],
    commands: Sequence[str],
) -> list[Path]:
    """Writes `table.{txt,md,csv,tex,json}`, `records.jsonl` and `report.html`, each whole or not at all.

    Args:
      folder: for the files; made if it is not there.
      title: of table and report.
      configs: settings by row, of one task.
      rows: those of which there are runs.
      commands: that it was run by.

    Returns:
      The files.
    """
    found = [record for row in rows for record in row.records]
    task = next(iter(configs.values())).task
    table = make_table(
        title,
        found,
        task.scoring(),
        list(configs),
        paper=paper.SCORES.get(task.kind, {}),
        paper_usage=paper.USAGE.get(task.kind, {}),
        comparable=all(map(paper.is_papers_setting, configs.values()))
        and all(map(paper.is_papers_evaluation, found)),
    )
    texts = {f"table.{ending}": form(table) for ending, form in FORMATS.items()}
    lines = [json_text(record, sort_keys=True) + "\n" for record in found]
    texts["records.jsonl"] = "".join(lines)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        # Workers that share the plan end at about the same time.
        write_text(folder / name, text)
    report = folder / "report.html"
    write_report(report, table, rows, commands)
    return [*(folder / name for name in texts), report]


def shown_rows(plan: Plan) -> list[Shown]:
    """The rows of a plan of which a run is finished, with its records and pictures."""
    found = list(records(plan))
    done = [job for job in plan.jobs() if job.stage2_seed is not None]
    done = [job for job in done if plan.is_done(job)]
    return [
        Shown(
            row,
            [record for record in found if record["row"] == row],
            [plan.evaluation(job) for job in done if job.row == row],
        )
        for row in dict.fromkeys(record["row"] for record in found)
    ]
