"""A picture of how a codebook is used."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.evaluators.codebook import UsedCodewords

_USED, _LEVELS, _UNIFORM, _UNUSED = "#2a6f97", "#61a5c2", "#d1495b", "#eeeeee"


def level_shares(used: UsedCodewords, levels: Sequence[int]) -> list[np.ndarray]:
    """For each channel of an FSQ codebook, the share of the indices that have each of its levels."""
    shares, rest = [], used.indices
    for level in levels:  # The first channel changes fastest.
        digits, rest = rest % level, rest // level
        counts = np.bincount(digits, used.counts, minlength=level)
        shares.append(counts / max(used.total, 1))
    return shares


def save_histogram(
    path: Path,
    used: UsedCodewords,
    levels: Sequence[int] | None,
    title: str,
) -> None:
    """Draws the codewords by falling frequency and, for FSQ, the use of each channel's levels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    channels = len(levels) if levels else 0
    figure = Figure(
        figsize=(9, 6.2 if channels else 4.4), dpi=130, layout="constrained"
    )
    FigureCanvasAgg(figure)
    rows = figure.subfigures(
        2 if channels else 1,
        1,
        height_ratios=[2, 1] if channels else None,
        squeeze=False,
    )[:, 0]
    figure.suptitle(
        f"{title}: {100 * used.usage:.3g}% of {used.codebook_size:,} codewords "
        f"used, perplexity {used.perplexity:,.1f}, {used.total:,} indices",
        fontsize=11,
    )
    _draw_sorted(rows[0].subplots(), used)
    if levels:
        _draw_levels(rows[1], level_shares(used, levels))
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, format="png")
    temporary.replace(path)


def _draw_sorted(axes: Any, codewords: UsedCodewords) -> None:
    """Counts by rank, beside what every codeword would have if all were used alike."""
    used = np.sort(codewords.counts)[::-1]
    k, uniform = codewords.codebook_size, codewords.total / codewords.codebook_size
    lowest = min(0.7 * used[-1], uniform / 10)
    edges = np.arange(len(used) + 1) + 0.5
    axes.stairs(used, edges, baseline=lowest, fill=True, color=_USED)
    axes.axhline(uniform, color=_UNIFORM, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"all alike: {uniform:,.0f}" if uniform >= 100 else f"all alike: {uniform:.3g}",
        (k + 0.5, uniform),
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        color=_UNIFORM,
        fontsize=9,
    )
    if len(used) < k:
        axes.axvspan(len(used) + 0.5, k + 0.5, color=_UNUSED, linewidth=0, zorder=0)
        axes.annotate(
            f"{k - len(used):,} never used",
            (0.995, 0.98),
            xycoords="axes fraction",
            ha="right",
            va="top",
            fontsize=9,
        )
    # Linear, a few bars of many thousand would be too thin to see.
    axes.set_xscale("log" if len(used) < k / 20 else "linear")
    axes.set_yscale("log")
    axes.set(
        xlim=(0.5, k + 0.5),
        ylim=(lowest, 1.5 * max(used[0], uniform)),
        xlabel="codewords, most frequent first",
        ylabel="times used",
    )
    if axes.get_xscale() == "linear":
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.12g}")
        axis.set_minor_formatter("")
    _plain(axes)


def _draw_levels(figure: Any, shares: Sequence[np.ndarray]) -> None:
    """A small panel for each channel."""
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    step = math.ceil(sum(map(len, shares)) / 36)  # Labels that fit side by side.
    for channel, (axes, share) in enumerate(zip(panels, shares, strict=True)):
        half = len(share) // 2
        digits = np.arange(len(share)) - half
        axes.bar(digits, 100 * share, width=0.8, color=_LEVELS)
        axes.axhline(100 / len(share), color=_UNIFORM, linestyle="--", linewidth=1.2)
        axes.set_title(f"channel {channel + 1}: {len(share)} levels", fontsize=9)
        axes.set_xticks(digits[half % step :: step])
        _plain(axes)
    panels[0].set_ylabel("% of indices")


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
