"""Settings as JSON: what `RUN/config.json` holds, and the fingerprint that a run goes by.

A choice between several kinds (source, quantizer) carries the tag `"kind"`. Reading is strict: a
name that is no setting and a value of another type are errors that name the setting.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError, nearest
from uvim_fsq.files import write_text
from uvim_fsq.settings.run import RunConfig

FORMAT = 2
"""Version of the file. Raised when a reader of the old one would misread the new one."""


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values of a settings dataclass: dicts, lists, numbers, strings, booleans, None.

    Whole numbers of settings that are floats become floats, so that equal settings give equal JSON.
    """
    result = {}
    if hasattr(config, "kind"):
        result["kind"] = config.kind
    for name, hint in _fields(type(config)).items():
        result[name] = _plain(getattr(config, name), hint)
    return result


def from_dict(data: Any, cls: type = RunConfig, path: str = "") -> Any:
    """The settings dataclass `cls` (a `RunConfig` by default) of what `to_dict` gave.

    Settings that `data` lacks take their defaults. Raises ConfigError for a name that is no
    setting, with the nearest ones; for a value of another type; and for an unknown kind.
    `path` is where `data` stands in the settings, for messages.
    """
    return _read_dataclass(data, (cls,), path)


def upgraded(data: dict[str, Any], version: int) -> dict[str, Any]:
    """The settings of a file of an older format, written so that they mean what they meant.

    Format 1 applied `units_per_metre` to whole numbers alone, and held frames out one by one.
    """
    source = data.get("data")
    if version >= 2 or not isinstance(source, dict):
        return data
    source = dict(source)
    if source.get("kind") in ("folder", "tfds"):
        if source.get("units_per_metre") == 1000.0:
            source["units_per_metre"] = None
    if source.get("kind") == "folder":
        source.setdefault("split_by", "file")
    return {**data, "data": source}


def fingerprint(*parts: Any) -> str:
    """Hash (64 hexadecimal digits) of settings dataclasses or plain values, the same everywhere."""
    plain = [to_dict(p) if dataclasses.is_dataclass(p) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def dumps(config: RunConfig) -> str:
    """The text of a config file."""
    try:
        text = json.dumps(
            {"format": FORMAT, **to_dict(config)}, indent=2, allow_nan=False
        )
    except ValueError:
        raise ConfigError(
            "one of the settings is infinite or no number, which cannot be kept: give finite ones."
        ) from None
    return text + "\n"


def save(config: RunConfig, path: str | Path) -> None:
    """Writes the settings to `path`, whole or not at all; replaces what is there."""
    write_text(Path(path), dumps(config))


def load(path: str | Path) -> RunConfig:
    """Reads what `save` wrote. Raises ConfigError, with the path, for a file that cannot be used."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there are no settings at {path}: name a file written by a training run."
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a folder, where a JSON file of settings was expected."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a JSON file of settings: {error}.") from None
    version = data.pop("format", None) if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
        raise ConfigError(
            f"{path} is not a file of settings: it has no whole number named "
            '"format" at its top.'
        )
    if version > FORMAT:
        raise ConfigError(
            f"{path} has format {version}, from a newer version of uvim-fsq; this one reads "
            f"formats up to {FORMAT}: update uvim-fsq."
        )
    try:
        return from_dict(upgraded(data, version))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _fields(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _plain(value: Any, hint: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple | list):
        hints = _item_hints(hint, len(value)) or (Any,) * len(value)
        return [_plain(item, h) for item, h in zip(value, hints, strict=True)]
    if type(value) is int and float in (hint, *typing.get_args(hint)):
        return float(value)
    return value


def _item_hints(hint: Any, count: int) -> tuple | None:
    """Types of the items of a tuple of `count` items; None where it cannot have so many."""
    arguments = typing.get_args(hint)
    if len(arguments) == 2 and arguments[1] is ...:
        return arguments[:1] * count
    return arguments if len(arguments) == count else None


def _read(value: Any, hint: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        classes = tuple(a for a in arguments if dataclasses.is_dataclass(a))
        if classes:
            return _read_dataclass(value, classes, path)
        if value is None and type(None) in arguments:
            return None
        # The other unions in the settings are `X | None`.
        return _read(value, next(a for a in arguments if a is not type(None)), path)
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(value, (hint,), path)
    if origin is typing.Literal:
        if value not in arguments or type(value) not in map(type, arguments):
            _refuse(path, f"one of {', '.join(map(repr, arguments))}", value)
        return value
    if origin is tuple:
        return _read_tuple(value, hint, path)
    return _read_scalar(value, hint, path)


def _read_dataclass(data: Any, classes: tuple[Any, ...], path: str) -> Any:
    if not isinstance(data, dict):
        _refuse(path or "the whole", "an object with settings", data)
    data = dict(data)
    kinds = {getattr(c, "kind", None): c for c in classes}
    kind = data.pop("kind", None if len(classes) > 1 else next(iter(kinds)))
    if kind not in kinds:
        _refuse(_join(path, "kind"), f"one of {', '.join(map(repr, kinds))}", kind)
    cls = kinds[kind]
    fields = _fields(cls)
    for name in data:
        if name not in fields:
            raise ConfigError(
                f"{_join(path, name)!r} is not a setting: {nearest(name, list(fields))}"
            )
    return cls(**{n: _read(v, fields[n], _join(path, n)) for n, v in data.items()})


def _read_tuple(value: Any, hint: Any, path: str) -> tuple:
    if not isinstance(value, tuple | list):
        _refuse(path, "a list", value)
    hints = _item_hints(hint, len(value))
    if hints is None:
        _refuse(path, f"a list of {len(typing.get_args(hint))} values", value)
    pairs = zip(value, hints, strict=True)
    return tuple(_read(item, h, f"{path}[{i}]") for i, (item, h) in enumerate(pairs))


_NAMES = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}


def _read_scalar(value: Any, hint: Any, path: str) -> Any:
    # A boolean is an int to Python, and a whole number is a float to the user.
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint is not float and type(value) is hint:
        return value
    _refuse(path, _NAMES[hint], value)


def _refuse(path: str, expected: str, found: Any) -> typing.NoReturn:
    raise ConfigError(f"{path} must be {expected}, found {found!r}.")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
