"""Finds the settings that a CONFIG stands for: a Python file, a trained model, or a JSON file."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

from uvim_fsq.errors import ConfigError, close_names
from uvim_fsq.fields import replace
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.user_files import call_file, run_file

_EXPECTED = (
    "expected a Python file, the name of one that comes along ({}), a trained model, or a JSON file "
    "of settings, and it comes before the options."
)


def load_config(
    name: str, variant: str | None = None, preset: str | None = None
) -> tuple[RunConfig, str]:
    """The settings that a CONFIG gives, and a name for the run.

    `name` is one of these, tried in this order:

    - a Python file with `get_config(variant, preset)`; the run is `<config>-<variant>-<preset>`;
    - a JSON file of settings, as `uvim-fsq config` prints it: `<file>`;
    - the name of a module of `configs`; `configs/depth.py` means that module where there is no
      such file. A folder of the same name needs a slash: `./depth`;
    - a trained model: a run, a bundle, or OWNER/NAME on the Hugging Face Hub; `from-<folder>`, so
      that it never is the model's own folder.

    The settings of a model are taken as they are, but for `output.directory` and `init_from`; a run's or bundle's
    `config.json` is as good as its folder.

    Raises:
      ConfigError: if there is no such thing, or it cannot be used.
      WeightsError: if it cannot be fetched.
    """
    file = _settings_file(name)
    if file is not None:
        if variant is not None or preset is not None:
            option = "--preset" if variant is None else "--variant"
            raise ConfigError(
                f"{option} belongs to configuration files, and {name} has settings of its own: "
                "leave it out, or change single settings such as --stage1.steps."
            )
        # Neither where the model lies nor what it started from is asked for again.
        config = replace(as_json.load(file), output__directory="", init_from="")
        return config, _run_name(name, file)
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
    source = module.__file__ or name
    config = call_file(source, lambda: get_config(variant=variant, preset=preset))
    if not isinstance(config, RunConfig):
        raise ConfigError(
            f"get_config of {name} must return a RunConfig, found {type(config).__name__}."
        )
    return config, f"{Path(name).stem}-{variant}-{preset}"


def is_model(name: str) -> bool:
    """Whether a CONFIG that `load_config` took is a trained model, which has weights too."""
    path = Path(name)
    return path.suffix not in (".py", ".json") and not _is_built_in(name)


def _settings_file(name: str) -> Path | None:
    """The JSON file of a name that stands for settings or a trained model."""
    path = Path(name)
    if path.suffix == ".json" and path.is_file():
        return path
    if path.suffix == ".py" or _is_built_in(name):
        return None
    if path.exists() or path.parent.exists():
        file = path / "config.json"
        return file if file.is_file() else None
    from uvim_fsq.weights import hub

    return hub.snapshot(name) / "config.json" if hub.is_name(name) else None


def _is_built_in(name: str) -> bool:
    folder = "/" in name and Path(name).is_dir()
    return str(Path(name)) in built_in_names() and not folder


def _run_name(name: str, file: Path) -> str:
    if file.name != "config.json":
        return file.stem
    if Path(name).exists():
        return f"from-{file.resolve().parent.name}"
    return f"from-{name.partition('@')[0].rpartition('/')[2]}"


def load_module(name: str) -> ModuleType | None:
    """The module of a Python file, or of a configuration that comes along; None if it is neither.

    Raises:
      ConfigError: if the file cannot be run.
    """
    path = Path(name).expanduser()
    if path.suffix == ".py" and path.is_file():
        return run_file(path)
    built_in = path.stem
    if path not in (Path(built_in), Path("configs") / f"{built_in}.py"):
        return None
    if built_in not in built_in_names():
        return None
    return importlib.import_module(f"uvim_fsq.configs.{built_in}")


def _module(name: str) -> ModuleType:
    module = load_module(name)
    if module is None:
        names = built_in_names()
        plain = name.replace("\\", "/").rpartition("configs/")[2].removesuffix(".py")
        close = close_names(plain, names)
        raise ConfigError(
            f"there is no configuration {name}: "
            + (
                f"did you mean {close[0]}?"
                if close
                else _EXPECTED.format(", ".join(names))
            )
        )
    return module


def built_in_names() -> list[str]:
    """The configurations that come along."""
    from uvim_fsq import configs

    names = {
        path.stem for folder in configs.__path__ for path in Path(folder).glob("*.py")
    }
    return sorted(names - {"__init__", "base", "variants"})
