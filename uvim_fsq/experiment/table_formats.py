"""A table as plain text, Markdown, LaTeX, CSV and JSON."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from uvim_fsq.experiment.statistics import Summary
from uvim_fsq.experiment.table import Column, Table
from uvim_fsq.markup import json_text, latex, markdown, one_line


def number(value: float, column: Column) -> str:
    """A value as the column shows it."""
    return f"{value * column.scale:.{column.digits}f}"


def cell(summary: Summary | None, column: Column) -> str:
    """`mean ± deviation`; the mean alone of one value, and a dash of none."""
    if summary is None:
        return "-"
    text = number(summary.mean, column)
    if summary.deviation is None:
        return text
    return f"{text} ± {number(summary.deviation, column)}"


@dataclasses.dataclass(frozen=True)
class Block:
    """Headings and lines of text; the last `baselines` lines are those without a model."""

    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    baselines: int = 0


def blocks(table: Table) -> list[Block]:
    """The scores with the paper's, below them the task's further scores, and the controls."""
    found = [_scores(table, [c for c in table.columns if c.block == "scores"])]
    for title in ("further scores", "controls"):
        columns = [column for column in table.columns if column.block == title]
        if columns:
            lines = [
                [row.name, *(cell(row.cells[column.key], column) for column in columns)]
                for row in table.rows
            ]
            headings = [title, *(column.heading for column in columns)]
            found.append(Block(headings, lines))
    return found


def _scores(table: Table, columns: Sequence[Column]) -> Block:
    has_paper = any(row.paper for row in table.rows)
    headings = ["", "n", *(column.heading for column in columns)]
    if has_paper:
        headings += ["paper", "paper, usage"]
    mark = "" if table.comparable else " †"
    lines = []
    for row in table.rows:
        head = row.cells.get(table.headline)
        line = [row.name, str(head.count if head else 0)]
        line += [cell(row.cells[column.key], column) for column in columns]
        if has_paper:
            numbers = (row.paper, row.paper_usage)
            line += [f"{text}{mark}" if text else "-" for text in numbers]
        lines.append(line)
    for title, value in table.baselines.items():
        shown = [
            number(value, column) if column.key == table.headline else "-"
            for column in columns
        ]
        lines.append([title, "-", *shown, *(["-", "-"] if has_paper else [])])
    return Block(headings, lines, len(table.baselines))


def comparison_sentences(table: Table) -> list[str]:
    """Paired differences in words."""
    column = next((c for c in table.columns if c.key == table.headline), None)
    if column is None:
        return []
    sentences = []
    for comparison in table.comparisons:
        difference = comparison.difference
        shown = f"{difference.mean * column.scale:+.{column.digits}f}"
        pairs = f"{difference.count} pair{'s' if difference.count > 1 else ''}"
        text = f"{comparison.row} - {comparison.against}: {shown} ({pairs}"
        if difference.low is None or difference.high is None:
            sentences.append(f"{text}: no interval)")
            continue
        low, high = (
            f"{value * column.scale:+.{column.digits}f}"
            for value in (difference.low, difference.high)
        )
        verdict = "clear" if difference.is_clear else "not clear"
        sentences.append(f"{text}, 95 % interval {low} to {high}: {verdict})")
    return sentences


def as_text(table: Table) -> str:
    """Aligned columns for a terminal."""
    parts = [table.title, *map(_aligned, blocks(table))]
    below = [*comparison_sentences(table), *table.notes]
    return "\n\n".join([*parts, *(["\n".join(below)] if below else [])]) + "\n"


def _aligned(block: Block) -> str:
    cells = [block.headings, *block.lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    headings = line(block.headings)
    return "\n".join([headings, "-" * len(headings), *map(line, block.lines)])


def as_markdown(table: Table) -> str:
    """Pipe tables, with the paired differences and notes below."""
    parts = [f"### {markdown(table.title)}"]
    for block in blocks(table):
        rule = ["---", *["---:"] * (len(block.headings) - 1)]
        texts = [[*map(markdown, row)] for row in (block.headings, *block.lines)]
        rows = [texts[0], rule, *texts[1:]]
        parts.append("\n".join("| " + " | ".join(row) + " |" for row in rows))
    below = [
        f"- {markdown(text)}" for text in [*comparison_sentences(table), *table.notes]
    ]
    return "\n\n".join([*parts, *(["\n".join(below)] if below else [])]) + "\n"


def as_latex(table: Table) -> str:
    """A `tabular` for each block, with the rules of the booktabs package."""
    lines = [f"% {one_line(table.title)}"]
    for block in blocks(table):
        rows = [" & ".join(map(latex, line)) + r" \\" for line in block.lines]
        models = len(rows) - block.baselines
        lines += [
            rf"\begin{{tabular}}{{l{'r' * (len(block.headings) - 1)}}}",
            r"\toprule",
            " & ".join(map(latex, block.headings)) + r" \\",
            r"\midrule",
            *rows[:models],
            *([r"\midrule", *rows[models:]] if block.baselines else []),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    lines += [
        f"% {one_line(text)}" for text in [*comparison_sentences(table), *table.notes]
    ]
    return "\n".join(lines) + "\n"


def as_csv(table: Table) -> str:
    """One line per row and score, unrounded: row, score, mean, deviation, n."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", "score", "mean", "deviation", "n"])
    for row in table.rows:
        for key, summary in row.cells.items():
            if summary is not None:
                deviation = "" if summary.deviation is None else summary.deviation
                values = [summary.mean, deviation, summary.count]
                writer.writerow([row.name, key, *values])
    return file.getvalue()


def as_json(table: Table) -> str:
    """Everything, unrounded."""
    data: dict[str, Any] = dataclasses.asdict(table)
    return json_text(data, indent=1, ensure_ascii=False) + "\n"


FORMATS = {
    "txt": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "tex": as_latex,
    "json": as_json,
}
"""Functions by the ending of the file that they fill."""
