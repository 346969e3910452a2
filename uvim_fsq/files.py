"""File names that stand in other people's files, and writes that happen whole or not at all."""

import os
import secrets
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

_LONGEST_NAME = 255
"""Bytes of a file's name on the common file systems."""


def name_problem(name: str) -> str | None:
    """Why a name that a file gives must not be looked for below a folder; None where it may be.

    >>> name_problem("val2017/000000000139.jpg")
    >>> name_problem("../secret.png")
    "'../secret.png' leads out of its folder"
    """
    shown = repr(name if len(name) < 100 else f"{name[:50]}...{name[-30:]}")
    if not name or has_controls(name):
        return f"{shown} is no name of a file"
    windows = PureWindowsPath(name)
    if ".." in windows.parts or windows.anchor or PurePosixPath(name).is_absolute():
        return f"{shown} leads out of its folder"
    if any(len(part.encode()) > _LONGEST_NAME for part in PurePosixPath(name).parts):
        return f"{shown} is longer than the {_LONGEST_NAME} bytes of a file's name"
    return None


def has_controls(text: str) -> bool:
    """Whether a text has control characters, such as NUL, or halves of characters (surrogates).

    >>> has_controls("a\tb"), has_controls("living room")
    (True, False)
    """
    return any(unicodedata.category(each) in ("Cc", "Cs") for each in text)


def temporary(path: Path, suffix: str = "") -> Path:
    """A hidden name beside `path` that no other process uses, on this machine or another.

    A process's number is no such name: processes of two machines that share a folder may have the
    same. The name is cut, so that it is not too long where the file's own just fits.
    """
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp{suffix}")


def write_whole(path: str | Path, data: bytes) -> None:
    """Write under a temporary name and rename, so that no reader ever sees half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(path)
    try:
        with open(new, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """As `write_whole`, UTF-8."""
    write_whole(path, text.encode())
