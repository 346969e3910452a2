"""What checks of settings have in common: a condition, and the sentence where it does not hold."""

from uvim_fsq.errors import ConfigError


def require(condition: bool, otherwise: str) -> None:
    """Raises ConfigError, with a full stop, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{otherwise}.")


def at_least(least: int, name: str, value: int | float) -> None:
    """A setting has a smallest value."""
    require(value >= least, f"{name} must be at least {least}, found {value}")


def positive(name: str, value: int | float) -> None:
    """A setting must be above 0."""
    require(value > 0, f"{name} must be above 0, found {value}")


def divides(part: str, divisor: int, whole: str, dividend: int) -> None:
    """One setting divides another."""
    require(
        dividend % divisor == 0,
        f"{part} must divide {whole}, found {divisor} and {dividend}",
    )
