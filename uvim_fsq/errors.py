"""The error of settings and options, apart from the settings themselves, which take time to import."""

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """Settings that cannot be used: says what was expected, what was found and what to do."""


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
