"""What goes wrong, as exceptions whose message is one sentence for the user."""

import difflib
from collections.abc import Iterable
from pathlib import Path


class ConfigError(ValueError):
    """Settings that cannot be used: says what was expected, what was found and what to do."""


class DataError(ValueError):
    """Data that cannot be used: says what was expected, what was found and what to do."""


class BrokenFileError(DataError):
    """A file that cannot be decoded, or not to its end; `path` and `reason` say which and why."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class WeightsError(ValueError):
    """A weights file that cannot be read or does not fit the model."""


class ScoreError(ValueError):
    """References that nothing can be scored on: says what was expected, what was found, what to do."""


def close_names(name: str, names: Iterable[str]) -> list[str]:
    """The names that a misspelt one may stand for, the nearest first."""
    return difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)


def nearest(name: str, names: Iterable[str]) -> str:
    """A question that offers the names nearest to a misspelt one, or a list of all."""
    names = list(names)
    close = close_names(name, names)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(names)}."
