"""A table as plain text, Markdown, LaTeX, CSV and JSON."""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

from uvim_fsq.experiment.statistics import Summary
from uvim_fsq.experiment.table import Column, Row, Table


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


def _paper(row: Row, table: Table) -> str:
    mark = "" if table.comparable else " †"
    return f"{row.paper}{mark}" if row.paper else "-"


def _grid(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of text; below the rows stand the baselines."""
    has_paper = any(row.paper for row in table.rows)
    headings = ["", "n", *(column.heading for column in table.columns)]
    if has_paper:
        headings += ["paper", "paper, usage"]
    lines = []
    for row in table.rows:
        head = row.cells[table.headline] if table.headline in row.cells else None
        line = [row.name, str(head.count if head else 0)]
        line += [cell(row.cells[column.key], column) for column in table.columns]
        if has_paper:
            mark = "" if table.comparable or not row.paper_usage else " †"
            line += [_paper(row, table), f"{row.paper_usage}{mark}" or "-"]
        lines.append(line)
    for title, value in table.baselines.items():
        shown = [
            number(value, column) if column.key == table.headline else "-"
            for column in table.columns
        ]
        lines.append([title, "-", *shown, *(["-", "-"] if has_paper else [])])
    return headings, lines


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
    headings, lines = _grid(table)
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    rule = "-" * len(line(headings))
    body = [table.title, "", line(headings), rule, *map(line, lines), ""]
    return "\n".join([*body, *comparison_sentences(table), *table.notes]) + "\n"


def as_markdown(table: Table) -> str:
    """A pipe table, with the paired differences and notes below."""
    headings, lines = _grid(table)
    rows = [
        "| " + " | ".join(headings) + " |",
        "|" + "|".join(["---", *["---:"] * (len(headings) - 1)]) + "|",
        *("| " + " | ".join(line) + " |" for line in lines),
    ]
    below = [f"- {text}" for text in [*comparison_sentences(table), *table.notes]]
    return "\n".join([f"### {table.title}", "", *rows, "", *below]) + "\n"


_LATEX = {"±": r"$\pm$", "%": r"\%", "_": r"\_", "†": r"$^\dagger$", "&": r"\&"}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def as_latex(table: Table) -> str:
    """A `tabular` with the rules of the booktabs package."""
    headings, lines = _grid(table)
    rows = [" & ".join(map(_latex, line)) + r" \\" for line in lines]
    body = [
        f"% {table.title}",
        rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"\toprule",
        " & ".join(map(_latex, headings)) + r" \\",
        r"\midrule",
        *rows[: len(table.rows)],
        *([r"\midrule"] if table.baselines else []),
        *rows[len(table.rows) :],
        r"\bottomrule",
        r"\end{tabular}",
        *(f"% {text}" for text in [*comparison_sentences(table), *table.notes]),
    ]
    return "\n".join(body) + "\n"


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
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


FORMATS = {
    "txt": as_text,
    "md": as_markdown,
    "csv": as_csv,
    "tex": as_latex,
    "json": as_json,
}
"""Functions by the ending of the file that they fill."""
