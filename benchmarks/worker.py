"""The process that one part is measured in: its memory and its compiled programs are its own.

It is told what to do by lines of JSON on its standard input and answers with lines of JSON:

    {"part": "stage1", "case": {...}, "cache": "DIRECTORY"} -> device, images, flops, first call
    {"repeats": 3}                                          -> seconds of a call, wall and CPU
    (end of input)                                          -> peak memory
"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.case import Case


def serve(requests: Iterator[str], tell: Callable[[dict], None]) -> None:
    """Answers every request, a line of JSON; the first names the part."""
    job = json.loads(next(requests))
    # Nothing slow is imported before here: a process that waits takes no memory.
    import jax

    from benchmarks.parts import PARTS, Setting
    from uvim_fsq.training.compilation_cache import enable_compilation_cache

    enable_compilation_cache(job["cache"])
    part = PARTS[job["part"]](Setting(Case.from_dict(job["case"])))
    first, second = part.run(1), part.run(1)
    tell(
        dict(
            device=describe_device(),
            versions={"jax": jax.__version__, "python": sys.version.split()[0]},
            images=part.images,
            flops=part.flops,
            dtype=part.dtype,
            second_call=second.wall,
            compile_s=max(0.0, first.wall - second.wall),
            compile_cpu_s=max(0.0, first.cpu - second.cpu),
        )
    )
    for line in requests:
        tell(dataclasses.asdict(part.run(json.loads(line)["repeats"])))
    tell(peak_memory())


def describe_device() -> dict[str, Any]:
    """Kind and number of the devices, and the host's cores."""
    import jax

    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def peak_memory() -> dict[str, int | None]:
    """Most bytes that this process had in memory, and that it took on its first device."""
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return {"host_bytes": _host_peak(), "device_bytes": stats.get("peak_bytes_in_use")}


def _host_peak() -> int | None:
    # The kernel's own counter first: `ru_maxrss` survives exec, so that a process started by a
    # large one would begin with that one's peak.
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import resource

        factor = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor
    return None


if __name__ == "__main__":
    # Answers keep the real standard output to themselves; what else is printed goes to errors.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(
        sys.stdin,
        lambda answer: print(
            json.dumps(answer, allow_nan=False), file=stdout, flush=True
        ),
    )
