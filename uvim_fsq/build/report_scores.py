"""What a person sees of an evaluation: a table in the terminal and a page of pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.build.scoring import DepthScoring

TITLES = {
    "constant": "constant: mean of the training targets",
    "per_pixel_mean": "per-pixel mean of the training targets",
    "stage1": "stage I: reconstruction from its own code",
    "stage1_foreign_codes": "stage I, codes of another picture",
    "stage1_foreign_image": "stage I, another picture as context",
    "greedy": "whole: greedy",
    "greedy_foreign_codes": "whole, codes of another picture",
    "greedy_foreign_image": "whole, another picture as context",
    "sample": "whole: one sample",
}
"""Predictions in the order of the table."""

PICTURE_COLUMNS = {
    "image": "image",
    "target": "truth",
    "stage1": "stage I",
    "greedy": "prediction (greedy)",
    "mean": "mean of samples",
}


def print_scores(
    scores: Mapping[str, float], scoring: DepthScoring, output: Path
) -> None:
    """Prints every prediction's scores, and how the codebook is used."""
    from rich.console import Console
    from rich.table import Table

    titles = dict(TITLES)
    for name in {key.split("/")[0] for key in scores}:
        if name.startswith("mean_of_"):
            titles[name] = f"whole: mean of {name.removeprefix('mean_of_')} samples"
    names = [name for name in titles if f"{name}/{scoring.headline}" in scores]
    columns = [
        key.split("/")[1]
        for key in scores
        if key.startswith(f"{names[0]}/") and not key.split("/")[1].startswith("images")
    ]
    table = Table(box=None, pad_edge=False)
    table.add_column("prediction", no_wrap=True)
    for column in columns:
        unit = f", {scoring.unit}" if column == scoring.headline else ""
        table.add_column(f"{column}{unit}", justify="right", no_wrap=True)
    for name in names:
        values = [f"{scores[f'{name}/{column}']:.3f}" for column in columns]
        table.add_row(titles[name], *values)
    console = Console(width=None if Console().is_terminal else 120, soft_wrap=True)
    console.print(table)
    for part, what in (("codebook", "scored"), ("codebook_training", "training")):
        if f"{part}/usage" in scores:
            console.print(_usage(scores, part, what), highlight=False)
    if "codebook/bits_per_index" in scores:
        console.print(
            f"compression cost under stage II: {scores['codebook/bits_per_index']:.2f} bits per "
            f"index, {scores['codebook/bits_per_image']:.0f} bits per picture",
            highlight=False,
        )
    console.print(f"scores and pictures: {output}", highlight=False)


def _usage(scores: Mapping[str, float], part: str, what: str) -> str:
    return (
        f"codebook usage over {scores[f'{part}/indices']:.0f} indices of {what} pictures: "
        f"{scores[f'{part}/usage']:.1%} ({scores[f'{part}/usage_corrected']:.1%} of what so many "
        f"uniform draws would use), perplexity {scores[f'{part}/perplexity']:.1f}"
    )


def save_pictures(
    pictures: Sequence[Mapping[str, Any]], path: Path, scoring: DepthScoring
) -> None:
    """One row per picture: image, truth, stage I, predictions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not pictures:
        return
    columns = dict(PICTURE_COLUMNS)
    mean = next((name for name in pictures[0] if name.startswith("mean_of_")), None)
    if mean:
        columns[mean] = f"mean of {mean.removeprefix('mean_of_')} samples"
    columns = {name: title for name, title in columns.items() if name in pictures[0]}
    height, width = pictures[0]["image"].shape[:2]
    figure = Figure(
        figsize=(2 * len(columns) * width / height, 2.0 * len(pictures) + 0.3),
        dpi=110,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(pictures), len(columns), squeeze=False)
    for number, (row, picture) in enumerate(zip(axes, pictures, strict=True)):
        for axis, (name, title) in zip(row, columns.items(), strict=True):
            axis.imshow(picture[name], interpolation="nearest", aspect="auto")
            axis.set_axis_off()
            if number == 0:
                axis.set_title(title, fontsize=9)
    temporary = path.with_name("." + path.name)
    figure.savefig(temporary, format="png")
    temporary.replace(path)
