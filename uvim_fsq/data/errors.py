"""What goes wrong with data, as exceptions whose message is one sentence for the user."""

from pathlib import Path


class DataError(ValueError):
    """Data that cannot be used: says what was expected, what was found and what to do."""


class BrokenFileError(DataError):
    """A file that cannot be decoded, or not to its end; `path` and `reason` say which and why."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)
