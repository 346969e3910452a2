"""The report of an experiment, or of any scored runs: one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from uvim_fsq.experiment import charts
from uvim_fsq.experiment.page import Section, charts_side_by_side, page
from uvim_fsq.experiment.pictures import best_and_worst, picture_grid
from uvim_fsq.experiment.table import Table
from uvim_fsq.experiment.table_formats import blocks, comparison_sentences
from uvim_fsq.files import write_text
from uvim_fsq.markup import printable
from uvim_fsq.tables import html_table

_HISTOGRAMS = (
    "<p>How often each codeword occurs over training pictures, most frequent first; "
    "the dotted line is uniform use.</p>"
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
        Section("Codebook sizes", _sizes(table, rows)),
        Section("Pictures", picture_grid(folders)),
        Section("Best and worst", best_and_worst(folders)),
        Section("How it was run", _provenance(rows, commands)),
    ]
    runs = sum(len(row.records) for row in rows)
    better = "higher" if table.higher_is_better else "lower"
    score = table.ranking.heading if table.ranking else "score"
    introduction = (
        f"{runs} runs in {len(rows)} rows. Means ± sample standard deviations over seeds; "
        f"greedy {score} ranks, {better} is better."
    )
    shown = [section for section in sections if section.html]
    write_text(path, printable(page(table.title, introduction, shown)))


def _scores(table: Table) -> str:
    cells = {row.name: row.cells.get(table.headline) for row in table.rows}
    means = {name: cell.mean for name, cell in cells.items() if cell is not None}
    best = max if table.higher_is_better else min
    winner = best(means, key=means.__getitem__, default=None)
    html = ""
    for number, block in enumerate(blocks(table)):
        names = [row[0] for row in block.rows[1:]]
        kinds = ["best" if number == 0 and n == winner else "" for n in names]
        models = len(names) - block.baselines
        html += html_table(block.rows, kinds[:models] + ["plain"] * block.baselines)
    found = [f"<li>{escape(text)}</li>" for text in comparison_sentences(table)]
    html += f"<ul>{''.join(found)}</ul>" if found else ""
    return html + "".join(f'<p class="note">{escape(n)}</p>' for n in table.notes)


def _bars(table: Table, rows: Sequence[Shown]) -> str:
    column = table.ranking
    if column is None:
        return ""
    values = {row.name: _values(row, column.key) for row in rows}
    drawn = charts.bars(values, f"greedy {column.heading}", table.baselines)
    return charts_side_by_side([drawn])


def _values(row: Shown, key: str) -> list[float]:
    return [r["scores"][key] for r in row.records if key in r["scores"]]


def _training(rows: Sequence[Shown]) -> str:
    drawn = [
        *_over_steps(rows, "stage1", "loss", "stage I, validation loss"),
        *_over_steps(rows, "stage2", "loss", "stage II, validation loss"),
    ]
    return charts_side_by_side(drawn)


def _over_steps(
    rows: Sequence[Shown], stage: str, metric: str, label: str, **options: Any
) -> list[str]:
    """A chart of a validation's metric, if any run has it."""
    found = {row.name: _curves(row, stage, f"validation/{metric}") for row in rows}
    if not any(found.values()):
        return []
    return [charts.curves(found, "step", label, **options)]


def _curves(row: Shown, stage: str, key: str) -> list[charts.Curve]:
    """One curve of every training of a stage; a stage I that several runs share counts once."""
    found: dict[Any, charts.Curve] = {}
    for record in row.records:
        lines = record["stages"].get(stage, {}).get("curve", [])
        lines = [line for line in lines if line.get(key) is not None]
        if lines:
            seeds = (record.get("stage1_seed"), record.get("stage2_seed"))
            curve = [line["step"] for line in lines], [line[key] for line in lines]
            found[seeds[0] if stage == "stage1" else seeds] = curve
    return list(found.values())


def _codebooks(rows: Sequence[Shown]) -> str:
    curves = [
        chart
        for metric, label in (
            ("codebook_usage", "codebook usage, share"),
            ("codebook_perplexity", "codebook perplexity"),
        )
        for chart in _over_steps(rows, "stage1", metric, label, from_zero=True)
    ]
    histograms = [
        charts.histogram(row.name, record["histogram"], record["codebook_size"], number)
        for number, row in enumerate(rows)
        for record in row.records[:1]
        if record.get("histogram")
    ]
    html = charts_side_by_side(curves)
    if histograms:
        html += _HISTOGRAMS + charts_side_by_side(histograms, small=True)
    return html


def _sizes(table: Table, rows: Sequence[Shown]) -> str:
    """Score, usage and cost against the codebook's size, where rows differ in it."""
    families: dict[str, list[tuple[int, Shown]]] = {}
    for row in rows:
        for record in row.records[:1]:
            if size := record.get("codebook_size"):
                family = row.name.rpartition("_2^")[0] or str(record["quantizer"])
                families.setdefault(family, []).append((size, row))
    if len({size for found in families.values() for size, _ in found}) < 3:
        return ""
    stage1 = table.headline.replace("greedy/", "stage1/", 1)
    usage = ("codebook_training/usage", "codebook/bits_per_image")
    drawn = []
    for column in table.columns:
        if column.key not in (*usage, table.headline, stage1):
            continue
        series: dict[str, list[charts.Curve]] = {}
        for family, found in families.items():
            points = []
            for size, row in sorted(found, key=lambda pair: pair[0]):
                if values := _values(row, column.key):
                    points.append((size, column.scale * (sum(values) / len(values))))
            curve = [size for size, _ in points], [value for _, value in points]
            series[family] = [curve] if points else []
        drawn.append(
            charts.curves(series, "codewords", column.heading, log_x=True, marks=True)
        )
    return charts_side_by_side(drawn)


def _provenance(rows: Sequence[Shown], commands: Sequence[str]) -> str:
    lines = [["run", "settings", "stage I", "stage II", "pictures", "jax", "devices"]]
    for row in rows:
        for record in row.records:
            stages, place = record["stages"], record["environment"]
            seeds = [record.get(f"stage{i}_seed") for i in (1, 2)]
            scored = (record.get("data") or {}).get("scored")
            which = f", fingerprint {scored}" if scored else ""
            lines.append(
                [
                    f"{row.name}, seeds {seeds[0]} and {seeds[1]}",
                    str(record["config"]),
                    *(_training_time(stages.get(f"stage{i}")) for i in (1, 2)),
                    f"{record['pictures']} ({record['part']}{which})",
                    str(place.get("jax")),
                    ", ".join(sorted(set(place.get("devices", [])))),
                ]
            )
    shown = "".join(f"<pre>{escape(command)}</pre>" for command in commands)
    return shown + html_table(lines)


def _training_time(stage: Mapping[str, Any] | None) -> str:
    if not stage or "steps" not in stage:
        return "-"
    return f"{stage['steps']:,} steps, {stage.get('seconds', 0):.0f} s"
