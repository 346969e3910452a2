"""A line for the eye: loss, images per second, time left."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


class Progress:
    """Shows how far a run is; takes the same scalars as the log writers.

    On a terminal one line that renews itself; elsewhere a plain line every `seconds`
    seconds, and for the first and the last step. Validation metrics always get a line.
    Use it as a context manager.
    """

    def __init__(
        self,
        name: str,
        total_steps: int,
        *,
        first_step: int = 0,
        seconds: float | int = 30.0,
        file: Any = None,
        clock: Callable[[], float | int] = time.monotonic,
    ):
        self.name, self.total_steps = name, total_steps
        self._file = sys.stdout if file is None else file
        self._seconds, self._clock = seconds, clock
        self._first: tuple[int, float] | None = None
        self._shown: float | None = None
        self._bar: Any = None
        self._task: Any = None
        self._first_step = first_step

    def __enter__(self) -> "Progress":
        if self._file.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.fields[text]}"),
                console=Console(file=self._file),
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.name,
                total=self.total_steps,
                completed=self._first_step,
                text="compiling",
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Renews the line from `train/...` values; prints others as they come."""
        train = {k[6:]: v for k, v in values.items() if k.startswith("train/")}
        others = {k: v for k, v in values.items() if not k.startswith("train/")}
        if others:
            self._print(f"{self.name} {step}: {_pairs(others)}")
        if not train:
            return
        now = self._clock()
        text = self._text(step, train, now)
        if self._bar is not None:
            self._bar.update(self._task, completed=step, text=text)
        elif (
            self._shown is None
            or now - self._shown >= self._seconds
            or step >= self.total_steps
        ):
            self._shown = now
            self._print(f"{self.name} {step}/{self.total_steps}: {text}")

    def _text(self, step: int, train: Mapping[str, Any], now: float) -> str:
        parts = []
        if "loss" in train:
            parts.append(f"loss {train['loss']:.4g}")
        if "images_per_second" in train:
            parts.append(f"{train['images_per_second']:.3g} images/s")
        if self._first is None:
            self._first = (step, now)
        elif step > self._first[0]:
            each = (now - self._first[1]) / (step - self._first[0])
            parts.append(f"{duration(each * (self.total_steps - step))} left")
        return ", ".join(parts)

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=self._file, flush=True)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def duration(seconds: float | int) -> str:
    """Seconds as people say them: `42 s`, `3 min 05 s`, `2 h 07 min`.

    >>> duration(185)
    '3 min 05 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
