"""Names as they came, in LaTeX, Markdown and JSON: every letter stands for itself."""

import json
import math
import re
import string
from collections.abc import Mapping
from typing import Any

_LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    # After the end of a row these two would be options of it.
    "[": "{[}",
    "*": "{*}",
} | {letter: f"\\{letter}" for letter in "%_&#${}"}

# An underscore within a word is no emphasis.
_MARKDOWN = re.compile(r"[\\|*`<>~$&\[\]]|(?<![^\W_])_|_(?![^\W_])")


def latex(text: str) -> str:
    r"""Text in a LaTeX table.

    >>> latex("50 % of fsq_2^4")
    '50 \\% of fsq\\_2\\textasciicircum{}4'
    """
    return "".join(_LATEX.get(letter, letter) for letter in one_line(text))


def markdown(text: str) -> str:
    r"""Text in Markdown, also within a table.

    >>> print(markdown("fsq_2^4 <b> a|b"))
    fsq_2^4 \<b\> a\|b
    """
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def markdown_code(text: str) -> str:
    """Text as code in a line of Markdown.

    >>> markdown_code("a`b")
    '`` a`b ``'
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{one_line(text)}{space}{fence}"


def filled(template: str, **values: Any) -> str:
    r"""A template of `str.format` with its values, without what is not known.

    That is a line, or what stands in [[ ]] in it, with a value that is None or, within a value, not
    there. Raises KeyError for a name that is not given at all.

    >>> filled("{a}[[ of {b}]]\nseed {c[seed]}", a=1, b=None, c={})
    '1\n'
    """
    lines = []
    for line in template.splitlines():
        pieces = [_filled_piece(p, values) for p in re.split(r"\[\[(.*?)\]\]", line)]
        if None not in pieces[::2]:  # Every second one stood in brackets.
            lines.append("".join(piece or "" for piece in pieces))
    return re.sub("\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _filled_piece(text: str, values: Mapping[str, Any]) -> str | None:
    parser = string.Formatter()
    names = [name for _, name, _, _ in parser.parse(text) if name]
    for name in names:
        values[re.split(r"[.\[]", name)[0]]
    try:
        found = [parser.get_field(name, (), values)[0] for name in names]
    except (KeyError, TypeError):  # It is not there, or what it would be in is None.
        return None
    return None if None in found else text.format(**values)


def one_line(text: str) -> str:
    """Text with single spaces for any line breaks and what else is not seen."""
    return " ".join(text.split())


def printable(text: str) -> str:
    r"""Text that any file takes: what is no Unicode, in names of files, is shown as escapes.

    >>> print(printable("Küche \udcff"))
    Küche \udcff
    """
    return text.encode("utf-8", "backslashreplace").decode()


def json_text(value: Any, **options: Any) -> str:
    """JSON of a value; numbers must be finite, for which JSON has no others."""
    return json.dumps(value, allow_nan=False, **options)


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with null for numbers that JSON does not have, and why in `not_finite`, by name.

    >>> finite({"psnr": math.inf, "rmse": 0.0})
    {'psnr': None, 'rmse': 0.0, 'not_finite': {'psnr': 'inf'}}
    """
    odd = {
        name: str(float(value))
        for name, value in values.items()
        if _is_number(value) and not math.isfinite(value)
    }
    plain = {name: None if name in odd else value for name, value in values.items()}
    return plain | ({"not_finite": odd} if odd else {})


def _is_number(value: Any) -> bool:
    # NumPy's numbers are no `float`; a text has no `__float__`.
    return hasattr(value, "__float__") and not isinstance(value, bool)
