"""What a person reads when a command ends early: one sentence, last, on stderr.

Nothing slow is imported here.
"""

import contextlib
import errno
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType

DEBUG = "UVIM_FSQ_DEBUG"
"""Environment variable: if it is set, tracebacks are printed before the sentence."""

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes, 128 + the signal, as shells give them."""

_MEMORY = "RESOURCE_EXHAUSTED"
_OS_ERRORS = {
    errno.ENOSPC: "the disk is full: free some space, then start the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then start the same command again",
    errno.EFBIG: "the file would be larger than the system's limit allows: raise it (ulimit -f)",
    errno.EACCES: "permission denied: choose another place, or have its permissions changed",
    errno.EPERM: "permission denied: choose another place, or have its permissions changed",
    errno.EROFS: "what lies there can only be read: choose another place",
    errno.ENOENT: "there is no such file or folder",
    errno.EEXIST: "is there already: choose another name",
    errno.ENOTDIR: "a file stands where a folder was expected: choose another place",
    errno.EISDIR: "is a folder, where a file was expected",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
}


class Terminated(BaseException):
    """SIGTERM came where nothing else awaits it."""


def explained(work: Callable[[], None]) -> int:
    """Does some work; whatever ends it early becomes one sentence on stderr.

    Returns the exit code. 0: done. 128 + signal: interrupted, or the reader of the output has gone.
    1: the work was done and ended badly (a loss that is not finite, scores that differ). 2: all else.
    The traceback of what nobody has foreseen goes to a file that the sentence names.
    """
    asked: list[int] = []
    try:
        with _terminable(asked), _quiet_threads():
            _do(work)
    except KeyboardInterrupt:
        return _say("stopped.", INTERRUPTED)
    except Terminated:
        return _say("stopped by SIGTERM.", 128 + signal.SIGTERM)
    except BrokenPipeError:
        return _say("what reads the output closed it before its end.", BROKEN_PIPE)
    except Exception as error:
        known = _known(error)
        if known is None and asked:  # An import that is ended says anything.
            return _say("stopped.", 128 + asked[0])
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
        if known is None:
            return _say(_unforeseen(error), 2)
        *details, sentence = _lines(error)
        print(*details, sep="\n", end="\n" if details else "", file=sys.stderr)
        return _say(sentence, getattr(known, "exit_code", 2))
    return 0


def _do(work: Callable[[], None]) -> None:
    """With what is printed on its way before it counts as done."""
    try:
        work()
    except SystemExit:  # argparse, after --help.
        print(end="", flush=True)
        raise
    print(end="", flush=True)


def silence() -> None:
    """What threads and libraries still write while the process ends is not shown.

    For a program that has said its last sentence.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def _say(sentence: str, code: int) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(f"uvim-fsq: {sentence}", file=sys.stderr, flush=True)
    return code


@contextlib.contextmanager
def _terminable(asked: list[int]) -> Iterator[None]:
    """SIGTERM leaves as an exception, as Ctrl-C does, so that what is open is closed.

    Either is noted in `asked` too: a library may make another exception of it.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, leave)}
    # Where Ctrl-C is ignored, as in the background of a shell, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet_threads() -> Iterator[None]:
    """TensorStore's own threads print a traceback for each part of a write that failed.

    The write raises as well. They name no Python object; what does is still printed.
    """
    before = sys.unraisablehook

    def hook(failure: "sys.UnraisableHookArgs") -> None:
        if failure.object is not None or os.environ.get(DEBUG):
            before(failure)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _known(error: BaseException | None) -> BaseException | None:
    """The error that a sentence explains, which may be the cause; None if it is unforeseen."""
    if error is None:
        return None
    if isinstance(error, MemoryError) or _MEMORY in str(error):
        return error
    if isinstance(error, OSError) and error.strerror:
        return error
    if type(error).__name__ == "HookError":  # Says where; its cause says what.
        return _known(error.__cause__)
    return error if _is_ours(error) else None


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.startswith("uvim_fsq.")


def _lines(error: BaseException) -> list[str]:
    """Details, if there are any, and in the end the sentence."""
    if type(error).__name__ == "HookError" and error.__cause__:
        *details, sentence = _lines(error.__cause__)
        return [*details, f"{str(error).partition(':')[0]}: {sentence}"]
    if not _is_ours(error):
        system = isinstance(error, OSError)
        return [_sentence(_of_system(error) if system else _out_of_memory(error))]
    text = "; ".join([str(error).rstrip("."), *getattr(error, "__notes__", [])])
    sentence, *details = text.splitlines() or [type(error).__name__]
    return [*details, _sentence(sentence)]


def _sentence(text: str) -> str:
    text = text.rstrip(": ")
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _of_system(error: OSError) -> str:
    what = _OS_ERRORS.get(error.errno or 0, error.strerror or str(error))
    return f"{error.filename}: {what}" if error.filename else what


def _out_of_memory(error: BaseException) -> str:
    place = "memory" if isinstance(error, MemoryError) else "the device's memory"
    reason = (str(error).splitlines() or ["no more was to be had"])[0]
    return (
        f"{place} is exhausted ({_short(reason)}): take more --stage1.micro-batches or "
        "--stage2.micro-batches, --stage1.model.rematerialize everything, or a smaller batch; "
        "`uvim-fsq describe` says what fits"
    )


def _unforeseen(error: Exception) -> str:
    what = _short(" ".join(f"{type(error).__name__}: {error}".split()))
    if os.environ.get(DEBUG):
        return f"{what} was not foreseen: please report it with the lines above."
    try:
        handle, path = tempfile.mkstemp(prefix="uvim-fsq-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        traceback.print_exception(error)
        return f"{what} was not foreseen: please report it with the lines above."
    return f"{what} was not foreseen: please report it with what {path} says."


def _short(text: str, length: int = 300) -> str:
    return text if len(text) <= length else text[:length] + " ..."
