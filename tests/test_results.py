"""Every number in a table of `docs/results.md` stands in a record that its section names."""

import csv
import itertools
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from scipy.special import stdtrit

_DOCS = Path(__file__).resolve().parent.parent / "docs"
_NUMBER = re.compile(r"(?<![\w.^])\d[\d,]*(?:\.\d+)?(?![\w.]*\^)")
# A record holds shares, seconds and bytes; a table shows percent, milliseconds and minutes, gigabytes.
_UNITS = (1.0, 100.0, 1e3, 1 / 60, 1e-9)


def _sections() -> list[tuple[str, str]]:
    parts = re.split(r"^## ", (_DOCS / "results.md").read_text("utf-8"), flags=re.M)
    return [(part.split("\n", 1)[0], part) for part in parts[1:]]


def _numbers(data) -> Iterator[float]:
    """All numbers of a tree of JSON."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for value in data:
            yield from _numbers(value)
    elif isinstance(data, int | float):
        yield abs(float(data))


def _groups(records: list[Path]) -> list[list[float]]:
    """Numbers that may stand in one row of a table: one prediction's, one experiment row's, one file's.

    Rows of an experiment also count by codebook size, `fsq_2^4` and `vq_2^4` together.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.is_dir():
            for name, found in _experiment(record):
                groups[name] += found
            continue
        data = json.loads(record.read_text("utf-8"))
        for name, value in data.get("scores", {}).items():
            groups[name.split("/")[0]] += _numbers(value)
        if "scores" not in data:
            groups[record.name] += _numbers(data)
    return list(groups.values())


def _experiment(folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Means and deviations over seeds by row, and differences between two rows."""
    lines = csv.DictReader((folder / "table.csv").read_text("utf-8").splitlines())
    for line in lines:
        found = [float(line[k]) for k in ("mean", "deviation") if line[k]]
        for name in {line["row"], line["row"].split("_")[-1]}:
            yield name, found
    records = map(
        json.loads, (folder / "records.jsonl").read_text("utf-8").splitlines()
    )
    scores = defaultdict(dict)
    for record in records:
        scores[record["row"]][record["stage2_seed"]] = record["scores"]
        used = list(_numbers(record["scores"].get("codebook_training/codewords_used")))
        yield record["row"].split("_")[-1], used
    for a, b in itertools.permutations(scores, 2):
        if len(scores[a]) > 2:
            yield f"{folder} {a} - {b}", list(_intervals(scores[a], scores[b]))


def _intervals(a: dict, b: dict) -> Iterator[float]:
    """Mean and 95 % interval of the paired differences of every score."""
    for name in a[0]:
        pairs = [a[seed][name] - b[seed][name] for seed in sorted(a)]
        mean = statistics.fmean(pairs)
        half = (
            statistics.stdev(pairs) / len(pairs) ** 0.5 * stdtrit(len(pairs) - 1, 0.975)
        )
        yield from _numbers([mean, mean - half, mean + half])


def _rows(section: str) -> Iterator[tuple[str, list[str]]]:
    """The rows of the section's tables with their numbers, without headings and row names."""
    lines = section.splitlines()
    for before, line in zip(lines, lines[1:], strict=False):
        if line.startswith("|") and before.startswith("|") and "---" not in line:
            cells = " ".join(line.strip("|").split("|")[1:])
            yield line, [each.replace(",", "") for each in _NUMBER.findall(cells)]


def _unsupported(section: str) -> list[str]:
    """The rows whose numbers no group of the section's records holds together."""
    names = re.findall(r"\]\((results/[^)]*)\)", section)
    assert names, "names no record: [text](results/...)"
    records = [_DOCS / name for name in names]
    assert [str(record) for record in records if not record.exists()] == []
    groups = _groups(records)

    def holds(group: list[float], number: str) -> bool:
        digits = len(number.partition(".")[2])
        return any(f"{v * unit:.{digits}f}" == number for v in group for unit in _UNITS)

    return [
        line
        for line, numbers in _rows(section)
        if not any(all(holds(group, n) for n in numbers) for group in groups)
    ]


@pytest.mark.parametrize("title, section", _sections(), ids=[t for t, _ in _sections()])
def test_numbers_of_tables_stand_in_the_records(title, section):
    assert _unsupported(section) == []


def test_a_number_without_a_record_is_found():
    section = next(part for _, part in _sections() if "results/depth-variants" in part)
    wrong = section.replace("| 0.768 ± 0.014", "| 0.767 ± 0.014")
    assert wrong != section
    assert [line[:7] for line in _unsupported(wrong)] == ["| FSQ |"]
