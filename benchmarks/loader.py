"""How fast the loader makes training batches of a source, and what the time goes into.

Rates are those of `training_batches` itself, with so many threads and nothing else at work. Shares
are of processor time, which other programs on the machine take less from than time by the clock:
while one thread loads, every call of a function that belongs to a step switches the clock to that
step, until it returns.
"""

import contextlib
import inspect
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from types import CodeType, FrameType
from typing import Any

from uvim_fsq.data import depth_files, images, transforms
from uvim_fsq.data import loader as pipeline
from uvim_fsq.data.base import Source
from uvim_fsq.data.coco import png
from uvim_fsq.data.folders import nyu_h5
from uvim_fsq.data.packed import record
from uvim_fsq.data.packed import source as records
from uvim_fsq.fields import Size
from uvim_fsq.settings import (
    CocoConfig,
    ConfigError,
    DataConfig,
    FolderConfig,
    PicturesConfig,
    RecordsConfig,
    ScenesConfig,
    TfdsConfig,
)
from uvim_fsq.tasks.base import Task, example_transform
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.panoptic import canonical
from uvim_fsq.tasks.panoptic.task import PanopticTask

KINDS = ("scenes", "folder", "coco", "pictures", "records", "tfds")
SCENES = 256
"""Built-in scenes that the loader is measured on: enough, and soon rendered."""
OTHER = "other"

_FOLDERS = {
    "folder": FolderConfig,
    "coco": CocoConfig,
    "pictures": PicturesConfig,
    "records": RecordsConfig,
}
_FUNCTIONS: dict[str, tuple[Callable, ...]] = {
    "read": (
        images.read_whole_file,
        nyu_h5.read_frame,  # which has nothing to decode
        records.Records._read,
    ),
    "decode image": (images.read_image, record.decode_jpeg),
    "decode labels": (
        depth_files.read_stored_depth,
        png.read_ids,
        record.decode_record,
    ),
    "crop, flip": (
        transforms.random_crop_box,
        transforms.crop,
        transforms.flip_horizontal,
    ),
    "resize": (
        transforms.resize_bilinear,
        transforms.resize_labels,
        transforms.resize_area,
    ),
    "number": (
        canonical.find_segments,
        canonical.canonical_numbers,
        canonical.keep_largest,
    ),
    "grey": (transforms.to_gray,),
    "stack": (pipeline._stack,),
}
STEPS = (
    *("read", "decode image", "decode labels", "rest of source", "crop, flip"),
    *("resize", "number", "grey", "rest of task", "encode", "stack", OTHER),
)
"""Parts of the loader's work. "rest" is what a source or a task does between the named ones."""


def open_source(spec: str) -> Source:
    """The training part of `KIND=PLACE`: a folder; the pixels of a side for scenes; for TFDS the
    dataset's name, and after an @ where it is, as in `tfds=nyu_depth_v2@/data/tfds`.

    Raises `ConfigError` for another kind, `DataError` for data that cannot be used.
    """
    kind, _, place = spec.partition("=")
    config: DataConfig
    if kind in _FOLDERS and place:
        config = _FOLDERS[kind](path=place)
    elif kind == "scenes" and place.isdecimal():
        config = ScenesConfig(size=(int(place), int(place)), train_count=SCENES)
    elif kind == "tfds" and place:
        name, _, data_dir = place.partition("@")
        config = TfdsConfig(name=name, data_dir=data_dir)
    else:
        raise ConfigError(
            f"expected KIND=PLACE with a KIND of {', '.join(KINDS)}, such as folder=my_frames or "
            f"scenes=128, found {spec!r}."
        )
    return config.open("train")


def tasks_for(source: Source, image_size: Size) -> dict[str, Task]:
    """The tasks that a source has labels for; colorization where it has none."""
    example = source[0]
    tasks: dict[str, Task] = {}
    if "depth" in example:
        tasks["depth"] = DepthTask(image_size, crop="none")
    if "panoptic" in example:
        tasks["panoptic"] = PanopticTask(source.categories, image_size)
    return tasks or {"colorization": ColorizationTask(image_size)}


def measure(
    source: Source,
    task: Task,
    threads: Sequence[int] = (1, 2),
    batch_size: int = 16,
    seconds: float = 3.0,
    rounds: int = 3,
) -> dict[str, Any]:
    """Rates by number of threads, and processor time by step.

    `threads`: for each number `examples_per_second`, the same for each second of processor time
    (`examples_per_cpu_second`, what one core does), and `cpu_ms`, milliseconds of that an example;
    medians over `rounds` of `seconds` each. `shares`: of the steps, adding up to 1.
    """
    transform = example_transform(task, train=True)

    def batches(count: int) -> Iterator:
        return pipeline.training_batches(
            source, transform, batch_size=batch_size, seed=0, threads=count
        )

    timings: dict[int, list[tuple[float, float]]] = {count: [] for count in threads}
    for _, count in itertools.product(range(rounds), threads):
        timings[count].append(_rates(batches(count), seconds))
    rates = {}
    for count, pairs in timings.items():
        wall, cpu = (median(values) for values in zip(*pairs, strict=True))
        rates[str(count)] = {
            "examples_per_second": wall,
            "examples_per_cpu_second": cpu,
            "cpu_ms": 1e3 / cpu,
        }
    return {
        "examples": len(source),
        "image_size": list(task.image_size),
        "batch_size": batch_size,
        "threads": rates,
        "shares": _shares(lambda: batches(1), _codes(source, task), seconds),
    }


def _rates(batches: Iterator, seconds: float) -> tuple[float, float]:
    """Examples a second, by the clock and of processor time."""
    with contextlib.closing(batches):  # type: ignore[arg-type]
        for _ in range(3):  # These were made while nobody waited.
            next(batches)
        examples, cpu, start = 0, time.process_time(), time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            examples += len(next(batches)["index"])
        return examples / elapsed, examples / (time.process_time() - cpu)


def _codes(source: Source, task: Task) -> dict[CodeType, str]:
    """The step that a function's code begins."""
    functions = {
        **_FUNCTIONS,
        "rest of source": (type(source).__getitem__,),
        "rest of task": (type(task).preprocess,),
        "encode": (type(task).encode,),
    }
    return {
        inspect.unwrap(function).__code__: step
        for step, several in functions.items()
        for function in several
    }


def _shares(
    start: Callable[[], Iterator], codes: Mapping[CodeType, str], seconds: float
) -> dict[str, float]:
    """The shares of the steps in the work of the loader's one thread."""
    clock = _StepClock(codes)
    threading.setprofile(clock)
    try:
        batches = start()
        next(batches)  # The thread is there now, with the clock.
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    with contextlib.closing(batches):  # type: ignore[arg-type]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            next(batches)
        spent = Counter(clock.spent)
    total = spent.total()
    return {step: spent[step] / total for step in STEPS}


class _StepClock:
    """A profile function of one thread that adds up processor time by step."""

    def __init__(self, codes: Mapping[CodeType, str]):
        self.spent: Counter[str] = Counter()
        self._codes = codes
        self._steps = [OTHER]
        self._last: int | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event not in ("call", "return"):
            return
        now = time.thread_time_ns()
        step = self._steps[-1]
        if self._last is not None:
            self.spent[step] += now - self._last
        if event == "call":
            self._steps.append(self._codes.get(frame.f_code, step))
        elif len(self._steps) > 1:
            self._steps.pop()
        # What this function takes counts nowhere.
        self._last = time.thread_time_ns()


def rows(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A table of results that have a `source` and a `task`: rates, then milliseconds by step.

    The milliseconds are shares of those that an example takes one thread.
    """
    counts = list(results[0]["threads"])
    steps = [step for step in STEPS if any(r["shares"][step] > 0 for r in results)]
    head = ["source", "task", "size"]
    head += [f"/s x{count}" for count in counts] + ["/CPU s", "CPU ms", *steps]
    table = [tuple(head)]
    for result in results:
        rates = result["threads"]
        first = rates[counts[0]]
        cells = [result["source"], result["task"], str(result["image_size"][0])]
        cells += [f"{rates[count]['examples_per_second']:,.0f}" for count in counts]
        cells += [f"{first['examples_per_cpu_second']:,.0f}", f"{first['cpu_ms']:.2f}"]
        cells += [_cell(result["shares"][step] * first["cpu_ms"]) for step in steps]
        table.append(tuple(cells))
    return table


def _cell(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds >= 0.005 else ""
