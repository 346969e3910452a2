"""The frame of a report: one HTML file that needs no network, reads on a phone and in the dark."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --faint: #68717a; --paper: #ffffff;
  --panel: #f4f6f8; --link: #0b57d0;
  --series-0: #1f77b4; --series-1: #d1600a; --series-2: #2b8a3e; --series-3: #c92a2a;
  --series-4: #7b4fb5; --series-5: #8c564b; --series-6: #c2327f; --series-7: #5f6b76; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --faint: #8b95a0; --paper: #14181d;
  --panel: #1e242b; --link: #8ab4f8;
  --series-0: #6cb3f0; --series-1: #ff9f5a; --series-2: #69d58c; --series-3: #ff7b7b;
  --series-4: #bd9cf2; --series-5: #d0a79c; --series-6: #f28ac0; --series-7: #a9b4bf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, li { max-width: 46rem; } ul { padding-left: 1.2rem; } a { color: var(--link); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.scroll { overflow-x: auto; } svg { width: 100%; min-width: 27rem; height: auto; font-family: inherit; }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 36rem), 1fr)); }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.charts.small svg { min-width: 15rem; max-width: 24rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .25rem .45rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid color-mix(in srgb, var(--faint) 35%, transparent); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper);
  white-space: normal; min-width: 11rem; max-width: 14rem; }
table.pictures th { font-weight: 400; border: 0; overflow-wrap: anywhere; }
table.pictures tr.group th { font-weight: 600; padding-top: .75rem; max-width: none; }
@media (max-width: 40rem) { th:first-child, td:first-child { min-width: 6rem; max-width: 8rem; }
  button.zoom img { width: 5rem; } }
tr.best td { font-weight: 600; } tr.plain td { color: var(--faint); }
td.picture { padding: .15rem; border: 0; text-align: center; }
button.zoom { padding: 0; border: 0; background: none; cursor: zoom-in; display: block; }
button.zoom:focus-visible, summary:focus-visible, a:focus-visible { outline: 3px solid var(--link); }
button.zoom img { width: 7rem; height: auto; image-rendering: pixelated; display: block; }
dialog { border: 0; padding: 1rem; background: var(--panel); color: var(--ink); max-width: 96vw; }
dialog::backdrop { background: rgb(0 0 0 / .7); }
dialog img { width: min(80vw, 80vh); height: auto; image-rendering: pixelated; display: block; }
dialog button { margin-top: .5rem; font: inherit; padding: .3rem 1rem; }
img.page { max-width: 100%; height: auto; } details { margin: .5rem 0; }
pre { background: var(--panel); padding: .75rem; overflow-x: auto; font-size: .85rem; }
.note { color: var(--faint); }
"""

_SCRIPT = """
const dialog = document.querySelector("dialog");
const large = dialog.querySelector("img"), words = dialog.querySelector("p");
for (const button of document.querySelectorAll("button.zoom")) {
  button.addEventListener("click", () => {
    const small = button.querySelector("img");
    large.src = small.src; large.alt = small.alt; words.textContent = small.alt;
    dialog.showModal();
  });
}
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
"""


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading, and HTML."""

    heading: str
    html: str

    @property
    def anchor(self) -> str:
        """For links within the page."""
        return "".join(c if c.isalnum() else "-" for c in self.heading.lower())


def page(title: str, introduction: str, sections: Sequence[Section]) -> str:
    """The text of the HTML file."""
    links = "".join(f'<a href="#{s.anchor}">{escape(s.heading)}</a>' for s in sections)
    body = "".join(
        f'<section id="{s.anchor}"><h2>{escape(s.heading)}</h2>{s.html}</section>\n'
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1><p>{escape(introduction)}</p><nav>{links}</nav>\n"
        f"{body}"
        '<dialog aria-label="picture, enlarged"><img alt=""><p></p>'
        '<form method="dialog"><button autofocus>Close</button></form></dialog>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def charts_side_by_side(drawings: Sequence[str], *, small: bool = False) -> str:
    """Drawings, two to a line where the page is wide; each scrolls where it is narrower than can be read.

    `small` ones are half as wide.
    """
    shown = "".join(
        f'<div class="scroll" tabindex="0" role="region" aria-label="chart">{svg}</div>'
        for svg in drawings
    )
    kind = "charts small" if small else "charts"
    return f'<div class="{kind}">{shown}</div>' if shown else ""


def picture(path: Path, text: str) -> str:
    """A picture that opens large, by mouse, touch or keyboard."""
    return f'<button class="zoom"><img loading="lazy" src="{_data(path)}" alt="{escape(text)}"></button>'


def whole_picture(path: Path, text: str) -> str:
    """A picture as wide as the page."""
    return f'<img class="page" loading="lazy" src="{_data(path)}" alt="{escape(text)}">'


def _data(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
