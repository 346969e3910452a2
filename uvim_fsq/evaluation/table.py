"""What a person sees of an evaluation in the terminal."""

from collections.abc import Mapping
from pathlib import Path

from uvim_fsq.tasks.scoring import Scoring
from uvim_fsq.terminal import plain_console

TITLES = {
    "constant": "the same everywhere: mean or most frequent class in training",
    "per_pixel_mean": "per-pixel mean of the training targets",
    "per_pixel_mode": "per-pixel most frequent class in training",
    "grey": "the grey picture as it is",
    "stage1": "stage I: reconstruction from its own code",
    "stage1_foreign_codes": "stage I, codes of another picture",
    "stage1_foreign_image": "stage I, another picture as context",
    "greedy": "whole: greedy",
    "greedy_foreign_codes": "whole, codes of another picture",
    "greedy_foreign_image": "whole, another picture as context",
    "sample": "whole: one sample",
}
"""Predictions in the order of the table."""


BASELINES = ("constant", "per_pixel_mean", "per_pixel_mode", "grey")


def print_scores(scores: Mapping[str, float], scoring: Scoring, output: Path) -> None:
    """Prints every prediction's scores, and how the codebook is used."""
    from rich.table import Table

    titles = dict(TITLES)
    for name in {key.split("/")[0] for key in scores}:
        if name.startswith("mean_of_"):
            titles[name] = f"whole: mean of {name.removeprefix('mean_of_')} samples"
    names = [name for name in titles if f"{name}/{scoring.headline}" in scores]
    distances = {
        key.removeprefix("stage1/")
        for key in scores
        if key.startswith(("stage1/fid", "stage1/frechet_distance"))
    }
    columns = [
        column
        for column in (*scoring.columns, *sorted(distances))
        if any(f"{name}/{column}" in scores for name in names)
    ]
    table = Table(box=None, pad_edge=False)
    table.add_column("prediction", no_wrap=True)
    for column in columns:
        unit = f", {scoring.unit}" if column == scoring.headline else ""
        table.add_column(f"{column}{unit}", justify="right", no_wrap=True)
    for name in names:
        values = [_number(scores.get(f"{name}/{column}")) for column in columns]
        table.add_row(titles[name], *values)
    console = plain_console()
    console.print(table)
    for part, what in (("codebook", "scored"), ("codebook_training", "training")):
        if f"{part}/usage" in scores:
            console.print(_usage(scores, part, what))
    if "codebook/bits_per_index" in scores:
        console.print(
            f"compression cost under stage II: {scores['codebook/bits_per_index']:.2f} bits per "
            f"index, {scores['codebook/bits_per_image']:.0f} bits per picture"
        )
    console.print(f"scores and pictures: {output}")


def summary(scores: Mapping[str, float], scoring: Scoring) -> str:
    """One line: the headline score of the whole, if stage II was scored, of stage I, and of the best
    baseline."""
    unit, name = scoring.unit, scoring.headline
    best = max if scoring.higher_is_better else min
    baseline = best(
        (baseline for baseline in BASELINES if f"{baseline}/{name}" in scores),
        key=lambda baseline: scores[f"{baseline}/{name}"],
    )
    parts = {"the whole (greedy)": "greedy", "stage I alone": "stage1"}
    parts["without a model"] = baseline
    return f"{name} of " + "; ".join(
        f"{what}: {_number(scores[f'{prediction}/{name}'])} {unit}"
        for what, prediction in parts.items()
        if f"{prediction}/{name}" in scores
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _usage(scores: Mapping[str, float], part: str, what: str) -> str:
    return (
        f"codebook usage over {scores[f'{part}/indices']:.0f} indices of {what} pictures: "
        f"{scores[f'{part}/usage']:.1%} ({scores[f'{part}/usage_corrected']:.1%} of what so many "
        f"uniform draws would use), perplexity {scores[f'{part}/perplexity']:.1f}"
    )
