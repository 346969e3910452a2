"""Tables and lines for a person's eyes."""

from typing import Any


def plain_console() -> Any:
    """A rich console that shows text as it is: "bottle [glass]" is no markup, ":a:" no picture.

    Where nobody looks, in a file or a pipe, lines are as wide as they need to be.
    """
    from rich.console import Console

    width = None if Console().is_terminal else 120
    return Console(
        width=width, soft_wrap=True, markup=False, emoji=False, highlight=False
    )
