"""Finds and runs configuration files."""

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from uvim_fsq.config import ConfigError, RunConfig


def load_config(
    name: str, variant: str | None = None, preset: str | None = None
) -> tuple[RunConfig, str]:
    """The settings that a configuration gives, and the name `<config>-<variant>-<preset>`.

    `name` is a path of a Python file with `get_config(variant, preset)`, or the name of a module
    of `configs`; `configs/depth.py` means that module where there is no such file.
    """
    module = _module(name)
    get_config = getattr(module, "get_config", None)
    parameters = (
        inspect.signature(get_config).parameters if callable(get_config) else {}
    )
    if get_config is None or not {"variant", "preset"} <= set(parameters):
        raise ConfigError(
            f"{name} is no configuration: it lacks a function get_config(variant, preset)."
        )
    variant = parameters["variant"].default if variant is None else variant
    preset = parameters["preset"].default if preset is None else preset
    for option, value in (("variant", variant), ("preset", preset)):
        if value is inspect.Parameter.empty:
            raise ConfigError(f"{name} has no default {option}: add --{option}.")
    config = get_config(variant=variant, preset=preset)
    if not isinstance(config, RunConfig):
        raise ConfigError(
            f"get_config of {name} must return a RunConfig, found {type(config).__name__}."
        )
    return config, f"{Path(name).stem}-{variant}-{preset}"


def _module(name: str) -> ModuleType:
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        return _run_file(path)
    built_in = path.stem
    as_named = path in (Path(built_in), Path("configs") / f"{built_in}.py")
    found = importlib.util.find_spec(f"configs.{built_in}") if as_named else None
    if found is None:
        raise ConfigError(
            f"there is no configuration {name}: expected a Python file, or the name of one "
            f"that comes along ({', '.join(_built_in_names())}). It comes before the options."
        )
    return importlib.import_module(f"configs.{built_in}")


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_configuration_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses in the file look themselves up there.
    spec.loader.exec_module(module)
    return module


def _built_in_names() -> list[str]:
    import configs

    names = {
        path.stem for folder in configs.__path__ for path in Path(folder).glob("*.py")
    }
    return sorted(names - {"__init__", "base", "variants"})
