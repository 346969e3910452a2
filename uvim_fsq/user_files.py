"""Python files of a user's: configurations and studies."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from uvim_fsq.errors import ConfigError

T = TypeVar("T")

_MOVED = ("configs", "evaluators")
"""Packages of version 0.1 beside `uvim_fsq`, which files of then import."""


def run_file(path: Path) -> ModuleType:
    """The module that a Python file of a user's makes.

    Raises:
      ConfigError: if it cannot be run, naming the line.
    """
    spec = importlib.util.spec_from_file_location(f"_user_file_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[spec.name] = module  # Dataclasses in the file look themselves up there.
    call_file(path, lambda: loader.exec_module(module))
    return module


def call_file(path: str | Path, function: Callable[[], T]) -> T:
    """What a function of a user's Python file gives; what goes wrong there is a ConfigError."""
    try:
        return function()
    except ConfigError:
        raise
    except Exception as error:
        lines = [getattr(error, "lineno", None)]
        trace = traceback.extract_tb(error.__traceback__)
        lines += [entry.lineno for entry in trace if Path(entry.filename) == Path(path)]
        line = next((f", line {number}" for number in lines[::-1] if number), "")
        hint = ""
        if isinstance(error, ModuleNotFoundError) and error.name in _MOVED:
            hint = f" Since version 0.2 it is uvim_fsq.{error.name}."
        raise ConfigError(
            f"{path}{line}: {type(error).__name__}: {' '.join(str(error).split())}.{hint}"
        ) from error
