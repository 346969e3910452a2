"""What a person sees of an evaluation in the terminal."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from uvim_fsq.tables import aligned, score
from uvim_fsq.tasks.scoring import Scoring

BASELINES = {
    "constant": "the same everywhere",
    "per_pixel_mean": "per-pixel mean",
    "per_pixel_mode": "most frequent class",
    "grey": "the grey picture",
}
"""Predictors that use no model."""

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


def print_scores(scores: Mapping[str, float], scoring: Scoring, output: Path) -> None:
    """Prints every prediction's scores, and how the codebook is used."""
    print(aligned(score_rows(scores, scoring)))
    for part, what in (("codebook", "scored"), ("codebook_training", "training")):
        if f"{part}/usage" in scores:
            print(
                f"codebook usage over {scores[f'{part}/indices']:.0f} indices of {what} pictures: "
                f"{scores[f'{part}/usage']:.1%} ({scores[f'{part}/usage_corrected']:.1%} of what so "
                f"many uniform draws would use), perplexity {scores[f'{part}/perplexity']:.1f}"
            )
    if "codebook/bits_per_index" in scores:
        print(
            f"compression cost under stage II: {scores['codebook/bits_per_index']:.2f} bits per "
            f"index, {scores['codebook/bits_per_image']:.0f} bits per picture"
        )
    print(f"scores and pictures: {output}")


def score_rows(scores: Mapping[str, float], scoring: Scoring) -> list[list[str]]:
    """Headings, and a line for every prediction that was scored."""
    titles = dict(TITLES)
    for name in sorted(scores):
        prediction, mean, count = name.partition("/")[0].partition("mean_of_")
        if mean and not prediction:
            titles[mean + count] = f"whole: mean of {count} samples"
    names = [name for name in titles if f"{name}/{scoring.headline}" in scores]
    measured = {name.partition("/")[2] for name in scores}
    distances = [n for n in measured if n.startswith(("fid", "frechet_distance"))]
    columns = [
        column
        for column in (*scoring.columns, *sorted(distances))
        if any(f"{name}/{column}" in scores for name in names)
    ]
    units = {scoring.headline: f", {scoring.unit}"}
    rows = [["prediction", *(f"{each}{units.get(each, '')}" for each in columns)]]
    for name in names:
        values = [score(scores.get(f"{name}/{column}")) for column in columns]
        rows.append([titles[name], *values])
    return rows


def best_of(
    names: Iterable[str], scores: Mapping[str, float], scoring: Scoring
) -> str | None:
    """Which of these predictions scores best, the first of equals; None if none was scored."""
    known = {n: scores.get(f"{n}/{scoring.headline}") for n in names}
    best = max if scoring.higher_is_better else min
    found = {n: value for n, value in known.items() if value is not None}
    return best(found, key=found.__getitem__, default=None)


def summary(scores: Mapping[str, float], scoring: Scoring) -> str:
    """One line: the headline score of the whole, of stage I, and of the best baseline, as far as
    they were scored."""
    parts = {
        "the whole (greedy)": "greedy",
        "stage I alone": "stage1",
        "without a model": best_of(BASELINES, scores, scoring),
    }
    found = {what: f"{name}/{scoring.headline}" for what, name in parts.items()}
    return f"{scoring.headline} of " + "; ".join(
        f"{what}: {score(scores[key])} {scoring.unit}"
        for what, key in found.items()
        if key in scores
    )
