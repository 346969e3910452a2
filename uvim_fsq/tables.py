"""Tables in every form: rows of text, headings first, names to the left and numbers to the right."""

from collections.abc import Sequence
from html import escape

from uvim_fsq.markup import latex

Rows = Sequence[Sequence[str]]


def score(value: float | None) -> str:
    """Four digits or so, and a dash for what is not known.

    >>> score(0.4567), score(43.21), score(None)
    ('0.457', '43.21', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def aligned(rows: Rows, left: int = 1, *, rule: bool = False) -> str:
    """Lines of text with columns as wide as they need to be, the first `left` of them to the left.

    `rule` draws a line below the headings.

    >>> print(aligned([["", "rmse"], ["fsq_no_context", "1"]]))
                    rmse
    fsq_no_context     1
    """
    from rich.cells import cell_len  # Some letters are two places wide.

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        gaps = [" " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True)]
        cells = [c + gap for c, gap in zip(row[:left], gaps, strict=False)]
        cells += [gap + c for c, gap in zip(row[left:], gaps[left:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    if rule:
        lines.insert(1, "-" * cell_len(lines[0]))
    return "\n".join(lines)


def markdown_table(rows: Rows) -> str:
    """A pipe table of cells that are Markdown already.

    >>> print(markdown_table([["a", "b"], ["c", "1"]]))
    | a | b |
    | --- | ---: |
    | c | 1 |
    """
    headings, *lines = rows
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *lines))


def latex_table(rows: Rows, apart: int = 0) -> str:
    """A `tabular` with the rules of the booktabs package; the last `apart` lines have one above them."""
    headings, *lines = (" & ".join(map(latex, row)) + r" \\" for row in rows)
    whole = len(lines) - apart
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(rows[0]) - 1)}}}",
            *(r"\toprule", headings, r"\midrule", *lines[:whole]),
            *([r"\midrule", *lines[whole:]] if apart else []),
            *(r"\bottomrule", r"\end{tabular}"),
        ]
    )


def html_table(rows: Rows, classes: Sequence[str] = ()) -> str:
    """A table that scrolls where the page is narrow; `classes` are of the lines below the headings."""
    headings, *lines = rows
    head = "".join(f"<th scope='col'>{escape(text)}</th>" for text in headings)
    body = ""
    for line, kind in zip(lines, classes or [""] * len(lines), strict=True):
        cells = "".join(f"<td>{escape(text)}</td>" for text in line)
        body += f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
