"""Charts as SVG text whose colours follow the page's theme.

matplotlib draws them in place-holder colours, which are then replaced by the page's CSS variables
(`--ink`, `--faint`, `--series-0` ...), so that one drawing serves a light and a dark page.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

Curve = tuple[Sequence[float | int], Sequence[float | int]]
"""Places and values."""

SERIES = 8
_INK, _FAINT = "#010101", "#020202"
_PLACEHOLDERS = [f"#0301{number:02x}" for number in range(SERIES)]
_SETTINGS: Any = {
    "svg.fonttype": "none",  # Text stays text, in the page's font.
    "svg.hashsalt": "uvim-fsq",  # The same chart is the same text.
    "text.parse_math": False,  # A name with two dollars is no formula.
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "font.size": 9,
}


def bars(
    values: Mapping[str, Sequence[float]],
    heading: str,
    lines: Mapping[str, float] | None = None,
) -> str:
    """A bar of the mean for each name, with every single value as a dot; `lines` are for reference."""
    lines = lines or {}

    def draw(_, axis: Any) -> None:
        for place, found in enumerate(values.values()):
            color = _PLACEHOLDERS[place % SERIES]
            if len(found):
                axis.barh(place, np.mean(found), 0.6, color=color, alpha=0.45)
                half = 0.15 if len(found) > 1 else 0
                places = place + np.linspace(-half, half, len(found))
                axis.plot(found, places, "o", color=color, ms=4)
        for number, (title, value) in enumerate(lines.items()):
            axis.axvline(value, color=_FAINT, lw=1, ls="--")
            # One below the other: values may be close together.
            place = -0.6 - 0.35 * (len(lines) - number - 1)
            left = value < axis.get_xlim()[1] / 3  # No room for words on its left.
            side = "left" if left else "right"
            axis.text(value, place, f" {title} ", fontsize=7, ha=side)
        axis.set_yticks(range(len(values)), list(values))
        axis.set_ylim(len(values) - 0.4, -0.8 - 0.35 * len(lines))
        axis.set_xlabel(heading)
        axis.grid(axis="x", lw=0.4, alpha=0.5)

    height = 0.42 * (len(values) + len(lines) / 3) + 1
    return _svg(draw, f"{heading} by row", height=height)


def curves(
    series: Mapping[str, Sequence[Curve]],
    xlabel: str,
    ylabel: str,
    *,
    log_x: bool = False,
    marks: bool = False,
    from_zero: bool = False,
) -> str:
    """Lines over places; several curves of one name share its colour."""

    def draw(figure: Any, axis: Any) -> None:
        handles = {}
        for number, (name, found) in enumerate(series.items()):
            color = _PLACEHOLDERS[number % SERIES]
            style = dict(color=color, ls="-" if number < SERIES else "--", ms=3, lw=1.4)
            for x, y in found:
                marker = "o" if marks or len(x) == 1 else None
                (handles[name],) = axis.plot(x, y, marker=marker, **style)
        if log_x:
            axis.set_xscale("log", base=2)
            _plain_numbers(axis.xaxis)
        if from_zero:
            axis.set_ylim(bottom=0)
        axis.set_xlabel(xlabel)
        axis.set_ylabel(ylabel)
        axis.grid(lw=0.4, alpha=0.5)
        if handles:
            # Beside the curves: within it would hide some of them.
            place = dict(loc="outside right upper", frameon=False, fontsize=8)
            legend = figure.legend([*handles.values()], ["-"] * len(handles), **place)
            # Set afterwards: matplotlib leaves out what begins with an underscore.
            for text, name in zip(legend.get_texts(), handles, strict=True):
                text.set_text(name)

    height = max(2.8, 0.4 + 0.17 * len(series))
    return _svg(draw, f"{ylabel} over {xlabel}", height=height)


def histogram(name: str, counts: Sequence[int], size: int, series: int = 0) -> str:
    """Share of the indices by codeword, most frequent first, with what uniform use would be.

    Args:
      name: of the row.
      counts: of the codewords that occur.
      size: of the codebook.
      series: whose colour it has.
    """
    shares = np.zeros(size)
    shares[: len(counts)] = np.sort(np.asarray(counts))[::-1]
    shares /= max(1, shares.sum())
    used = f"{int((shares > 0).sum())} of {size} used"

    def draw(_, axis: Any) -> None:
        color = _PLACEHOLDERS[series % SERIES]
        places = np.arange(size) + 0.5
        axis.fill_between(places, shares, step="mid", color=color, alpha=0.6)
        axis.axhline(1 / size, color=_INK, lw=0.8, ls=":")
        axis.set_title(f"{name}: {used}", fontsize=9)
        axis.set_xlim(0.5, size + 0.5)
        axis.set_yscale("symlog", linthresh=0.1 / size)
        _plain_numbers(axis.yaxis)
        axis.set_ylim(0, 1)
        axis.tick_params(labelsize=7)

    return _svg(draw, f"indices of {name}: {used}", width=3.5, height=1.8)


def _plain_numbers(axis: Any) -> None:
    """Numbers without the formulas that a logarithmic axis has for them."""
    axis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    axis.set_minor_formatter("")


def _themed(tag: str) -> str:
    """A tag with the page's colours for the place-holders."""
    for number, color in enumerate(_PLACEHOLDERS):
        tag = tag.replace(color, f"var(--series-{number})")
    return tag.replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")


def _svg(
    draw: Callable[[Any, Any], None], label: str, *, height: float, width: float = 7.0
) -> str:
    """What `draw(figure, axis)` draws, as an element of a page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axis = figure.subplots()
        axis.patch.set_alpha(0)
        draw(figure, axis)
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Within tags only: a name may look like a colour.
    text = re.sub(r"<[^>]*>", lambda tag: _themed(tag[0]), text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
