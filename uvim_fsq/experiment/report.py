"""The report of an experiment, or of any scored runs: one HTML file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from uvim_fsq.experiment import charts
from uvim_fsq.experiment.page import Section, charts_side_by_side, html_table, page
from uvim_fsq.experiment.pictures import best_and_worst, picture_grid
from uvim_fsq.experiment.table import Table
from uvim_fsq.experiment.table_formats import blocks, comparison_sentences
from uvim_fsq.files import write_text
from uvim_fsq.markup import printable

_CURVES = {
    "stage1": (("validation/loss", "stage I, validation loss"),),
    "stage2": (("validation/loss", "stage II, validation loss"),),
}
_USAGE = (
    ("validation/codebook_usage", "codebook usage, share"),
    ("validation/codebook_perplexity", "codebook perplexity"),
)


@dataclass(frozen=True)
class Shown:
    """A row of the report.

    Attributes:
      name: of the row.
      records: of its runs, see `experiment.record`.
      evaluations: the runs' evaluation folders, for their pictures; those that are gone are left out.
    """

    name: str
    records: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Path]


def write_report(
    path: Path, table: Table, rows: Sequence[Shown], commands: Sequence[str]
) -> None:
    """Writes the HTML file, whole or not at all; `commands` say how it was run."""
    # Pictures of a row's first run stand for it.
    folders = [(row.name, row.evaluations[0]) for row in rows if row.evaluations]
    sections = [
        Section("Scores", _scores(table)),
        Section("Single runs", _bars(table, rows)),
        Section("Training", _training(rows)),
        Section("Codebooks", _codebooks(rows)),
    ]
    sizes = _sizes(table, rows)
    if sizes:
        sections.append(Section("Codebook sizes", sizes))
    sections += [
        Section("Pictures", picture_grid(folders)),
        Section("Best and worst", best_and_worst(folders)),
        Section("How it was run", _provenance(rows, commands)),
    ]
    runs = sum(len(row.records) for row in rows)
    better = "higher" if table.higher_is_better else "lower"
    introduction = (
        f"{runs} runs in {len(rows)} rows. Means ± sample standard deviations over seeds; "
        f"greedy {_heading(table)} ranks, {better} is better."
    )
    shown = [section for section in sections if section.html]
    write_text(path, printable(page(table.title, introduction, shown)))


def _scores(table: Table) -> str:
    means = {
        row.name: cell.mean
        for row in table.rows
        if (cell := row.cells.get(table.headline)) is not None
    }
    best = max if table.higher_is_better else min
    winner = best(means, key=lambda name: means[name]) if means else None
    html = ""
    for number, block in enumerate(blocks(table)):
        plain = len(block.lines) - block.baselines
        ranks = number == 0
        classes = [
            "plain" if i >= plain else ("best" if ranks and line[0] == winner else "")
            for i, line in enumerate(block.lines)
        ]
        html += html_table(block.headings, block.lines, classes)
    differences = "".join(
        f"<li>{escape(text)}</li>" for text in comparison_sentences(table)
    )
    notes = "".join(f'<p class="note">{escape(text)}</p>' for text in table.notes)
    return html + (f"<ul>{differences}</ul>" if differences else "") + notes


def _heading(table: Table) -> str:
    return next((c.heading for c in table.columns if c.key == table.headline), "score")


def _bars(table: Table, rows: Sequence[Shown]) -> str:
    column = next((c for c in table.columns if c.key == table.headline), None)
    if column is None:
        return ""
    values = {
        row.name: [
            record["scores"][column.key]
            for record in row.records
            if column.key in record["scores"]
        ]
        for row in rows
    }
    drawn = charts.bars(values, f"greedy {column.heading}", table.baselines)
    return charts_side_by_side([drawn])


def _training(rows: Sequence[Shown]) -> str:
    drawn = []
    for stage, metrics in _CURVES.items():
        for key, label in metrics:
            found = {row.name: _curves(row, stage, key) for row in rows}
            if any(found.values()):
                drawn.append(charts.curves(found, "step", label))
    return charts_side_by_side(drawn)


def _curves(row: Shown, stage: str, key: str) -> list[charts.Curve]:
    """One curve of every training of a stage; a stage I that several runs share counts once."""
    found: dict[Any, charts.Curve] = {}
    for record in row.records:
        lines = record["stages"].get(stage, {}).get("curve", [])
        points = [
            (line["step"], line[key]) for line in lines if line.get(key) is not None
        ]
        if points:
            seeds = (record.get("stage1_seed"), record.get("stage2_seed"))
            x, y = zip(*points, strict=True)
            found[seeds[0] if stage == "stage1" else seeds] = (x, y)
    return list(found.values())


def _codebooks(rows: Sequence[Shown]) -> str:
    drawn = []
    for key, label in _USAGE:
        found = {row.name: _curves(row, "stage1", key) for row in rows}
        if any(found.values()):
            drawn.append(charts.curves(found, "step", label, from_zero=True))
    html = charts_side_by_side(drawn)
    drawn = [
        charts.histogram(row.name, record["histogram"], record["codebook_size"], number)
        for number, row in enumerate(rows)
        for record in row.records[:1]
        if record.get("histogram")
    ]
    if drawn:
        html += (
            "<p>How often each codeword occurs over training pictures, most frequent first; "
            "the dotted line is uniform use.</p>"
            + charts_side_by_side(drawn, small=True)
        )
    return html


def _sizes(table: Table, rows: Sequence[Shown]) -> str:
    """Score, usage and cost against the codebook's size, where rows differ in it."""
    families: dict[str, list[tuple[int, Shown]]] = {}
    for row in rows:
        for record in row.records[:1]:
            size = record.get("codebook_size")
            if size:
                family = row.name.rpartition("_2^")[0] or str(record["quantizer"])
                families.setdefault(family, []).append((size, row))
    if len({size for found in families.values() for size, _ in found}) < 3:
        return ""
    drawn = []
    for column in table.columns:
        wanted = ("codebook_training/usage", "codebook/bits_per_image")
        if column.key not in (*wanted, table.headline, _stage1(table.headline)):
            continue
        series = {}
        for family, found in families.items():
            points = [
                (size, column.scale * _mean(row, column.key))
                for size, row in sorted(found, key=lambda pair: pair[0])
                if not math.isnan(_mean(row, column.key))
            ]
            series[family] = [tuple(zip(*points, strict=True))] if points else []
        drawn.append(
            charts.curves(series, "codewords", column.heading, log_x=True, marks=True)
        )
    return charts_side_by_side(drawn)


def _stage1(headline: str) -> str:
    return f"stage1/{headline.partition('/')[2]}"


def _mean(row: Shown, key: str) -> float:
    found = [r["scores"][key] for r in row.records if key in r["scores"]]
    return sum(found) / len(found) if found else math.nan


def _provenance(rows: Sequence[Shown], commands: Sequence[str]) -> str:
    headings = ["run", "settings", "stage I", "stage II", "pictures", "jax", "devices"]
    lines = []
    for row in rows:
        for record in row.records:
            stages, place = record["stages"], record["environment"]
            seeds = [record.get(f"stage{i}_seed") for i in (1, 2)]
            lines.append(
                [
                    f"{row.name}, seeds {seeds[0]} and {seeds[1]}",
                    str(record["config"]),
                    *(_training_time(stages.get(f"stage{i}")) for i in (1, 2)),
                    _pictures(record),
                    str(place.get("jax")),
                    ", ".join(sorted(set(place.get("devices", [])))),
                ]
            )
    shown = "".join(f"<pre>{escape(command)}</pre>" for command in commands)
    return shown + html_table(headings, lines)


def _pictures(record: Mapping[str, Any]) -> str:
    """How many were scored, of which part, and which they were."""
    scored = (record.get("data") or {}).get("scored")
    which = f", fingerprint {scored}" if scored else ""
    return f"{record['pictures']} ({record['part']}{which})"


def _training_time(stage: Mapping[str, Any] | None) -> str:
    if not stage or "steps" not in stage:
        return "-"
    return f"{stage['steps']:,} steps, {stage.get('seconds', 0):.0f} s"
