"""Studies: Python files that give an experiment its rows, such as `configs/studies/variants.py`."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from uvim_fsq.errors import ConfigError, nearest
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.user_files import call_file, run_file


def load_study(name: str) -> ModuleType:
    """The module of a study: a Python file, or one that comes along, by its name.

    Raises:
      ConfigError: if there is none, or it has no `TITLE` and `get_rows(get_config)`.
    """
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        module = run_file(path)
    elif name in study_names():
        module = importlib.import_module(f"uvim_fsq.configs.studies.{name}")
    else:
        raise ConfigError(
            f"there is no study {name!r}, nor a Python file with get_rows(get_config) of that name: "
            f"{nearest(name, study_names())}"
        )
    if not callable(getattr(module, "get_rows", None)) or not hasattr(module, "TITLE"):
        raise ConfigError(
            f"{name} is no study: it lacks TITLE or a function get_rows(get_config)"
        )
    return module


def study_names() -> list[str]:
    """The studies that come along."""
    from uvim_fsq.configs import studies

    return sorted(module.name for module in pkgutil.iter_modules(studies.__path__))


def study_rows(
    study: ModuleType, get_config: Callable[[str], RunConfig]
) -> dict[str, RunConfig]:
    """A study's settings by row; `get_config(variant)` gives those of a variant.

    Raises:
      ConfigError: if it gives something else, or a name that cannot be a folder's.
    """
    file = study.__file__ or study.__name__
    rows = call_file(file, lambda: study.get_rows(get_config))
    if not isinstance(rows, dict) or not rows:
        raise ConfigError(f"get_rows of {study.__name__} must return rows by name")
    for name, config in rows.items():
        if not isinstance(config, RunConfig):
            raise ConfigError(
                f"the row {name!r} of {study.__name__} must be a RunConfig, found "
                f"{type(config).__name__}"
            )
        if not name or set(name) & set("/\\ \0") or name.startswith("."):
            raise ConfigError(
                f"the row {name!r} of {study.__name__} names a folder: leave out slashes and spaces"
            )
    return rows
