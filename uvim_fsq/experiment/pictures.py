"""The report's pictures: the same test pictures across rows, and each row's best and worst."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from uvim_fsq.experiment.page import picture, whole_picture

PICTURES = 6
"""Test pictures in the grid."""
_PREDICTIONS = {"stage1": "stage I", "greedy": "greedy", "sample": "one sample"}


def picture_grid(rows: Sequence[tuple[str, Path]]) -> str:
    """A column for each test picture; below picture and truth the predictions of every row.

    Args:
      rows: names and evaluation folders. Those without pictures are left out, and those of other
        pictures than the first one's, with a note: side by side stands only what is the same.
    """
    found = [
        (name, folder / "single", json.loads(index.read_text()))
        for name, folder in rows
        if (index := folder / "single" / "pictures.json").is_file()
    ]
    if not found:
        return ""
    ids = found[0][2]["ids"]
    same = [each for each in found if each[2]["ids"] == ids]
    shown = list(enumerate(ids[:PICTURES]))

    def line(label: str, folder: Path, column: str, text: str) -> str:
        cells = "".join(
            f'<td class="picture">{picture(path, f"{name}: {text}")}</td>'
            for number, name in shown
            if (path := folder / f"{number}_{column}.png").is_file()
        )
        return f"<tr><th scope='row'>{escape(label)}</th>{cells}</tr>"

    first = same[0][1]
    body = line("picture", first, "image", "picture")
    body += line("truth", first, "target", "truth")
    for column, title in _PREDICTIONS.items():
        lines = [
            line(name, folder, column, f"{name}, {title}")
            for name, folder, index in same
            if column in index["columns"]
        ]
        if lines:
            heading = f"<th scope='rowgroup' colspan='{len(shown) + 1}'>{title}</th>"
            body += f"</tbody><tbody><tr class='group'>{heading}</tr>{''.join(lines)}"
    left_out = len(found) - len(same)
    note = f"<p class='note'>{left_out} rows were scored on other pictures.</p>"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="pictures">'
        f'<table class="pictures"><tbody>{body}</tbody></table></div>'
        + (note if left_out else "")
    )


def best_and_worst(rows: Sequence[tuple[str, Path]]) -> str:
    """What unfolds to the pictures that a row does best and worst on."""
    html = ""
    for row, folder in rows:
        for name in ("best", "worst"):
            path = folder / f"{name}.png"
            if path.is_file():
                text = f"{row}: {name} pictures"
                html += (
                    f"<details><summary>{escape(text)}</summary>"
                    f"{whole_picture(path, text)}</details>"
                )
    return html
