"""Units of single depth maps, from an `index.csv` beside them."""

import csv
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from uvim_fsq.data.parts import refuse
from uvim_fsq.errors import DataError

_COLUMNS = ("name", "units_per_metre")
_SHOWN = 120

LEAST_UNITS, MOST_UNITS = 1e-6, 1e12
"""Units per metre from a thousand kilometres to a thousandth of a nanometre: beyond is a slip."""


def find_index(folder: Path) -> Path | None:
    """The `index.csv` in a folder, in whatever case it is written."""
    entries = (entry for entry in sorted(folder.iterdir()) if entry.is_file())
    return next((e for e in entries if e.name.lower() == "index.csv"), None)


def says_units(index: Path) -> bool:
    """Whether a table has the columns of units; other tables lie in folders too."""
    return _has_columns(_table(index)[1])


def read_units(
    index: Path, files: Mapping[str, Iterable[Path]]
) -> dict[str, float | None]:
    """Units per metre by id; None where a row leaves the cell empty.

    The columns are `name` and `units_per_metre`, in whatever case and order, others beside them are
    information; commas, semicolons or tabs stand between them. A name is an id, with or without the
    ending of one of its files and their folder. Raises `DataError` for another table, for values that are
    no positive numbers, for two units of one name, and for names that no example has.
    """
    head, columns, rows = _table(index)
    if not _has_columns(columns):
        raise DataError(
            f"{index}: expected a header with the columns {' and '.join(_COLUMNS)}, found "
            f"{head[:_SHOWN]!r}; mend it, or move the file away if it is not about units"
        )
    known = {
        spelling: example
        for example, paths in files.items()
        for spelling in _spellings(example, paths, index.parent)
    }
    units: dict[str, float | None] = {}
    problems = []
    for row in rows:
        name, value = (row[column].strip() for column in _COLUMNS)
        if not name and not value:
            continue
        where = f"line {rows.line_num + 1}, "
        example = known.get(_plain(name))
        if example is None:
            problems.append(f"{where}{name!r}: no frame has this name")
            continue
        unit = _number(value) if value else None
        if value and unit is None:
            problems.append(
                f"{where}{name}: units_per_metre is {value!r}, expected a positive number "
                f"from {LEAST_UNITS:g} to {MOST_UNITS:g}"
            )
        if units.get(example, unit) != unit:
            problems.append(f"{where}{name}: it has another unit further up")
        units[example] = unit
    what = "row" if len(problems) == 1 else "rows"
    refuse(index, problems, f"{what} cannot be used; mend or remove them")
    return units


def _table(index: Path) -> tuple[str, list[str], csv.DictReader]:
    """The first line, its columns, and the rows; what it has most of stands between cells."""
    try:
        lines = index.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"{index}: it cannot be read: {reason}") from error
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    columns = [_column(c) for c in next(csv.reader([head], delimiter=separator), [])]
    rows = csv.DictReader(lines[1:], columns, restval="", delimiter=separator)
    return head, columns, rows


def _has_columns(columns: list[str]) -> bool:
    return all(columns.count(column) == 1 for column in _COLUMNS)


def _column(cell: str) -> str:
    """A column's name: `Units per meter` is `units_per_metre`."""
    plain = cell.strip().lower().replace(" ", "_").replace("-", "_")
    return "units_per_metre" if plain == "units_per_meter" else plain


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if LEAST_UNITS <= number <= MOST_UNITS else None


def _spellings(example: str, files: Iterable[Path], folder: Path) -> set[str]:
    """What an example may be called: its id or its files' paths, with or without an ending."""
    found = {_plain(example)}
    for file in files:
        found.add(_plain(f"{example}{file.suffix}"))
        if file.is_relative_to(folder):
            below = file.relative_to(folder)
            found |= {
                _plain(below.as_posix()),
                _plain(below.with_suffix("").as_posix()),
            }
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")
