"""The averaged table of an experiment: mean ± sample standard deviation by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
NOT_COMPARABLE = "not comparable: other data, size or training than the paper's"


@dataclass(frozen=True)
class Column:
    """A score by its key `prediction/score`, with its heading; values are shown times `scale`."""

    key: str
    heading: str
    digits: int
    scale: float = 1.0
    control: bool = False


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
    """The headline score of a task: its name, unit, and which way is better."""

    name: str
    unit: str
    higher_is_better: bool


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
    less noise in it than that of two means, if the seeds have anything in common at all.
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
            _by_seeds(by_row[first], headline), _by_seeds(by_row[row], headline)
        )
        if difference is not None:
            comparisons.append(Comparison(row, first, difference))
    if paper and not comparable and any(row.paper for row in made):
        notes = [*notes, f"† {NOT_COMPARABLE}"]
    return Table(
        title,
        headline,
        score.higher_is_better,
        columns,
        made,
        _baselines(records, score),
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
    return [
        Column(f"greedy/{name}", f"{name}{unit}", digits),
        Column(f"sample/{name}", "one sample", digits),
        *(
            Column(f"{mean}/{name}", f"mean of {mean.removeprefix('mean_of_')}", digits)
            for mean in means
        ),
        Column(f"stage1/{name}", "stage I alone", digits),
        Column("codebook_training/usage", "usage, %", 1, 100.0),
        Column("codebook_training/perplexity", "perplexity", 1),
        Column("codebook/bits_per_image", "bits/picture", 1),
        Column(f"greedy_foreign_codes/{name}", "foreign codes", digits, control=True),
        Column(f"greedy_foreign_image/{name}", "foreign image", digits, control=True),
        Column(
            f"stage1_foreign_codes/{name}",
            "stage I, foreign codes",
            digits,
            control=True,
        ),
        Column(
            f"stage1_foreign_image/{name}",
            "stage I, foreign image",
            digits,
            control=True,
        ),
    ]


def _cell(records: Sequence[Mapping[str, Any]], key: str) -> Summary | None:
    """The summary of a score; stage I's own scores count once per stage I."""
    values = {}
    for record in records:
        if key in record["scores"]:
            of_stage1 = key.startswith(("stage1", "codebook_training"))
            seeds = record["stage1_seed"], None if of_stage1 else record["stage2_seed"]
            values[seeds] = record["scores"][key]
    return summarize(list(values.values()))


def _by_seeds(
    records: Sequence[Mapping[str, Any]], key: str
) -> dict[tuple[int | None, int | None], float]:
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
