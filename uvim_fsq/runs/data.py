"""Which data a run is trained on: `RUN/data.json`, with the examples' names in `RUN/data/`."""

import json
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.data.fingerprint import Fingerprint, fingerprint, read_fingerprint
from uvim_fsq.errors import ConfigError
from uvim_fsq.runs.directory import RunDirectory, write_json

FORMAT = 1


@dataclass(frozen=True)
class RunData:
    """The data that a training finds, to be noted once the run's folder is there.

    Attributes:
      found: fingerprints by part.
      changes: what was noted of other data before, and now.
      is_noted: whether there is nothing new to note.
    """

    run: RunDirectory
    found: Mapping[str, Fingerprint]
    changes: Sequence[Mapping[str, Any]] = ()
    is_noted: bool = False

    def write(self) -> None:
        """Notes them in the run, names first: the JSON is there once all is."""
        if self.is_noted:
            return
        for part, each in self.found.items():
            each.write(names_file(self.run, part, each.digest))
        parts = {
            part: {"count": each.count, "digest": each.digest}
            for part, each in self.found.items()
        }
        noted = {"format": FORMAT, "parts": parts, "changes": [*self.changes]}
        write_json(self.run.data_file, noted)


def names_file(run: RunDirectory, part: str, digest: str) -> Path:
    """The names of a part's examples."""
    return run.data_names / f"{part}-{digest}.txt.gz"


def check_data(
    run: RunDirectory, sources: Mapping[str, Source], *, accept: bool = False
) -> RunData:
    """Compares the data at hand with those that a run began with; `accept` takes others.

    A run that was made before runs noted their data gets a note of these. Writes nothing.

    Raises:
      ConfigError: for other data, saying what differs and what can be done.
    """
    found = {part: fingerprint(source) for part, source in sources.items()}
    noted = read_noted(run)
    if noted is None:
        return RunData(run, found)
    before = noted["parts"]
    differing = {
        part: _difference(run, part, before.get(part, {}), each)
        for part, each in found.items()
        if before.get(part, {}).get("digest") != each.digest
    }
    if not differing:
        return RunData(run, found, is_noted=True)
    told = "; ".join(f"{part}: {text}" for part, text in differing.items())
    if not accept:
        raise ConfigError(
            f"{run.path} was trained on other data than these ({told}): put back what it was "
            "trained on, go on with these by --new-data, which is noted in the run, or choose "
            "another --output.directory"
        )
    print(f"going on with other data ({told})")
    change = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "told": told,
        "steps": run.latest_steps(),
        "before": before,
    }
    return RunData(run, found, [*noted.get("changes", []), change])


def read_noted(run: RunDirectory) -> dict[str, Any] | None:
    """What a run has noted of its data; None if nothing.

    Raises:
      ConfigError: if it is of a newer version.
    """
    if not run.data_file.exists():
        return None
    noted = json.loads(run.data_file.read_text("utf-8"))
    if noted["format"] > FORMAT:
        raise ConfigError(f"{run.data_file} is from a newer uvim-fsq: update it")
    return noted


def _difference(
    run: RunDirectory, part: str, before: Mapping[str, Any], now: Fingerprint
) -> str:
    if not before:
        return f"none then, {now.count:,} examples now"
    try:
        then = read_fingerprint(names_file(run, part, before["digest"]))
    except (OSError, EOFError, zlib.error):  # The names are gone; the numbers are not.
        return f"{before['count']:,} examples then and {now.count:,} now"
    return then.difference(now)
