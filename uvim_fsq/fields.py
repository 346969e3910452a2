"""What checks of settings have in common: a condition, and the sentence where it does not hold."""

from uvim_fsq.errors import ConfigError

SEED_LIMIT = 2**32 - 1
WHOLE_LIMIT = 2**31 - 1
"""Sizes and counts are 32-bit numbers to JAX."""

REAL_LIMIT = 1e15
"""The product of two such numbers is still one of float32."""


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
