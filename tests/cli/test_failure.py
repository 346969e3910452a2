"""What a person reads when a command ends early: one sentence, last."""

import errno
import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from uvim_fsq.cli.failure import DEBUG, explained
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.training.checkpoint import CheckpointError
from uvim_fsq.training.hooks import HookError
from uvim_fsq.training.loop import NotFiniteError
from uvim_fsq.training.signals import Interrupted

FULL = OSError(errno.ENOSPC, "No space left on device", "run/x")


@pytest.fixture(autouse=True)
def _temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DEBUG, raising=False)


def _fail(error):
    def work():
        raise error

    return work


def _from(cause):
    error = HookError("evaluate", 3, cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (BrokenFileError("a.png", "is cut off"), 2, "a.png: is cut off."),
        (CheckpointError("step 4 is not written"), 2, "step 4 is not written."),
        (DataError("d: 2 broken:\n  a\n  b"), 2, "d: 2 broken."),
        (Interrupted(15, 7), 143, "stopped by SIGTERM after step 7"),
        (Interrupted(2, 7), 130, "stopped by SIGINT after step 7"),
        (KeyboardInterrupt(), 130, "stopped."),
        (NotFiniteError("the loss is nan"), 1, "the loss is nan."),
        (FULL, 2, "run/x: the disk is full: free some space"),
        (PermissionError(errno.EACCES, "denied", "/x"), 2, "/x: permission denied"),
        (NotADirectoryError(errno.ENOTDIR, "not", "x/y"), 2, "x/y: a file stands"),
        (OSError(errno.EIO, "Input/output error", "x"), 2, "x: Input/output error."),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, "what reads the output"),
        (MemoryError("Unable to allocate 9 TiB"), 2, "memory is exhausted (Unable"),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nx"),
            2,
            "the device's memory is exhausted (RESOURCE_EXHAUSTED: Out of memory "
            "allocating 9 bytes.): take more --stage1.micro-batches",
        ),
        (_from(FULL), 2, "the hook 'evaluate' failed at step 3: run/x: the disk is"),
        (_from(DataError("no\n a")), 2, "the hook 'evaluate' failed at step 3: no."),
    ],
)
def test_the_foreseen(capsys, error, code, message):
    assert explained(_fail(error)) == code
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith(f"uvim-fsq: {message}")
    assert before == str(error).splitlines()[1:] if type(error) is DataError else True
    assert last.endswith((".", "?", "!"))


@pytest.mark.parametrize("error", [ValueError("a\nbug"), _from(KeyError("a\nbug"))])
def test_the_traceback_of_the_unforeseen_lies_in_a_file(capsys, error):
    assert explained(_fail(error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert type(error).__name__ in line and "bug" in line and "please report" in line
    (path,) = re.findall(r"what (\S+) says\.$", line)
    assert "Traceback" in Path(path).read_text() and __file__ in Path(path).read_text()


def test_the_traceback_is_printed_where_no_file_can_be_written(capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    assert explained(_fail(ValueError("a bug"))) == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Traceback") and last.startswith("uvim-fsq: ValueError: a")


@pytest.mark.parametrize("error", [ValueError("a bug"), DataError("bad data"), FULL])
def test_debugging_prints_tracebacks(capsys, monkeypatch, error):
    monkeypatch.setenv(DEBUG, "1")
    assert explained(_fail(error)) == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("Traceback") and last.startswith("uvim-fsq: ")


def _python(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


NOISY = """
import atexit, logging, sys, threading, time
import uvim_fsq.cli.commands as commands
from uvim_fsq.cli.main import main
from uvim_fsq.settings import ConfigError

def late():
    time.sleep(0.2)
    print("a thread", file=sys.stderr)
    raise ValueError("in a thread")

def config(*_):
    threading.Thread(target=late).start()
    atexit.register(lambda: print("at exit", file=sys.stderr))
    raise ConfigError("this is the sentence")

commands.config = config
sys.argv = ["uvim-fsq", "config", "depth"]
sys.exit(main())
"""


def test_nothing_follows_the_sentence():
    process = _python(NOISY)
    assert process.communicate()[1] == "uvim-fsq: this is the sentence.\n"
    assert process.returncode == 2


WAITING = """
import signal, sys, time
# A shell has what it starts in the background ignore Ctrl-C, and these tests with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from uvim_fsq.cli.failure import explained

def work():
    print("ready", flush=True)
    time.sleep(60)

sys.exit(explained(work))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_wherever_it_comes(number):
    process = _python(WAITING)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert re.fullmatch(r"uvim-fsq: stopped( by SIGTERM)?\.\n", said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_an_import_made_another_error_of(number):
    """As an extension module's start does, which tells nothing of the cause."""
    program = WAITING.replace(
        """    print("ready", flush=True)
    time.sleep(60)""",
        """    try:
        print("ready", flush=True)
        time.sleep(60)
    except BaseException:
        pass
    raise ImportError("numpy._core.multiarray failed to import")""",
    )
    process = _python(program)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert (process.returncode, said) == (128 + number, "uvim-fsq: stopped.\n")


@pytest.mark.parametrize("words", [["config", "depth"], ["train", "--help"]])
def test_a_reader_that_closes_the_output(words):
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "uvim_fsq", *words], stdout=write, stderr=-1, text=True
    )
    os.close(write)
    assert process.returncode == 141
    assert process.stderr == (
        "uvim-fsq: what reads the output closed it before its end.\n"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_onto_a_full_disk():
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "uvim_fsq", "config", "depth"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 2
    assert process.stderr.startswith("uvim-fsq: the disk is full")
    assert process.stderr.count("\n") == 1


def test_errors_of_threads_of_libraries_are_not_printed(monkeypatch):
    """TensorStore's name no object; what a destructor raises does."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)

    def work():
        sys.unraisablehook(types.SimpleNamespace(object=None))
        sys.unraisablehook(types.SimpleNamespace(object=work))

    assert explained(work) == 0
    assert [each.object for each in seen] == [work]
    assert sys.unraisablehook == seen.append


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    process = subprocess.run(
        [sys.executable, "-m", "uvim_fsq", "train", "depth", "--preset", "tiny"],
        env={**os.environ, "UVIM_FSQ_CACHE": str(tmp_path / "file")},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.returncode == 2
    assert process.stderr.startswith("uvim-fsq: the cache directory")
    assert process.stderr.count("\n") == 1


def test_warnings_look_like_other_lines(tmp_path):
    """Whichever library logs first gives a program without a format one of its own."""
    for name, values in (("rgb", np.uint8), ("depth", np.uint16)):
        (tmp_path / "frames" / name).mkdir(parents=True)
        for i in range(3):
            file = tmp_path / "frames" / name / f"{i}.png"
            cv2.imwrite(str(file), np.zeros((16, 16), values))
    (tmp_path / "frames" / "notes.txt").touch()
    (tmp_path / "frames" / "rgb" / "notes.txt").touch()
    program = "import sys; from uvim_fsq.cli.main import main; sys.exit(main())"
    words = "train depth --preset tiny --source folder --data.path frames"
    done = subprocess.run(
        [sys.executable, "-c", program, *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    assert "WARNING: frames: passed by 1 entry: 1 .txt in rgb/" in lines, lines
    assert lines[-1].startswith("uvim-fsq: depth of train"), lines
