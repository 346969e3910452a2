"""The averaged table and its forms."""

import csv
import io
import json

import pytest

from uvim_fsq.experiment.statistics import Summary
from uvim_fsq.experiment.table import SINGLE_STAGE1, make_table
from uvim_fsq.experiment.table_formats import (
    FORMATS,
    as_csv,
    as_latex,
    as_text,
    blocks,
)
from uvim_fsq.tasks.depth.settings import DepthConfig

RMSE = DepthConfig().scoring()


def record(row, stage2_seed, rmse, stage1_seed=0, usage=0.5):
    return {
        "row": row,
        "stage1_seed": stage1_seed,
        "stage2_seed": stage2_seed,
        "scores": {
            "greedy/rmse": rmse,
            "greedy_foreign_codes/rmse": rmse + 1,
            "mean_of_16/rmse": rmse / 2,
            "stage1/rmse": 0.25,
            "codebook_training/usage": usage,
            "constant/rmse": 1.5,
        },
    }


@pytest.fixture
def records():
    return [
        *(record("fsq", seed, 0.4 + seed / 10) for seed in range(3)),
        *(record("vq_no_split", seed, 0.7 + seed / 10, usage=0.01) for seed in (0, 1)),
    ]


def table(records, **options):
    return make_table("Depth", records, RMSE, ["fsq", "vq", "vq_no_split"], **options)


def test_means_over_seeds_and_rows_without_runs(records):
    made = table(records)
    assert [row.name for row in made.rows] == ["fsq", "vq_no_split"]
    fsq = made.rows[0].cells
    greedy = fsq["greedy/rmse"]
    assert (greedy.mean, greedy.deviation, greedy.count) == pytest.approx((0.5, 0.1, 3))
    # Of one stage I there is one value, however many stage IIs came after it.
    assert fsq["stage1/rmse"] == Summary(0.25, None, 1)
    assert made.baselines == {"no model: the same everywhere": 1.5}
    (difference,) = made.comparisons
    assert (difference.row, difference.against) == ("vq_no_split", "fsq")
    assert difference.difference.mean == pytest.approx(0.3)
    assert difference.difference.count == 2


def test_stage1_seeds_count_for_stage1(records):
    made = table([*records, record("fsq", 0, 0.1, stage1_seed=1)])
    assert made.rows[0].cells["stage1/rmse"] == Summary(0.25, 0.0, 2)
    assert made.rows[0].cells["greedy/rmse"].count == 4


def test_stage1_seeds_are_the_pairs_where_there_are_several():
    """Stage IIs of one stage I are averaged first: two pairs, of differences 0.2 and 0.4."""
    fsq = [record("fsq", seed, 0.5, stage1_seed=s1) for s1 in (0, 1) for seed in (0, 1)]
    vq = [
        record("vq", seed, rmse, stage1_seed=s1)
        for s1, both in enumerate([(0.6, 0.8), (0.9, 0.9)])
        for seed, rmse in enumerate(both)
    ]
    made = table([*fsq, *vq])
    (comparison,) = made.comparisons
    assert comparison.difference.count == 2
    assert comparison.difference.mean == pytest.approx(0.3)
    # t = 12.7 with one degree of freedom; deviation 0.1 sqrt(2).
    assert comparison.difference.high == pytest.approx(0.3 + 12.706 * 0.1, rel=1e-3)
    assert SINGLE_STAGE1 not in made.notes


def test_of_one_stage1_it_is_said_what_the_interval_leaves_out(records):
    assert SINGLE_STAGE1 in table(records).notes
    assert SINGLE_STAGE1 not in table(records[:3]).notes


def test_further_scores_stand_in_a_block_of_their_own(records):
    records = [
        {**r, "scores": {**r["scores"], "greedy/abs_rel": 0.1, "stage1/abs_rel": 0.05}}
        for r in records
    ]
    tables = [block.rows for block in blocks(table(records))]
    further = next(rows for rows in tables if rows[0][0] == "further scores")
    assert further[0][1:] == ["greedy AbsRel", "stage I AbsRel"]
    assert further[1] == ["fsq", "0.100 ± 0.000", "0.050"]


def test_controls_stand_in_the_table(records):
    made = table(records)
    assert [
        column.heading for column in made.columns if column.block == "controls"
    ] == ["foreign codes"]


def test_text(records):
    text = as_text(table(records))
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines() if line}
    assert "0.500 ± 0.100" in text and "50.0" in text
    assert "1.500 ± 0.100" in lines["fsq"]  # The last line of that name: the control.
    assert "1.500" in lines["no model: the same everywhere"]
    assert "vq_no_split - fsq: +0.300 (2 pairs, 95 % interval" in text
    assert "paper" not in text


def test_the_papers_numbers_are_marked_unless_comparable(records):
    paper = {"fsq": "0.473 ± 0.012"}
    text = as_text(table(records, paper=paper))
    assert "0.473 ± 0.012 †" in text and "† not comparable" in text
    text = as_text(table(records, paper=paper, comparable=True))
    assert "0.473 ± 0.012" in text and "†" not in text


def test_latex_escapes(records):
    text = as_latex(table(records))
    assert r"vq\_no\_split & 2 & " in text and r"usage, \%" in text
    for tabular in text.split(r"\begin{tabular}")[1:]:
        body = [line for line in tabular.splitlines() if line.endswith(r"\\")]
        assert {line.count("&") for line in body} == {body[0].count("&")}
        assert tabular.split("}")[0].count("r") == body[0].count("&")


def test_csv_is_unrounded(records):
    rows = list(csv.DictReader(io.StringIO(as_csv(table(records)))))
    found = next(r for r in rows if (r["row"], r["score"]) == ("fsq", "greedy/rmse"))
    assert float(found["mean"]) == pytest.approx(0.5) and found["n"] == "3"


@pytest.mark.parametrize("ending", FORMATS)
def test_every_form_names_every_row(records, ending):
    text = FORMATS[ending](table(records)).replace(r"\_", "_")
    assert "fsq" in text and "vq_no_split" in text
    if ending == "json":
        assert json.loads(text)["rows"][0]["cells"]["greedy/rmse"]["count"] == 3


@pytest.mark.parametrize("ending", FORMATS)
def test_nothing_finished_yet_is_no_error(ending):
    assert FORMATS[ending](make_table("Depth", [], RMSE, ["fsq"]))
