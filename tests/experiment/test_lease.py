"""Leases: one holder at a time, and none for good."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

from uvim_fsq.experiment import lease as module
from uvim_fsq.experiment.lease import Lease, is_free


def _file(path, generation=0):
    return path.with_name(f"{path.name}.{generation}")


def test_only_one_holds_it_until_it_is_released(tmp_path):
    path = tmp_path / "leases" / "job"
    lease = Lease.take(path)
    assert lease is not None and lease.is_mine()
    assert Lease.take(path) is None
    with lease:
        assert Lease.take(path) is None
    # A generation that has been never comes again: see below.
    assert [file.name for file in path.parent.iterdir()] == ["job.0"]
    again = Lease.take(path)
    assert again is not None
    with again:
        assert [file.name for file in path.parent.iterdir()] == ["job.1"]


def test_names_that_begin_alike_are_different_leases(tmp_path):
    with Lease.take(tmp_path / "job"), Lease.take(tmp_path / "job.1-x"):
        assert Lease.take(tmp_path / "job") is None


def test_a_silent_owner_loses_it(tmp_path):
    path = tmp_path / "job"
    _file(path).write_text(json.dumps({"host": "far", "pid": 1, "token": "t"}))
    assert Lease.take(path) is None
    old = time.time() - 700
    os.utime(_file(path), (old, old))
    assert is_free(_file(path), 600) and not is_free(_file(path), 800)
    lease = Lease.take(path)
    assert lease is not None
    assert not _file(path, 0).exists() and _file(path, 1).exists()
    with lease:
        assert Lease.take(path) is None


def _until(holds):
    """Waits for what another thread is about to do, however busy the machine is."""
    for _ in range(6000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it was not done within a minute")


def test_who_looked_at_an_old_one_gets_none(tmp_path, monkeypatch):
    """Between a look and a take others had it and gave it back, or have it still."""
    path = tmp_path / "job"
    _file(path).write_text(json.dumps({"host": "far", "pid": 1, "token": "t"}))
    os.utime(_file(path), (0, 0))
    for taken in (1, 2):  # Generation 1 is there; then it is gone, and 2 counts.
        held = []

        def look(file, stale_after, held=held, taken=taken):
            monkeypatch.undo()
            for _ in range(taken):
                held.append(Lease.take(path))
                held[-1].__exit__(None, None, None)
            held.append(Lease.take(path))
            return True

        monkeypatch.setattr(module, "is_free", look)
        assert Lease.take(path) is None
        assert held[-1].is_mine()
        assert len(list(path.parent.iterdir())) == 1
        held[-1].__exit__(None, None, None)


def test_a_machine_of_the_same_name_is_another(tmp_path):
    """Its processes' numbers say nothing here; the first name space is called the same everywhere."""
    path = tmp_path / "job"
    owner = module._this_process() | {"pid": 2**22 + 1, "started": 5, "token": "t"}
    for boot, free in ((owner["boot"], True), ("another", False), (None, False)):
        _file(path).write_text(json.dumps(owner | {"boot": boot}))
        assert is_free(_file(path), 600) is free
    # Its number went to another process.
    _file(path).write_text(json.dumps(owner | {"pid": os.getpid()}))
    assert is_free(_file(path), 600)
    _file(path).write_text(json.dumps(module._this_process() | {"token": "t"}))
    assert not is_free(_file(path), 600)


def test_a_machine_without_a_boot_id_goes_by_silence(tmp_path, monkeypatch):
    path = tmp_path / "job"
    nobody = {"host": "here", "boot": "", "processes": "", "pid": 1, "started": None}
    monkeypatch.setattr(module, "_this_process", lambda: nobody)
    _file(path).write_text(json.dumps(nobody | {"token": "t"}))
    assert not is_free(_file(path), 600) and is_free(_file(path), -1)


def test_a_living_owner_keeps_it_however_long_the_work(tmp_path):
    path = tmp_path / "job"
    with Lease.take(path, stale_after=0.5):
        for _ in range(3):
            os.utime(_file(path), (0, 0))
            _until(lambda: _file(path).stat().st_mtime > 0)
    with Lease.take(path, stale_after=60):
        assert Lease.take(path, stale_after=60) is None


def test_an_owner_that_lost_it_leaves_the_new_ones_alone(tmp_path):
    path = tmp_path / "job"
    with Lease.take(path) as lease:
        _file(path).unlink()
        _file(path, 1).write_text(json.dumps({"host": "far", "pid": 1, "token": "t"}))
        assert not lease.is_mine()
    assert _file(path, 1).exists()


OWNER = """
import pathlib, sys, time
from uvim_fsq.experiment.lease import Lease
lease = Lease.take(pathlib.Path(sys.argv[1]), stale_after=float(sys.argv[2]))
print("taken", flush=True)
time.sleep(60)
"""


def _owner_process(path, stale_after):
    command = [sys.executable, "-c", OWNER, str(path), str(stale_after)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "taken"
    return process


def test_a_killed_owner_on_this_machine_loses_it_at_once(tmp_path):
    path = tmp_path / "job"
    with _owner_process(path, 600) as process:
        assert Lease.take(path) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    lease = Lease.take(path)
    assert lease is not None
    with lease:
        pass


def test_an_owner_that_slept_too_long_ends_when_it_wakes(tmp_path):
    path = tmp_path / "job"
    with _owner_process(path, 2) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        with Lease.take(path, stale_after=2):
            process.send_signal(signal.SIGCONT)
            assert process.wait(timeout=600) == 75
            assert "another worker took over job" in process.stderr.read()
            assert Lease.take(path, stale_after=2) is None


def test_who_lost_it_is_told_once_and_leaves_the_new_owner_alone(tmp_path):
    path, told = tmp_path / "job", []
    with Lease.take(path, stale_after=0.5, on_loss=told.append):
        _file(path).unlink()
        _file(path, 1).write_text(json.dumps({"host": "far", "pid": 1, "token": "t"}))
        before = _file(path, 1).stat().st_mtime
        _until(lambda: told)
        time.sleep(0.2)
    assert told == [path] and _file(path, 1).stat().st_mtime == before


def _race(path, start, results):
    start.wait()
    lease = Lease.take(path)
    if lease is not None:
        results.put(os.getpid())
        time.sleep(2)


def test_of_many_that_take_over_at_once_one_wins(tmp_path):
    path = tmp_path / "job"
    context = multiprocessing.get_context("spawn")
    _file(path).write_text(json.dumps({"host": "far", "pid": 1, "token": "t"}))
    os.utime(_file(path), (0, 0))
    start, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_race, args=(path, start, results)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    results.put(None)
    assert len(list(iter(results.get, None))) == 1
