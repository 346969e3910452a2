"""The loader: batches of NumPy arrays, decoded and augmented in background threads.

Order, augmentation and sharding are pure functions of (seed, step), so a run continues from its
step number alone. Training draws from one endless stream: position i belongs to epoch `i // n` of
a source of n examples, every epoch is another permutation, and position i has its own random
generator. Step s takes positions `[s * batch_size, (s + 1) * batch_size)`; process p takes the
p-th of `process_count` equal parts of them. The number of threads changes nothing but the speed.

Threads suffice because OpenCV decodes and resizes without holding Python's lock.
"""

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.errors import DataError
from uvim_fsq.types import Example

Batch = dict[str, np.ndarray]
"""What the transform returned, stacked along a first axis `b`, and `mask` (b) bool, False where
an example only fills up the batch, and `index` (b) int32, its place in the source."""

Transform = Callable[[Example, np.random.Generator], dict[str, Any]]
"""Makes the arrays of one example; every example must give the same names, shapes and dtypes."""


class _Item(NamedTuple):
    """An example to load, and what its random generator is made from."""

    index: int
    seed: tuple[int, ...]


_Plan = tuple[list[_Item], list[bool]]
"""The items of a batch, and which of them are real, not padding."""


def training_batches(
    source: Source,
    transform: Transform,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    threads: int | None = None,
    prefetch: int = 2,
) -> Generator[Batch, None, None]:
    """Yield shuffled, augmented batches without end, beginning at `start_step`.

    `batch_size` counts the examples of a step over all processes; each process gets
    `batch_size // process_count` of them. A batch larger than the source spans several epochs.
    `threads` defaults to the CPU cores, `prefetch` is the number of batches made ahead of the one
    in use. Close the
    iterator (`contextlib.closing`) to stop the threads at once; they also stop when it is dropped.
    """
    local = _local_batch_size(len(source), batch_size, process_index, process_count)

    def plan() -> Iterator[_Plan]:
        length, epoch, order = len(source), -1, np.empty(0, np.int64)
        for step in itertools.count(start_step):
            first = step * batch_size + process_index * local
            items = []
            for position in range(first, first + local):
                if position // length != epoch:
                    epoch = position // length
                    order = np.random.default_rng((seed, epoch, 0)).permutation(length)
                items.append(_Item(int(order[position % length]), (seed, position, 1)))
            yield items, [True] * local

    return _load_batches(source, transform, plan(), threads, prefetch)


def evaluation_batches(
    source: Source,
    transform: Transform,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    indices: Sequence[int] | None = None,
    threads: int | None = None,
    prefetch: int = 2,
) -> Generator[Batch, None, None]:
    """Yield every example of the source (or of `indices`) once, in order, in equal batches.

    The last batch is filled up with the last example, `mask` False. All processes get the same
    number of batches, `batches_per_epoch`; together they cover each example once. The generator
    given to the transform depends on the example's index alone.
    """
    chosen = list(range(len(source)) if indices is None else indices)
    local = _local_batch_size(len(chosen), batch_size, process_index, process_count)

    def plan() -> Iterator[_Plan]:
        for step in range(batches_per_epoch(len(chosen), batch_size)):
            first = step * batch_size + process_index * local
            places = range(first, first + local)
            picked = [int(chosen[min(i, len(chosen) - 1)]) for i in places]
            # The 2 keeps these generators apart from those of training.
            items = [_Item(index, (0, index, 2)) for index in picked]
            yield items, [i < len(chosen) for i in places]

    return _load_batches(source, transform, plan(), threads, prefetch)


def batches_per_epoch(length: int, batch_size: int) -> int:
    """Number of batches that hold `length` examples, the last one perhaps not full."""
    return -(-length // batch_size)


def measure_throughput(batches: Iterator[Batch], seconds: float = 3.0) -> float:
    """Examples per second that an iterator of batches yields when nothing else uses them.

    The first batch, which pays for starting the threads, is not counted.
    """
    next(batches)
    examples, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        examples += len(next(batches)["index"])
    return examples / elapsed


def _load_batches(
    source: Source,
    transform: Transform,
    plans: Iterable[_Plan],
    threads: int | None,
    prefetch: int,
) -> Generator[Batch, None, None]:
    """Keep `prefetch` batches in the making in a thread pool, and yield them in order."""
    # OpenCV's own threads would fight with the pool's.
    cv2.setNumThreads(0)
    pool = ThreadPoolExecutor(threads or _cpu_cores(), "uvim-fsq-loader")
    making: deque[Future[Batch]] = deque()

    def load(item: _Item) -> dict[str, np.ndarray]:
        return _load(source, transform, item)

    def make(items: list[_Item], real: list[bool]) -> Future[Batch]:
        # Padding repeats an item: load it once. The pool takes tasks in the order in which they
        # are submitted, so all examples of a batch are under way when it is put together.
        loading = {item: pool.submit(load, item) for item in dict.fromkeys(items)}
        return pool.submit(_stack, source, items, real, loading)

    try:
        for items, real in plans:
            making.append(make(items, real))
            if len(making) > prefetch:
                yield making.popleft().result()
        while making:
            yield making.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load(source: Source, transform: Transform, item: _Item) -> dict[str, np.ndarray]:
    try:
        arrays = transform(source[item.index], np.random.default_rng(item.seed))
        return {name: np.asarray(value) for name, value in arrays.items()}
    except DataError as error:
        name = source.example_id(item.index)
        raise DataError(f"example {name!r} cannot be loaded: {error}") from error
    except Exception as error:
        error.add_note(f"while loading example {source.example_id(item.index)!r}")
        raise


def _stack(
    source: Source,
    items: list[_Item],
    real: list[bool],
    loading: dict[_Item, Future[dict[str, np.ndarray]]],
) -> Batch:
    examples = [loading[item].result() for item in items]
    if taken := {"mask", "index"} & examples[0].keys():
        raise ValueError(f"the loader adds {taken}: the transform must not return it")
    kinds = [_kinds(example) for example in examples]
    for item, kind in zip(items, kinds, strict=True):
        if kind != kinds[0]:
            first, other = (source.example_id(i.index) for i in (items[0], item))
            raise DataError(
                "all examples of a batch must have the same arrays, shapes and dtypes, but "
                f"{first!r} has {kinds[0]} and {other!r} has {kind}"
            )
    batch = {name: np.stack([e[name] for e in examples]) for name in examples[0]}
    batch["mask"] = np.array(real, bool)
    batch["index"] = np.array([item.index for item in items], np.int32)
    return batch


def _kinds(example: dict[str, np.ndarray]) -> dict[str, tuple]:
    return {name: (value.shape, value.dtype.str) for name, value in example.items()}


def _local_batch_size(
    length: int, batch_size: int, process_index: int, process_count: int
) -> int:
    if length == 0:
        raise DataError("there are no examples to make batches of")
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(
            f"batch_size {batch_size} cannot be divided over {process_count} processes: "
            f"it must be a positive multiple of {process_count}"
        )
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index {process_index} is not below {process_count}")
    return batch_size // process_count


def _cpu_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
