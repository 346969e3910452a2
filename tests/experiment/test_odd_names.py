"""Rows, ids and titles of any letters on pages, in charts and in tables."""

import csv
import io
import json
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tests.test_markup import ODD
from uvim_fsq.evaluation.pages import _save
from uvim_fsq.experiment import charts
from uvim_fsq.experiment.report import Shown, write_report
from uvim_fsq.experiment.statistics import Difference, Summary
from uvim_fsq.experiment.table import (
    Column,
    Comparison,
    Row,
    Table,
    make_table,
)
from uvim_fsq.experiment.table_formats import FORMATS, as_csv, as_latex
from uvim_fsq.markup import latex
from uvim_fsq.tasks.depth.settings import DepthConfig

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"


def texts(svg):
    return {"".join(text.itertext()).strip() for text in tree(svg).iter() if is_(text)}


def is_(element):
    return element.tag.endswith("}text")


def tree(svg):
    return ElementTree.fromstring(svg)


def test_charts_show_names_as_they_are():
    bars = charts.bars(dict.fromkeys(ODD, [1.0, 2.0]), "$a$ b", {"$x$ line": 0.5})
    assert {*ODD, "$a$ b", "$x$ line"} <= texts(bars)
    lines = charts.curves(
        {name: [([1, 1000], [1, 2]), ([1], [2])] for name in ODD},
        "$x$",
        "$y$",
        log_x=True,
    )
    assert {*ODD, "$x$", "$y$", "1", "1,024"} <= texts(lines)
    for name in ODD:
        drawn = texts(charts.histogram(name, [3, 2, 1], 1000))
        assert f"{name}: 3 of 1000 used" in drawn and "0.01" in drawn
        assert not any("\\" in text for text in drawn if text.startswith("$"))


def test_colours_follow_the_page_and_names_do_not():
    svg = charts.bars({"#010101": [1.0]}, "score")
    assert "#010101" in texts(svg) and "var(--series-0)" in svg
    assert svg.count("#010101") == 1


def record(row):
    curve = [{"step": 1, "validation/loss": 1.0}]
    return {
        **{"row": row, "stage1_seed": 0, "stage2_seed": 0, "task": "depth"},
        **{"quantizer": "fsq", "codebook_size": 4, "config": "0", "part": "test"},
        **{"environment": {}, "pictures": 2, "histogram": [2, 1]},
        "stages": {"stage1": {"curve": curve}},
        "scores": {"greedy/rmse": 1.0, "codebook_training/usage": 0.5},
    }


class Words(HTMLParser):
    """Texts and descriptions of a page, and that tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.found = [], set()

    def handle_starttag(self, tag, attributes):
        self.found |= {value for _, value in attributes}
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found |= {value for _, value in attributes}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.found.add(data.strip())


def test_pages_show_names_as_they_are(tmp_path):
    shown = []
    for number, row in enumerate(ODD):
        single = tmp_path / str(number) / "single"
        single.mkdir(parents=True)
        index = {"ids": ["<i>$x$\udcff"], "columns": ["image", "stage1"]}
        (single / "pictures.json").write_text(json.dumps(index))
        for name in index["columns"]:
            cv2.imwrite(str(single / f"0_{name}.png"), np.zeros((4, 4, 3), np.uint8))
        shown.append(Shown(row, [record(row)], [single.parent]))
    records = [each.records[0] for each in shown]
    table = make_table("<title> $x$", records, DepthConfig().scoring(), ODD)
    write_report(tmp_path / "page.html", table, shown, ["uvim-fsq report '<a>'"])
    words = Words()
    words.feed((tmp_path / "page.html").read_text("utf-8"))
    assert words.open == []
    assert {*ODD, "<title> $x$"} <= words.found
    assert {f"<i>$x$\\udcff: {row}, stage I" for row in ODD} <= words.found


@pytest.mark.parametrize("title", [r"$\frac{$", r"$a$ $\nothing$", "bad \udcff"])
def test_pictures_have_ids_as_they_are_for_titles(title, tmp_path):
    pixels = np.full((8, 8, 3), 9, np.uint8)
    _save([{"image": pixels}], [title], tmp_path / "page.png")
    assert cv2.imread(str(tmp_path / "page.png")) is not None


def test_tables_hold_names_as_they_are():
    rows = [*ODD, 'comma, quote" and\nline']
    made = make_table(
        "title\n$x", [record(r) for r in rows], DepthConfig().scoring(), rows
    )
    found = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert {line["row"] for line in found} == set(rows)
    text = as_latex(made)
    assert text.startswith("% title $x\n")
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    for row in rows:
        assert any(line.startswith(f"{latex(row)} & 1 & 1.000") for line in lines)


def saved_table(path):
    """A table as `table.json` holds it."""
    data = json.loads(path.read_text())

    def made(cls, values, **others):
        names = {field.name for field in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in names} | others)

    rows = [
        made(
            Row,
            row,
            cells={
                key: None if cell is None else Summary(**cell)
                for key, cell in row["cells"].items()
            },
        )
        for row in data["rows"]
    ]
    comparisons = [
        made(Comparison, each, difference=Difference(**each["difference"]))
        for each in data["comparisons"]
    ]
    columns = [Column(**column) for column in data["columns"]]
    return made(Table, data, rows=rows, comparisons=comparisons, columns=columns)


@pytest.mark.parametrize(
    "folder", sorted(p.parent.name for p in RESULTS.glob("*/table.json"))
)
@pytest.mark.parametrize("ending", FORMATS)
def test_published_tables_are_what_the_program_writes(folder, ending):
    table = saved_table(RESULTS / folder / "table.json")
    expected = (RESULTS / folder / f"table.{ending}").read_text("utf-8")
    assert FORMATS[ending](table) == expected
