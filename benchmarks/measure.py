"""Measures parts of one or two settings, interleaved with the device's own peak.

Every part runs in a process of its own, held by a pipe and asked for a few calls at a time: A, B,
peak, A, B, peak. What slows the machine down for a while then slows all of them, and ratios hold.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent

Result = dict[str, Any]
"""Plain values, for the table and for JSON."""

ROUND_SECONDS = 0.3
"""Calls are repeated within a round until it lasts about this long."""


class WorkerError(RuntimeError):
    """A measuring process ended before it answered."""


class Worker:
    """A process that measures one part; see `worker.py` for what it is told."""

    def __init__(self, part: str, case: Mapping[str, Any], cache: str):
        self.part = part
        # Several processes share an accelerator here: none may take all of its memory at once.
        environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=_ROOT,
        )
        try:
            self.ready = self.ask(part=part, case=case, cache=cache)
        except WorkerError:
            self.stop()
            raise

    def ask(self, **request: Any) -> Result:
        """Sends a request and waits for its answer."""
        assert self.process.stdin is not None
        try:
            print(
                json.dumps(request, allow_nan=False),
                file=self.process.stdin,
                flush=True,
            )
        except BrokenPipeError:
            pass  # The answer that does not come says it.
        return self._answer()

    def end(self) -> Result:
        """Ends the process; returns its peak memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        answer = self._answer()
        self.stop()
        return answer

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _answer(self) -> Result:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(
                f"measuring {self.part} failed with exit status {self.process.wait()}; its "
                "own message is above"
            )
        return json.loads(line)


@dataclass
class _Runner:
    """A worker with what it has measured."""

    worker: Worker
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def round(self) -> None:
        """A few calls."""
        repeats = math.ceil(ROUND_SECONDS / max(self.worker.ready["second_call"], 1e-4))
        answer = self.worker.ask(repeats=repeats)
        self.wall.append(answer["wall"])
        self.cpu.append(answer["cpu"])


def measure(
    part: str, cases: Sequence[Mapping[str, Any]], rounds: int
) -> tuple[list[Result], Result]:
    """One part of one or two cases: a result for each, and the peak measured between them.

    A result holds times, arithmetic, memory and compile times; see `_summarize`.
    """
    runners: list[_Runner] = []
    peaks: dict[str, _Runner] = {}
    with tempfile.TemporaryDirectory(prefix="uvim_fsq_benchmark") as scratch:
        caches = [str(Path(scratch) / str(i)) for i in range(len(cases))]
        try:
            for case, cache in zip(cases, caches, strict=True):
                runners.append(_Runner(Worker(part, case, cache)))
            dtypes = {runner.worker.ready["dtype"] or "float32" for runner in runners}
            for dtype in sorted(dtypes):
                peak = Worker(f"peak_{dtype}", cases[0], f"{scratch}/peak")
                peaks[dtype] = _Runner(peak)
            everyone = [*runners, *peaks.values()]
            for _ in range(rounds):
                for runner in everyone:
                    runner.round()
            results = [_summarize(runner, peaks) for runner in runners]
            for result, case, cache in zip(results, cases, caches, strict=True):
                if part != "loader" and not part.startswith("peak"):
                    result["compile_cached_s"] = _compile_again(part, case, cache)
        finally:
            for runner in [*runners, *peaks.values()]:
                runner.worker.stop()
    return results, {dtype: _peak_result(peak) for dtype, peak in peaks.items()}


def _compile_again(part: str, case: Mapping[str, Any], cache: str) -> float:
    """Tracing and loading what an earlier process compiled, in seconds."""
    worker = Worker(part, case, cache)
    worker.end()
    return worker.ready["compile_s"]


def _summarize(runner: _Runner, peaks: Mapping[str, _Runner]) -> Result:
    ready = runner.worker.ready
    memory = runner.worker.end()
    seconds = median(runner.wall)
    result: Result = {
        "part": runner.worker.part,
        "dtype": ready["dtype"],
        "device": ready["device"],
        "versions": ready["versions"],
        "images": ready["images"],
        "seconds": seconds,
        "seconds_min": min(runner.wall),
        "seconds_max": max(runner.wall),
        "cpu_seconds": median(runner.cpu),
        "flops": ready["flops"],
        **memory,
    }
    if ready["images"]:
        result["seconds_per_image"] = seconds / ready["images"]
        result["images_per_second"] = ready["images"] / seconds
        result["images_per_cpu_second"] = ready["images"] / result["cpu_seconds"]
    if ready["flops"]:
        result["flops_per_second"] = ready["flops"] / seconds
        peak = peaks[ready["dtype"]]
        work = peak.worker.ready["flops"]
        shares = [
            ready["flops"] / own * best / work
            for own, best in zip(runner.wall, peak.wall, strict=True)
        ]
        result["share_of_peak"] = median(shares)
        if ready["device"]["platform"] == "cpu":
            # Of processor time, which other programs on the machine take less from.
            cpu_peak = work / median(peak.cpu)
            result["cpu_share_of_peak"] = (
                ready["flops"] / result["cpu_seconds"] / cpu_peak
            )
        result["share_of_peak_range"] = [min(shares), max(shares)]
    if runner.worker.part != "loader":
        result |= {name: ready[name] for name in ("compile_s", "compile_cpu_s")}
    result["rounds"] = runner.wall
    return result


def _peak_result(peak: _Runner) -> Result:
    work = peak.worker.ready["flops"]
    return {
        "flops_per_second": work / median(peak.wall),
        "flops_per_second_max": work / min(peak.wall),
    }


def ratio(first: Result, second: Result) -> Result:
    """Time per image of the first over that of the second, round by round."""
    scale = (second["images"] or 1) / (first["images"] or 1)
    ratios = [
        a / b * scale for a, b in zip(first["rounds"], second["rounds"], strict=True)
    ]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}
