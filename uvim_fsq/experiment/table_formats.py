"""A table as plain text, Markdown, LaTeX, CSV and JSON."""

import csv
import dataclasses
import io

from uvim_fsq.experiment.statistics import Summary
from uvim_fsq.experiment.table import Column, Table
from uvim_fsq.markup import json_text, markdown, one_line
from uvim_fsq.tables import Rows, aligned, latex_table, markdown_table


@dataclasses.dataclass(frozen=True)
class Block:
    """Rows of text, headings first; the last `baselines` are those without a model."""

    rows: Rows
    baselines: int = 0


def blocks(table: Table) -> list[Block]:
    """The scores with the paper's, below them the task's further scores, and the controls."""
    found = [_scores(table)]
    for title in ("further scores", "controls"):
        columns = [column for column in table.columns if column.block == title]
        if columns:
            rows = [[title, *(column.heading for column in columns)]]
            for row in table.rows:
                rows.append([row.name, *(_cell(row.cells[c.key], c) for c in columns)])
            found.append(Block(rows))
    return found


def _scores(table: Table) -> Block:
    columns = [column for column in table.columns if column.block == "scores"]
    has_paper = any(row.paper for row in table.rows)
    mark = "" if table.comparable else " †"
    rows = [["", "n", *(column.heading for column in columns)]]
    for row in table.rows:
        head = row.cells.get(table.headline)
        cells = [_cell(row.cells[column.key], column) for column in columns]
        rows.append([row.name, str(head.count if head else 0), *cells])
    for title, value in table.baselines.items():
        cells = [_number(value, c) if c.key == table.headline else "-" for c in columns]
        rows.append([title, "-", *cells])
    if has_paper:
        numbers = [(row.paper, row.paper_usage) for row in table.rows]
        numbers += [("", "")] * len(table.baselines)
        rows[0] += ["paper", "paper, usage"]
        for line, texts in zip(rows[1:], numbers, strict=True):
            line += [f"{text}{mark}" if text else "-" for text in texts]
    return Block(rows, len(table.baselines))


def _number(value: float, column: Column, sign: str = "") -> str:
    """A value as the column shows it."""
    return f"{value * column.scale:{sign}.{column.digits}f}"


def _cell(summary: Summary | None, column: Column) -> str:
    """`mean ± deviation`; the mean alone of one value, and a dash of none."""
    if summary is None:
        return "-"
    text = _number(summary.mean, column)
    if summary.deviation is None:
        return text
    return f"{text} ± {_number(summary.deviation, column)}"


def comparison_sentences(table: Table) -> list[str]:
    """Paired differences in words."""
    found = []
    for comparison in table.comparisons:
        column, difference = table.ranking, comparison.difference
        assert column is not None  # It is what was compared.
        shown = _number(difference.mean, column, "+")
        pairs = f"{difference.count} pair{'s' if difference.count > 1 else ''}"
        interval = ": no interval"
        if difference.low is not None and difference.high is not None:
            ends = (difference.low, difference.high)
            low_to_high = " to ".join(_number(end, column, "+") for end in ends)
            verdict = "clear" if difference.is_clear else "not clear"
            interval = f", 95 % interval {low_to_high}: {verdict}"
        names = f"{comparison.row} - {comparison.against}"
        found.append(f"{names}: {shown} ({pairs}{interval})")
    return found


def _below(table: Table) -> list[str]:
    return [*comparison_sentences(table), *table.notes]


def as_text(table: Table) -> str:
    """Aligned columns for a terminal."""
    parts = [table.title, *(aligned(b.rows, rule=True) for b in blocks(table))]
    parts += ["\n".join(_below(table))]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_markdown(table: Table) -> str:
    """Pipe tables, with the paired differences and notes below."""
    parts = [f"### {markdown(table.title)}"]
    for block in blocks(table):
        parts.append(markdown_table([[*map(markdown, row)] for row in block.rows]))
    parts += ["\n".join(f"- {markdown(text)}" for text in _below(table))]
    return "\n\n".join(filter(None, parts)) + "\n"


def as_latex(table: Table) -> str:
    """A `tabular` for each block, with the rules of the booktabs package."""
    lines = [f"% {one_line(table.title)}"]
    lines += [latex_table(block.rows, block.baselines) for block in blocks(table)]
    lines += [f"% {one_line(text)}" for text in _below(table)]
    return "\n".join(lines) + "\n"


def as_csv(table: Table) -> str:
    """One line per row and score, unrounded: row, score, mean, deviation, n."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", "score", "mean", "deviation", "n"])
    for row in table.rows:
        for key, found in row.cells.items():
            if found is not None:  # Without a deviation its place is empty.
                writer.writerow(
                    [row.name, key, found.mean, found.deviation, found.count]
                )
    return file.getvalue()


def as_json(table: Table) -> str:
    """Everything, unrounded."""
    return json_text(dataclasses.asdict(table), indent=1, ensure_ascii=False) + "\n"


FORMATS = {
    "txt": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "tex": as_latex,
    "json": as_json,
}
"""Functions by the ending of the file that they fill."""
