"""What CONFIG, `--preset`, `--variant`, `--source` and `--study` may name, for `--help`."""

import importlib
import textwrap
from collections.abc import Mapping

from uvim_fsq.data.registry import SOURCES
from uvim_fsq.settings.find import built_in_names, load_module


def catalogue(name: str | None, *, studies: bool = False) -> str:
    """The names that come along, each with a phrase; presets and variants are those of a configuration.

    `name` is the configuration, None for a command that takes none; a trained model has neither
    presets nor variants.
    """
    sections: dict[str, Mapping[str, str]] = {}
    if name is not None:
        about = {task: _about(f"uvim_fsq.configs.{task}") for task in built_in_names()}
        sections = {"CONFIG": about, **_choices(name)}
    if studies:
        from uvim_fsq.experiment.study import study_names

        sections["--study"] = {
            study: _about(f"uvim_fsq.configs.studies.{study}")
            for study in study_names()
        }
    sections["--source"] = {
        kind: _first_line(cls.__doc__) for kind, cls in SOURCES.items()
    }
    return "\n\n".join(_table(title, rows) for title, rows in sections.items())


def _choices(name: str) -> dict[str, Mapping[str, str]]:
    """Presets and variants of a Python file, or of a configuration that comes along."""
    from uvim_fsq.configs import base, variants

    module = load_module(name)
    if module is None:
        return {}
    found = {}
    for option, table, phrases in (
        ("--preset", getattr(module, "PRESETS", {}), base.ABOUT),
        ("--variant", getattr(module, "VARIANTS", {}), variants.ABOUT),
    ):
        own = option == "--preset" and not module.__name__.startswith(
            "uvim_fsq.configs."
        )
        rows = {str(key): "" if own else phrases.get(key, "") for key in table}
        if rows:
            found[f"{option} of {name}"] = rows
    return found


def _about(module: str) -> str:
    return _first_line(importlib.import_module(module).__doc__)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _table(title: str, rows: Mapping[str, str]) -> str:
    width = max(map(len, rows)) + 2
    lines = [f"{title}:"]
    for name, text in rows.items():
        lines += textwrap.wrap(
            f"{name:<{width}}{text}",
            width=80,
            initial_indent="  ",
            subsequent_indent=" " * (width + 2),
        )
    return "\n".join(lines)
