"""SIGTERM and Ctrl-C as a request to stop after the current step."""

import signal
import sys
import threading
from types import FrameType


class StopRequested(Exception):
    """Raised by `StopSignals.check` to leave something long, such as an evaluation."""


class Interrupted(Exception):
    """A run was asked to stop and has saved its state; `exit_code` is 128 + signal."""

    def __init__(self, number: int, step: int):
        self.signal, self.step = signal.Signals(number), step
        self.exit_code = 128 + number
        super().__init__(
            f"stopped by {self.signal.name} after step {step}; the state is saved, and "
            "the same command continues from there."
        )


class StopSignals:
    """Context manager: the first SIGTERM or SIGINT sets `requested`, the next one kills.

    After the first the signals act as the operating system has it, so a second Ctrl-C
    leaves at once, whatever the process is doing. Outside the main thread, where Python
    cannot install handlers, signals are left alone.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.requested = number
        for each in self.signals:
            signal.signal(each, signal.SIG_DFL)
        # A second signal kills without clean-up: show the cursor of a progress line now.
        cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
        print(
            f"{cursor}\n{signal.Signals(number).name}: finishing this step and saving; once "
            "more leaves at once without saving.",
            file=sys.stderr,
            flush=True,
        )

    def check(self) -> None:
        """Raises StopRequested if a signal has come."""
        if self.requested is not None:
            raise StopRequested
