"""Settings as options: `--stage1.model.width 192` for `config.stage1.model.width`.

tyro reads the values and writes the help. What it cannot read is found first and said in one
sentence, with the nearest names.
"""

import contextlib
import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from uvim_fsq.data.registry import SOURCES
from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.settings.run import AnyData, EvaluationConfig, RunConfig


@dataclass(frozen=True)
class EvaluationSettings:
    """The settings of a run that do not change what was trained."""

    data: Annotated[AnyData, tyro.conf.AvoidSubcommands]
    """What is scored."""
    evaluation: EvaluationConfig
    """Scoring."""
    loader_threads: int
    """Threads that read; 0 for one per core."""

    @classmethod
    def of(cls, config: RunConfig) -> "EvaluationSettings":
        """Those of a run."""
        return cls(config.data, config.evaluation, config.loader_threads)


@dataclass(frozen=True)
class LoadingSettings:
    """The settings of a run that say what is read, and how."""

    data: Annotated[AnyData, tyro.conf.AvoidSubcommands]
    """What is read."""
    loader_threads: int
    """Threads that read; 0 for one per core."""

    @classmethod
    def of(cls, config: RunConfig) -> "LoadingSettings":
        """Those of a run."""
        return cls(config.data, config.loader_threads)


def with_source(config: RunConfig, source: str | None) -> RunConfig:
    """The settings with another kind of data, at its defaults; unchanged for None or the same."""
    if source is None or config.data.kind == source:
        return config
    data = SOURCES[source].of_image_size(config.task.image_size)
    return replace(config, data=data)


def override(config: Any, words: Sequence[str], options: Sequence[str] = ()) -> Any:
    """The settings with those changed that the command line names.

    `words` are options with values, as they came; `options` are what else the command takes, for
    suggestions. Giving one of `steps` and `epochs` clears the other. Raises ConfigError.
    """
    # What the scan of a folder proposes to give; short, because it is given in a hurry.
    words = ["--data.skip-broken" if w == "--skip-broken" else w for w in words]
    flags = _flags(config)
    names = _check_words(words, flags, options)
    for name in names:
        stage, _, length = name.rpartition(".")
        other = {"steps": "epochs", "epochs": "steps"}.get(length)
        if other and f"{stage}.{other}" not in names:
            config = replace(config, **{f"{stage}__{other}": None})
    return tyro.cli(type(config), args=list(words), default=config, prog="uvim-fsq")


def print_help(config: Any, program: str) -> None:
    """Prints the settings with their types, values and meaning."""
    with contextlib.suppress(SystemExit):
        tyro.cli(
            type(config),
            prog=program,
            description="The settings, at their values in this configuration.",
            args=["--help"],
            default=config,
        )


def _flags(config: Any, prefix: str = "") -> dict[str, Any]:
    """Types of all settings by dotted name."""
    result = {}
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        if f"{prefix}{field.name}" == "task.categories":  # Training takes them in.
            continue
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            result |= _flags(value, f"{name}.")
        else:
            result[name] = hints[field.name]
    return result


def _check_words(
    words: Sequence[str], flags: dict, options: Sequence[str]
) -> list[str]:
    """The settings named, after checking that each exists and that its values have its type."""
    names = []
    for option, values in _grouped(words):
        name = _setting_name(option, flags)
        if name is None:
            raise ConfigError(unknown_option(option, options, flags))
        problem = _problem(flags[name], values)
        if problem:
            found = " ".join(values) or "nothing"
            raise ConfigError(f"{option} must be {problem}, found {found}.")
        names.append(name)
    return names


def _grouped(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            groups.append((option, [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise ConfigError(f"expected an option such as --seed 1, found {word!r}.")
    return groups


def _setting_name(option: str, flags: dict) -> str | None:
    """The setting that an option names, switches also in their `no-` form."""
    name = option[2:].replace("-", "_")
    if name in flags:
        return name
    head, dot, last = name.rpartition(".")
    if last.startswith("no_") and flags.get(f"{head}{dot}{last[3:]}") is bool:
        return f"{head}{dot}{last[3:]}"
    return None


def unknown_option(option: str, options: Sequence[str], flags: dict) -> str:
    """The sentence for an option that is neither a setting nor one of `options`."""
    name = option[2:].replace("-", "_")
    kinds = [
        kind
        for kind, cls in SOURCES.items()
        if name in {f"data.{field.name}" for field in dataclasses.fields(cls)}
    ]
    if kinds:
        return (
            f"{option} belongs to another kind of data: add --source "
            f"{' or --source '.join(kinds)}."
        )
    known = [*options, *(_option(flag) for flag in flags)]
    close = difflib.get_close_matches(option, known, n=3, cutoff=0.7)
    if not close:
        last = name.rpartition(".")[2]
        lasts = {flag: flag.rpartition(".")[2] for flag in flags}
        near = difflib.get_close_matches(last, set(lasts.values()), n=1, cutoff=0.7)
        close = [_option(flag) for flag in flags if lasts[flag] in near][:4]
    question = f"did you mean {' or '.join(close)}?" if close else "see --help."
    return f"there is no option {option}: {question}"


def _option(flag: str) -> str:
    return "--" + flag.replace("_", "-")


_KINDS = {int: "whole number", float: "number", str: "text"}


def _problem(hint: Any, values: list[str]) -> str | None:
    """What values of a setting must be, if these are not; None if they are."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return "given without a value (--name or --no-name)" if values else None
    if origin in (Union, types.UnionType):
        inner = next(a for a in arguments if a is not type(None))
        problem = None if values == ["None"] else _problem(inner, values)
        return problem and f"{problem} or None"
    if origin is Literal:
        fits = len(values) == 1 and values[0] in arguments
        return None if fits else f"one of {', '.join(arguments)}"
    if origin is not tuple:
        fits = len(values) == 1 and _fits(hint, values[0])
        return None if fits else f"one {_KINDS[hint]}"
    if arguments[-1] is not ...:
        fits = len(values) == len(arguments) and all(map(_fits, arguments, values))
        return None if fits else f"{len(arguments)} {_KINDS[arguments[0]]}s"
    # Any number of items, each a value or a tuple of them.
    items = typing.get_args(arguments[0]) or (arguments[0],)
    whole = len(values) % len(items) == 0
    fits = whole and all(map(_fits, items * (len(values) // len(items)), values))
    if fits:
        return None
    kinds = " and a ".join(_KINDS[item] for item in items)
    return f"{kinds}s" if len(items) == 1 else f"pairs of a {kinds}"


def _fits(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
