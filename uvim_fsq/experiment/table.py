"""The averaged table of an experiment: mean ± sample standard deviation by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Literal

from uvim_fsq.experiment.mixed import mixed_notes
from uvim_fsq.experiment.statistics import (
    Difference,
    Summary,
    paired_difference,
    summarize,
)

BASELINES = {
    "constant": "no model: the same everywhere",
    "per_pixel_mean": "no model: per-pixel mean",
    "per_pixel_mode": "no model: most frequent class",
    "grey": "no model: the grey picture",
}
SINGLE_STAGE1 = (
    "n counts stage IIs: stage I was trained once per row, so that deviations and intervals leave out "
    "what another stage I would change"
)
NAMES = {
    "rmse": "RMSE",
    "abs_rel": "AbsRel",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "psnr": "PSNR",
    "colorfulness_ratio": "colourfulness ratio",
}
"""Scores as people write them; others go by their own name."""
NOT_COMPARABLE = "not comparable: other data, size or training than the paper's"

_PREDICTIONS = {"greedy": "greedy", "sample": "sample", "stage1": "stage I"}
_CONTROLS = {
    "greedy_foreign_codes": "foreign codes",
    "greedy_foreign_image": "foreign image",
    "stage1_foreign_codes": "stage I, foreign codes",
    "stage1_foreign_image": "stage I, foreign image",
}


@dataclass(frozen=True)
class Column:
    """A score by its key `prediction/score`, with its heading; values are shown times `scale`.

    `block` names the part of the table that it stands in.
    """

    key: str
    heading: str
    digits: int
    scale: float = 1.0
    block: Literal["scores", "further scores", "controls"] = "scores"


@dataclass(frozen=True)
class Row:
    """A line of the table: summaries by the column's key, and the paper's numbers."""

    name: str
    cells: Mapping[str, Summary | None]
    paper: str = ""
    paper_usage: str = ""


@dataclass(frozen=True)
class Comparison:
    """How a row differs from the first one in the headline score, over the seeds of both."""

    row: str
    against: str
    difference: Difference


@dataclass(frozen=True)
class Table:
    """What an experiment found.

    Attributes:
      headline: the column that ranks.
      higher_is_better: of the headline.
      comparable: whether the paper's numbers may be compared with.
      notes: sentences below the table.
    """

    title: str
    headline: str
    higher_is_better: bool
    columns: Sequence[Column]
    rows: Sequence[Row]
    baselines: Mapping[str, float]
    comparisons: Sequence[Comparison]
    comparable: bool
    notes: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Score:
    """The headline score of a task: its name, unit, which way is better, and what stands beside it."""

    name: str
    unit: str
    higher_is_better: bool
    further: Sequence[str] = ()


def make_table(
    title: str,
    records: Sequence[Mapping[str, Any]],
    score: Score,
    rows: Sequence[str],
    *,
    paper: Mapping[str, str] | None = None,
    paper_usage: Mapping[str, str] | None = None,
    comparable: bool = False,
    notes: Sequence[str] = (),
) -> Table:
    """The table of records as `experiment.record` makes them; rows without any are left out.

    Rows are compared with the first one, seed by seed: a difference of two stage IIs of one seed has
    less noise in it than that of two means, if the seeds have anything in common at all. Where stage I
    has several seeds, these are the pairs, and the stage IIs of each are averaged first: those of one
    stage I are not independent of each other.
    """
    by_row = {row: [r for r in records if r["row"] == row] for row in rows}
    by_row = {row: found for row, found in by_row.items() if found}
    columns = [
        column
        for column in _columns(score, records)
        if any(column.key in record["scores"] for record in records)
    ]
    made = [
        Row(
            row,
            {column.key: _cell(found, column.key) for column in columns},
            (paper or {}).get(row, ""),
            (paper_usage or {}).get(row, ""),
        )
        for row, found in by_row.items()
    ]
    headline = f"greedy/{score.name}"
    first, *others = list(by_row) or [""]
    comparisons = []
    for row in others:
        difference = paired_difference(
            *_pairs(
                _by_seeds(by_row[first], headline), _by_seeds(by_row[row], headline)
            )
        )
        if difference is not None:
            comparisons.append(Comparison(row, first, difference))
    mixed = mixed_notes(records)
    notes = [*notes, *mixed]
    if comparisons and len({record["stage1_seed"] for record in records}) == 1:
        notes = [*notes, SINGLE_STAGE1]
    if paper and not comparable and any(row.paper for row in made):
        notes = [*notes, f"† {NOT_COMPARABLE}"]
    return Table(
        title,
        headline,
        score.higher_is_better,
        columns,
        made,
        # Those without a model are of the first one's pictures.
        {} if mixed else _baselines(records, score),
        comparisons,
        comparable,
        notes,
    )


def _columns(score: Score, records: Sequence[Mapping[str, Any]]) -> list[Column]:
    name = score.name
    unit = f", {score.unit}" if score.unit else ""
    digits = 3 if score.unit == "m" else 2
    means = sorted(
        {
            key.split("/")[0]
            for record in records
            for key in record["scores"]
            if key.startswith("mean_of_") and key.endswith(f"/{name}")
        }
    )
    shown = NAMES.get(name, name)
    columns = [
        Column(f"greedy/{name}", f"{shown}{unit}", digits),
        Column(f"sample/{name}", "one sample", digits),
        *(
            Column(f"{mean}/{name}", f"mean of {mean.removeprefix('mean_of_')}", digits)
            for mean in means
        ),
        Column(f"stage1/{name}", "stage I alone", digits),
        Column("codebook_training/usage", "usage, %", 1, 100.0),
        Column("codebook_training/perplexity", "perplexity", 1),
        Column("codebook/bits_per_image", "bits/picture", 1),
    ]
    for other in score.further:
        for prediction, title in _PREDICTIONS.items():
            heading = f"{title} {NAMES.get(other, other)}"
            digits_of = 2 if score.unit == "%" else 3
            columns.append(
                Column(
                    f"{prediction}/{other}", heading, digits_of, block="further scores"
                )
            )
    for prediction, title in _CONTROLS.items():
        columns.append(Column(f"{prediction}/{name}", title, digits, block="controls"))
    return columns


def _cell(records: Sequence[Mapping[str, Any]], key: str) -> Summary | None:
    """The summary of a score; stage I's own scores count once per stage I."""
    values = {}
    for record in records:
        if key in record["scores"]:
            of_stage1 = key.startswith(("stage1", "codebook_training"))
            seeds = record["stage1_seed"], None if of_stage1 else record["stage2_seed"]
            values[seeds] = record["scores"][key]
    return summarize(list(values.values()))


_BySeeds = dict[tuple[int | None, int | None], float]


def _pairs(first: _BySeeds, second: _BySeeds) -> tuple[_BySeeds, _BySeeds]:
    """Values to compare one by one: by both seeds, or by stage I's where it has several."""
    common = [seeds for seeds in first if seeds in second]
    stage1 = {seed for seed, _ in common}
    if len(stage1) < 2:
        return first, second

    def averaged(values: _BySeeds) -> _BySeeds:
        return {
            (seed, None): mean(values[seeds] for seeds in common if seeds[0] == seed)
            for seed in stage1
        }

    return averaged(first), averaged(second)


def _by_seeds(records: Sequence[Mapping[str, Any]], key: str) -> _BySeeds:
    return {
        (record["stage1_seed"], record["stage2_seed"]): record["scores"][key]
        for record in records
        if key in record["scores"]
    }


def _baselines(records: Sequence[Mapping[str, Any]], score: Score) -> dict[str, float]:
    """Scores of what needs no model: the same in every run on the same pictures."""
    return {
        title: float(record["scores"][f"{name}/{score.name}"])
        for record in records[:1]
        for name, title in BASELINES.items()
        if f"{name}/{score.name}" in record["scores"]
    }
