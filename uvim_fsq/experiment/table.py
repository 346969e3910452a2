"""The averaged table of an experiment: mean ± sample standard deviation by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from uvim_fsq.evaluation.table import BASELINES
from uvim_fsq.experiment.mixed import mixed_notes
from uvim_fsq.experiment.statistics import (
    Difference,
    Summary,
    paired_difference,
    summarize,
)
from uvim_fsq.tasks.scoring import Scoring

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
      headline: the key of the column that ranks.
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
    notes: Sequence[str]

    @property
    def ranking(self) -> Column | None:
        """The column of the headline; None where nothing was predicted yet."""
        return next((c for c in self.columns if c.key == self.headline), None)


def make_table(
    title: str,
    records: Sequence[Mapping[str, Any]],
    scoring: Scoring,
    rows: Sequence[str],
    *,
    paper: Mapping[str, str] | None = None,
    paper_usage: Mapping[str, str] | None = None,
    comparable: bool = False,
) -> Table:
    """The table of records as `experiment.record` makes them; rows without any are left out.

    Rows are compared with the first one, seed by seed: a difference of two stage IIs of one seed has
    less noise in it than that of two means, if the seeds have anything in common at all. Where stage I
    has several seeds, these are the pairs, and the stage IIs of each are averaged first: those of one
    stage I are not independent of each other.
    """
    by_row = {row: [r for r in records if r["row"] == row] for row in rows}
    by_row = {row: found for row, found in by_row.items() if found}
    scored = {key for record in records for key in record["scores"]}
    columns = [c for c in _columns(scoring, scored) if c.key in scored]
    papers, usages = paper or {}, paper_usage or {}
    made = [
        Row(
            row,
            {column.key: _cell(found, column.key) for column in columns},
            papers.get(row, ""),
            usages.get(row, ""),
        )
        for row, found in by_row.items()
    ]
    headline = f"greedy/{scoring.headline}"
    first, *others = list(by_row) or [""]
    differences = {
        row: _difference(by_row[first], by_row[row], headline) for row in others
    }
    comparisons = [Comparison(r, first, d) for r, d in differences.items() if d]
    mixed = mixed_notes(records)
    notes = list(mixed)
    if comparisons and len({record["stage1_seed"] for record in records}) == 1:
        notes.append(SINGLE_STAGE1)
    if not comparable and any(row.paper for row in made):
        notes.append(f"† {NOT_COMPARABLE}")
    # What needs no model scores the same in every run, if it was on the same pictures.
    scores = records[0]["scores"] if records and not mixed else {}
    baselines = {
        f"no model: {what}": float(scores[f"{name}/{scoring.headline}"])
        for name, what in BASELINES.items()
        if f"{name}/{scoring.headline}" in scores
    }
    return Table(
        *(title, headline, scoring.higher_is_better, columns, made),
        *(baselines, comparisons, comparable, notes),
    )


def _columns(scoring: Scoring, scored: set[str]) -> list[Column]:
    """All that may stand in the table; `scored` has the means of samples that there are."""
    name, digits = scoring.headline, 3 if scoring.unit == "m" else 2
    unit = f", {scoring.unit}" if scoring.unit else ""
    means = sorted(
        key for key in scored if key.startswith("mean_of_") and key.endswith(f"/{name}")
    )
    columns = [
        Column(f"greedy/{name}", f"{NAMES.get(name, name)}{unit}", digits),
        Column(f"sample/{name}", "one sample", digits),
        *(
            Column(key, f"mean of {key.split('/')[0].removeprefix('mean_of_')}", digits)
            for key in means
        ),
        Column(f"stage1/{name}", "stage I alone", digits),
        Column("codebook_training/usage", "usage, %", 1, 100.0),
        Column("codebook_training/perplexity", "perplexity", 1),
        Column("codebook/bits_per_image", "bits/picture", 1),
    ]
    finer = 2 if scoring.unit == "%" else 3
    for other in scoring.further:
        for prediction, title in _PREDICTIONS.items():
            heading = f"{title} {NAMES.get(other, other)}"
            key = f"{prediction}/{other}"
            columns.append(Column(key, heading, finer, block="further scores"))
    for prediction, title in _CONTROLS.items():
        columns.append(Column(f"{prediction}/{name}", title, digits, block="controls"))
    return columns


def _cell(records: Sequence[Mapping[str, Any]], key: str) -> Summary | None:
    """The summary of a score; stage I's own scores count once per stage I."""
    of_stage1 = key.startswith(("stage1", "codebook_training"))
    values = {
        (r["stage1_seed"], None if of_stage1 else r["stage2_seed"]): r["scores"][key]
        for r in records
        if key in r["scores"]
    }
    return summarize(list(values.values()))


def _difference(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], key: str
) -> Difference | None:
    """Over the pairs of both seeds, or over those of stage I where it has several."""
    one, other = (
        {
            (r["stage1_seed"], r["stage2_seed"]): r["scores"][key]
            for r in records
            if key in r["scores"]
        }
        for records in (first, second)
    )
    common = [seeds for seeds in one if seeds in other]
    stage1 = dict.fromkeys(seed for seed, _ in common)
    if len(stage1) < 2:
        return paired_difference(one, other)

    def averaged(values: Mapping[tuple[Any, Any], float]) -> dict[Any, float]:
        return {
            s: mean(values[seeds] for seeds in common if seeds[0] == s) for s in stage1
        }

    return paired_difference(averaged(one), averaged(other))
