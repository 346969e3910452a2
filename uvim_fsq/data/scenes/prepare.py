"""Fills the cache of scenes with several processes, showing how far it is."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import uvim_fsq
from uvim_fsq.data.scenes.cache import Shard, Stream, check_space
from uvim_fsq.errors import DataError

_SECONDS_WORTH_PROCESSES = 1.0
_SECONDS_BETWEEN_LINES = 10.0


def prepare_scenes(stream: Stream, count: int, workers: int | None = None) -> None:
    """Renders what the cache lacks of the first `count` scenes of a stream.

    `workers` processes (default: one for each core that this process may use; none for work of
    a second) render one shard after another. It may be killed and started again, and several may
    run at once: whole shards are kept. Raises `DataError` where the disk is full.
    """
    missing = [shard for shard in stream.shards(count) if not shard.is_whole()]
    if not missing:
        return
    check_space(stream, missing)
    total = sum(shard.stop - shard.first for shard in missing)
    if workers is None:
        workers = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        )
        workers = workers or os.cpu_count() or 1
        seconds = total * (2e-3 + 0.8e-6 * stream.size[0] * stream.size[1])
        if seconds < _SECONDS_WORTH_PROCESSES:
            workers = 1
    # Two preparations at once take different ways through the work and share it thereby.
    random.shuffle(missing)
    with _progress(total, stream) as report:
        if min(workers, len(missing)) <= 1:
            for shard in missing:
                shard.write(report)
        else:
            _Team(missing, report).run(min(workers, len(missing)))


class _Team:
    """Processes that work through a list of shards, each driven by a thread."""

    def __init__(self, shards: list[Shard], report: Callable[[int], None]):
        self.shards = shards
        self.report = report
        self.lock = threading.Lock()
        self.processes: list[subprocess.Popen] = []
        self.failure: Exception | None = None

    def run(self, workers: int) -> None:
        """Renders all shards; raises the first failure after ending every process."""
        threads = [threading.Thread(target=self._drive) for _ in range(workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException:
            self._stop(None)
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self.failure is not None:
            raise self.failure

    def _stop(self, failure: Exception | None) -> None:
        with self.lock:
            self.failure = self.failure or failure
            self.shards.clear()
            for process in self.processes:
                process.terminate()

    def _start(self) -> subprocess.Popen:
        root = str(Path(uvim_fsq.__file__).resolve().parent.parent)
        paths = [root, os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-P", "-m", "uvim_fsq.data.scenes.worker"]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def _drive(self) -> None:
        """Gives shards to one process until there are none."""
        try:
            with self.lock:
                process = self._start()
                self.processes.append(process)
            with process:
                try:
                    while (shard := self._next()) is not None:
                        self._render(process, shard)
                except Exception as error:
                    self._stop(error)
        except Exception as error:
            self._stop(error)

    def _next(self) -> Shard | None:
        with self.lock:
            return self.shards.pop() if self.shards else None

    def _render(self, process: subprocess.Popen, shard: Shard) -> None:
        """Has a process render one shard, and passes on how far it is."""
        stream = shard.stream
        job = {
            "cache_dir": str(stream.cache_dir.absolute()),
            "seed": stream.seed,
            "split": stream.split,
            "size": stream.size,
            "first": shard.first,
            "stop": shard.stop,
        }
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(job, allow_nan=False) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            if "error" in message:
                raise DataError(message["error"])
            if "done" in message:
                return
            self.report(message["rendered"])
        raise RuntimeError(
            f"a process that renders scenes ended with status {process.wait()} before its work "
            "was done (out of memory, or killed?); start again: finished work is kept"
        )


@contextmanager
def _progress(total: int, stream: Stream):
    """Yields `report(number)`: a bar on a terminal, a line now and then elsewhere."""
    h, w = stream.size
    title = f"Rendering {total} {stream.split} scenes of {h} x {w}"
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda number: bar.advance(task, number)
        return
    start = last = time.monotonic()
    done = 0
    lock = threading.Lock()

    def report(number: int) -> None:
        nonlocal done, last
        with lock:
            done += number
            now = time.monotonic()
            if now - last < _SECONDS_BETWEEN_LINES:
                return
            last = now
            left = (now - start) / done * (total - done) if done else 0.0
            print(
                f"{title}: {done} done, {left:.0f} s left", file=sys.stderr, flush=True
            )

    print(f"{title} into {stream.folder}", file=sys.stderr, flush=True)
    yield report
