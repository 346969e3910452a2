"""The report: one file that needs nothing else, and that a browser can use."""

import json
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from uvim_fsq.experiment.page import Section, page
from uvim_fsq.experiment.report import Shown, write_report
from uvim_fsq.experiment.table import make_table
from uvim_fsq.tasks.depth.settings import DepthConfig

ROWS = ("fsq_2^4", "fsq_2^6", "fsq_2^8", "vq <b>")


def record(row, number, seed):
    size = (16, 64, 256, 256)[number]
    used = max(1, size // (1 if row.startswith("fsq") else 50))
    usage = {
        "validation/loss": 3.0 - number / 10,
        "validation/codebook_usage": used / size,
        "validation/codebook_perplexity": float(used),
    }
    stage1 = {
        "steps": 20,
        "seconds": 1.5,
        "curve": [{"step": step, **usage} for step in (10, 20)],
    }
    stage2 = stage1 | {"curve": [{"step": 20, "validation/loss": 2.0}]}
    return {
        "row": row,
        "stage1_seed": 0,
        "stage2_seed": seed,
        "task": "depth",
        "quantizer": row[:3].strip("_ "),
        "codebook_size": size,
        "config": "0123456789abcdef",
        "environment": {"jax": "0.10", "devices": ["cpu"]},
        "pictures": 8,
        "part": "test",
        "scores": {
            "greedy/rmse": 1.0 - number / 10 + seed / 100,
            "stage1/rmse": 0.5,
            "greedy_foreign_codes/rmse": 1.2,
            "codebook_training/usage": used / size,
            "codebook/bits_per_image": 40.0 + number,
            "constant/rmse": 1.5,
        },
        "histogram": [3] * used,
        "stages": {"stage1": stage1, "stage2": stage2},
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    shown = []
    for number, row in enumerate(ROWS):
        evaluation = folder / f"evaluation_{number}"
        single = evaluation / "single"
        single.mkdir(parents=True)
        columns = ["image", "target", "stage1", "greedy"]
        index = {"ids": ["a", "b & c"], "columns": columns}
        (single / "pictures.json").write_text(json.dumps(index))
        for picture in range(2):
            for place, column in enumerate(columns):
                pixels = np.full((24, 32, 3), 40 * place + picture, np.uint8)
                cv2.imwrite(str(single / f"{picture}_{column}.png"), pixels)
        cv2.imwrite(str(evaluation / "best.png"), np.zeros((8, 8, 3), np.uint8))
        records = [record(row, number, seed) for seed in (0, 1)]
        shown.append(Shown(row, records, [evaluation]))
    every = [each for row in shown for each in row.records]
    table = make_table("Depth & sizes", every, DepthConfig().scoring(), ROWS)
    path = folder / "report.html"
    write_report(path, table, shown, ["uvim-fsq experiment depth"])
    assert [each.name for each in folder.glob(".*")] == []
    return path


class _Page(HTMLParser):
    """Collects what the tests look at, and that tags are closed."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.links, self.images = [], [], [], []
        self.ids, self.words = set(), ""

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag in ("a", "link", "script", "image", "use"):
            link = found.get("href") or found.get("src") or found.get("xlink:href")
            self.links.append(link or "")
        if tag == "img":
            self.images.append(found)
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        self.words += data


@pytest.fixture(scope="module")
def parsed(report):
    found = _Page()
    found.feed(report.read_text())
    assert found.open == []
    return found


def test_all_parts_are_there(parsed):
    assert parsed.headings == [
        *("Scores", "Single runs", "Training", "Codebooks", "Codebook sizes"),
        *("Pictures", "Best and worst", "How it was run"),
    ]
    assert "uvim-fsq experiment depth" in parsed.words
    assert "vq <b>" in parsed.words and "0.955" not in parsed.words
    assert "256 of 256 used" in parsed.words and "5 of 256 used" in parsed.words


def test_nothing_is_fetched_and_links_lead_somewhere(report, parsed):
    for link in parsed.links:
        assert link == "" or (link[0] == "#" and link[1:] in parsed.ids), link
    for image in parsed.images[:-1]:  # The last one is the empty frame for enlarging.
        assert image["src"].startswith("data:image/png;base64,") and image["alt"]
    assert "@import" not in report.read_text() and "url(http" not in report.read_text()


def test_the_same_pictures_stand_side_by_side(parsed):
    texts = [image["alt"] for image in parsed.images]
    assert "b & c: fsq_2^4, greedy" in texts and "a: truth" in texts
    assert sum(text.startswith("a: ") for text in texts) == 2 + 2 * len(ROWS)


def test_charts_follow_the_theme(report):
    text = report.read_text()
    assert "prefers-color-scheme: dark" in text
    assert "#0301" not in text and "#010101" not in text
    for name in ("--ink", "--faint", "--series-0", "--series-3"):
        assert f"{name}:" in text
        drawn = text[text.index("<svg") :]
        assert f": var({name})" in drawn


def test_one_codebook_size_has_no_chart_of_sizes(tmp_path):
    records = [record("fsq_2^4", 0, seed) for seed in (0, 1)]
    table = make_table("Depth", records, DepthConfig().scoring(), ["fsq_2^4"])
    write_report(tmp_path / "r.html", table, [Shown("fsq_2^4", records, [])], [])
    text = (tmp_path / "r.html").read_text()
    assert "Codebook sizes" not in text and "Pictures</h2>" not in text


def _chart(path, label):
    text = path.read_text().split(f'aria-label="{label} over step"')[1]
    return text[: text.index("</svg>")]


def test_a_stage1_that_runs_share_is_drawn_once(tmp_path):
    charts = []
    for seeds in ((0,), (0, 1)):
        records = [record("fsq_2^4", 0, seed) for seed in seeds]
        table = make_table("Depth", records, DepthConfig().scoring(), ["fsq_2^4"])
        path = tmp_path / f"{len(seeds)}.html"
        write_report(path, table, [Shown("fsq_2^4", records, [])], [])
        charts.append(
            [_chart(path, f"stage {n}, validation loss") for n in ("I", "II")]
        )
    assert charts[0][0] == charts[1][0] and charts[0][1] != charts[1][1]


def test_words_are_escaped():
    text = page("<x>", "a & b", [Section("c < d", "<p>e</p>")])
    assert "<title>&lt;x&gt;</title>" in text and "a &amp; b" in text
    assert "c &lt; d</h2><p>e</p>" in text


def _browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium here: the page is not looked at in a browser")


@pytest.mark.parametrize("width", [400, 1200])
def test_in_a_browser(report, tmp_path, width):
    """It fits the window, the keyboard reaches pictures, and one opens enlarged and closes."""
    probe = """<script>addEventListener("load", () => {
      const button = document.querySelector("button.zoom"), d = document.querySelector("dialog");
      const focus = (button.focus(), document.activeElement === button);
      button.click();
      const image = d.querySelector("img");
      const opened = d.open && image.src === button.querySelector("img").src;
      d.querySelector("button").click();
      const root = document.documentElement;
      document.title = [focus, opened, !d.open, root.scrollWidth <= innerWidth].join();
    });</script></body>"""
    copy = tmp_path / "report.html"
    copy.write_text(report.read_text().replace("</body>", probe))
    found = subprocess.run(
        [
            *(_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--virtual-time-budget=5000", copy.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "<title>true,true,true,true</title>" in found.stdout
