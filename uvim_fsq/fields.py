"""What settings have in common: copies with changes, and checks with the sentence where they fail."""

import dataclasses
from importlib.metadata import entry_points
from typing import Any, TypeVar, Union

from uvim_fsq.errors import ConfigError

Settings = TypeVar("Settings")

Size = tuple[int, int]
"""Rows and columns."""

SEED_LIMIT = 2**32 - 1
WHOLE_LIMIT = 2**31 - 1
"""Sizes and counts are 32-bit numbers to JAX."""

REAL_LIMIT = 1e15
"""The product of two such numbers is still one of float32."""


def replace(config: Settings, **changes) -> Settings:
    """A copy with changes; `__` goes a level down: `replace(config, stage1__steps=10)`."""
    nested: dict[str, dict] = {}
    flat = {}
    for name, value in changes.items():
        head, _, rest = name.partition("__")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            flat[head] = value
    for head, inner in nested.items():
        flat[head] = replace(flat.get(head, getattr(config, head)), **inner)
    return dataclasses.replace(config, **flat)  # pyright: ignore[reportArgumentType, reportCallIssue]


def kinds_of(group: str, *classes: Any) -> dict[str, Any]:
    """Settings classes by their `kind`: ours, and those that installed packages add as entry points.

    Raises:
      ConfigError: if a package cannot be used, or calls a kind as another one is called.
    """
    kinds: dict[str, Any] = {cls.kind: cls for cls in classes}
    for point in entry_points(group=group):
        try:
            cls = point.load()
        except Exception as error:
            raise ConfigError(
                f"{point.value}, which an installed package adds to {group}, cannot be used: {error}; "
                "mend or remove that package."
            ) from error
        kind = getattr(cls, "kind", None)
        if not dataclasses.is_dataclass(cls) or not isinstance(kind, str):
            raise ConfigError(
                f"{point.value}, which an installed package adds to {group}, must be a dataclass with "
                f"a class attribute `kind`, found {cls!r}: mend or remove that package."
            )
        if kinds.setdefault(kind, cls) is not cls:
            raise ConfigError(
                f"two packages add {kind!r} to {group}: {kinds[kind].__module__} and "
                f"{cls.__module__}; remove one of them."
            )
    return kinds


def any_of(kinds: dict[str, Any]) -> Any:
    """The type of a setting that is one of several kinds."""
    return Union[tuple(kinds.values())]  # noqa: UP007


def require(condition: bool, otherwise: str) -> None:
    """Raises ConfigError, with a full stop, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{otherwise}.")


def at_least(least: int, name: str, value: int | float) -> None:
    """A setting has a smallest value."""
    require(value >= least, f"{name} must be at least {least}, found {value}")


def between(least: int, most: int, name: str, value: int) -> None:
    """A setting has a smallest and a largest value."""
    at_least(least, name, value)
    require(value <= most, f"{name} must be at most {most:,}, found {value:,}")


def positive(name: str, value: int | float) -> None:
    """A setting must be above 0."""
    require(value > 0, f"{name} must be above 0, found {value}")


def seed(name: str, value: int) -> None:
    """A setting is a seed: 32 bits, of which every value gives other random numbers."""
    require(
        0 <= value <= SEED_LIMIT,
        f"{name} must be a whole number from 0 to {SEED_LIMIT:,}, found {value}",
    )


def divides(part: str, divisor: int, whole: str, dividend: int) -> None:
    """One setting divides another."""
    require(
        dividend % divisor == 0,
        f"{part} must divide {whole}, found {divisor} and {dividend}",
    )
