"""A stage of a run is trained by one process at a time, by a lock that ends with its process.

`flock` on a file: the system gives the lock back however the process ends, and network file systems
that know of it keep it between machines too. Stages are locked one by one, since stage IIs of several
seeds may be trained side by side. Reading needs no lock: a run in training can be evaluated.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from uvim_fsq.errors import ConfigError


class RunInUse(ConfigError):
    """Another process trains what this one was to train."""


@contextlib.contextmanager
def locked(run: Path, stages: Iterable[str]) -> Iterator[None]:
    """Holds the locks of stages of a run, such as `stage1`; the folder is made.

    Raises:
      RunInUse: if another process has one of them.
    """
    run.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for stage in stages:
            stack.enter_context(_lock(run, stage))
        yield


def check_free(run: Path, stage: str) -> None:
    """Raises RunInUse if a process trains this stage now; writes nothing."""
    with contextlib.suppress(FileNotFoundError), _file(run, stage).open() as file:
        if not _try(file, run, exclusive=False):
            raise RunInUse(_sentence(run, stage))


@contextlib.contextmanager
def _lock(run: Path, stage: str) -> Iterator[None]:
    with _file(run, stage).open("a+") as file:
        if not _try(file, run, exclusive=True):
            raise RunInUse(_sentence(run, stage))
        file.truncate(0)
        file.write(json.dumps(_this_process(), allow_nan=False))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _try(file: IO[str], run: Path, *, exclusive: bool) -> bool:
    """Whether the lock could be had; it goes with the file's closing."""
    try:
        import fcntl
    except ImportError:  # Not a Unix.
        _say_unlocked(run, "this system has no flock")
        return True
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # A file system that has no locks.
        _say_unlocked(run, error.strerror or str(error))
    return True


def _say_unlocked(run: Path, reason: str) -> None:
    print(
        f"{run} cannot be locked ({reason}): see to it that no other process trains there"
    )


def _sentence(run: Path, stage: str) -> str:
    name = stage.replace("stage1", "stage I").replace("stage2_seed_", "stage II, seed ")
    return (
        f"{run} is being trained ({name}) by {_holder(_file(run, stage))}: wait until it ends or stop "
        "it, or choose another --output.directory"
    )


def _holder(file: Path) -> str:
    """Who holds a lock; what is written in it is a line of JSON, or nothing yet."""
    try:
        owner = json.loads(file.read_text())
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        return f"process {owner['pid']} on {owner['host']} since {began}"
    except (OSError, ValueError, KeyError):
        return "another process"


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}


def _file(run: Path, stage: str) -> Path:
    return run / f".{stage}.lock"
