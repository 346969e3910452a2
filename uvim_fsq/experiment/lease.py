"""Leases: which worker does which job, by files that any number of machines share.

A lease is a file `NAME.GENERATION` that only one process can have made (`O_EXCL`); the highest
generation counts. Its owner touches it every so often. One that was not touched for long, or whose
process is gone from this machine, is stale, and whoever makes the next generation first has taken it
over: at no moment do two processes hold it, nor can a crash leave it held for good. A process that
was suspended for so long that another took over ends itself as soon as it wakes: two must not write
into one run.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

LOST = 75
"""Exit code of a worker that lost its lease; `EX_TEMPFAIL`, try again."""


class Lease:
    """`with lease:` around the work; a thread of its own touches it until then."""

    def __init__(
        self,
        path: Path,
        generation: int,
        token: str,
        beat: float,
        on_loss: Callable[[Path], None],
    ):
        self._path, self._generation, self._token = path, generation, token
        self._on_loss = on_loss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._touch, args=(beat,), daemon=True)
        self._thread.start()

    @classmethod
    def take(
        cls,
        path: Path,
        *,
        stale_after: float | int = 600.0,
        on_loss: Callable[[Path], None] | None = None,
    ) -> "Lease | None":
        """The lease, or None if another worker has it.

        Args:
          path: its name; the folder is made.
          stale_after: seconds without a sign of life after which it may be taken over. The clocks
            of machines that share the folder must agree much better than this.
          on_loss: called with the name, in a thread, when another took it over; ends the process at
            once by default, as a kill would.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        last = _generations(path)[-1:]
        if last and not is_stale(_file(path, last[0]), stale_after):
            return None
        generation = last[0] + 1 if last else 0
        owner = _this_process() | {"token": uuid.uuid4().hex, "since": time.time()}
        try:
            with open(_file(path, generation), "x") as file:
                json.dump(owner, file, allow_nan=False)
        except FileExistsError:
            return None
        for older in _generations(path):
            if older < generation:
                _file(path, older).unlink(missing_ok=True)
        beat, on_loss = stale_after / 10, on_loss or _end_process
        return cls(path, generation, owner["token"], beat, on_loss)

    def __enter__(self) -> "Lease":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.is_mine():
            _file(self._path, self._generation).unlink(missing_ok=True)

    def is_mine(self) -> bool:
        """Whether nobody took it over, as happens to a process that was suspended for long."""
        owner = _owner(_file(self._path, self._generation))
        return owner is not None and owner.get("token") == self._token

    def _touch(self, beat: float) -> None:
        while not self._stop.wait(beat):
            # A file system that fails for a while is no loss; should it fail for long, others see.
            with contextlib.suppress(OSError):
                if not self.is_mine():
                    self._on_loss(self._path)
                    return
                os.utime(_file(self._path, self._generation))


def _end_process(path: Path) -> None:
    """Ends it without saving anything: what it would save is another's to write by now."""
    sys.stderr.write(
        f"another worker took over {path.name} while this one was silent: this one stops; start it "
        "again to go on with other work\n"
    )
    sys.stderr.flush()
    os._exit(LOST)


def is_stale(
    file: Path, stale_after: float | int, clock: Callable[[], float] = time.time
) -> bool:
    """Whether the owner of a lease file is gone, or has been silent for too long."""
    owner, here = _owner(file), _this_process()
    if owner and all(owner.get(name) == here[name] for name in ("host", "processes")):
        if not _is_running(int(owner["pid"])):
            return True
    try:
        return clock() - file.stat().st_mtime > stale_after
    except FileNotFoundError:
        return True


def _file(path: Path, generation: int) -> Path:
    return path.with_name(f"{path.name}.{generation}")


def _generations(path: Path) -> list[int]:
    ends = (file.name.removeprefix(f"{path.name}.") for file in path.parent.iterdir())
    return sorted(int(end) for end in ends if end.isdecimal())


def _this_process() -> dict[str, Any]:
    """Who this is; `processes` tells containers apart that share a host's name."""
    try:
        processes = os.readlink("/proc/self/ns/pid")
    except OSError:
        processes = ""
    return {"host": socket.gethostname(), "processes": processes, "pid": os.getpid()}


def _owner(file: Path) -> dict[str, Any] | None:
    """What a lease file says; None while it is being written, or if it is gone."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _is_running(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        # A killed process that its parent has not noticed yet is there still, as a zombie.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in ("Z", "X")
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
