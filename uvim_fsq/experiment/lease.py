"""Leases: which worker does which job, by files that any number of machines share.

A lease is a file `NAME.GENERATION` that only one process can have made (`O_EXCL`); the highest
generation counts. Its owner touches it every so often, and marks it when it gives it back. One that
is marked, that was not touched for long, or whose process is gone from this machine is free, and
whoever makes the next generation first has it. Generations never come again, so that who has looked
at an old one can make none that counts. No crash leaves a lease held for good.

A process that was suspended for so long that another took over ends itself within a second of waking;
in that second the lock of the run (`build.run_lock`) keeps the two apart.
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

from uvim_fsq.files import write_text

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
        if last and not is_free(_file(path, last[0]), stale_after):
            return None
        generation = last[0] + 1 if last else 0
        owner = _this_process() | {"token": uuid.uuid4().hex, "since": time.time()}
        mine = _file(path, generation)
        try:
            with open(mine, "x") as file:
                json.dump(owner, file, allow_nan=False)
        except FileExistsError:
            return None
        others = [each for each in _generations(path) if each != generation]
        if any(other > generation for other in others):
            # Several have had it since this one looked, and removed what it made anew.
            mine.unlink(missing_ok=True)
            return None
        for older in others:
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
            text = json.dumps({"token": self._token, "free": True}, allow_nan=False)
            write_text(_file(self._path, self._generation), text)

    def is_mine(self) -> bool:
        """Whether nobody took it over, as happens to a process that was suspended for long."""
        owner = _owner(_file(self._path, self._generation))
        return owner is not None and owner.get("token") == self._token

    def _touch(self, beat: float) -> None:
        last = time.time()
        while not self._stop.wait(min(beat, 1.0)):
            # By the clock on the wall, which goes on while the machine sleeps.
            if 0 <= time.time() - last < beat:
                continue
            last = time.time()
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


def is_free(
    file: Path, stale_after: float | int, clock: Callable[[], float] = time.time
) -> bool:
    """Whether the owner of a lease file gave it back, is gone, or has been silent for too long."""
    owner, here = _owner(file), _this_process()
    if owner and owner.get("free"):
        return True
    same = ("host", "boot", "processes")
    if owner and here["boot"] and all(owner.get(n) == here[n] for n in same):
        if _started(int(owner["pid"])) != owner["started"]:
            return True
    try:
        return clock() - file.stat().st_mtime > stale_after
    except FileNotFoundError:  # Of an older generation by now.
        return False


def _file(path: Path, generation: int) -> Path:
    return path.with_name(f"{path.name}.{generation}")


def _generations(path: Path) -> list[int]:
    ends = (file.name.removeprefix(f"{path.name}.") for file in path.parent.iterdir())
    return sorted(int(end) for end in ends if end.isdecimal())


def _this_process() -> dict[str, Any]:
    """Who this is.

    `boot` tells machines apart that share a host's name, and is empty where it cannot be known: then
    silence alone tells that a process is gone. `processes` tells containers of one machine apart.
    """
    boot, processes = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        processes = os.readlink("/proc/self/ns/pid")
    pid = os.getpid()
    host = socket.gethostname()
    return {
        **{"host": host, "boot": boot, "processes": processes},
        **{"pid": pid, "started": _started(pid)},
    }


def _owner(file: Path) -> dict[str, Any] | None:
    """What a lease file says; None while it is being written, or if it is gone."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _started(pid: int) -> int | None:
    """When a process of this machine began, in ticks since its boot; None if it is gone.

    Another process may have got its number meanwhile, but began at another time.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A killed process that its parent has not noticed yet is there still, as a zombie.
        return None if fields[0] in ("Z", "X") else int(fields[19])
    return None
