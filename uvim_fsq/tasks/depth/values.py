"""A look at the values of depth before they are used: said aloud, and refused where they cannot be.

Depth in the wrong unit trains without a word, and every score of it is wrong. What is looked at is
`EXAMPLES` examples, spread evenly over a source. Refused is a source

- without a valid pixel,
- of whose valid pixels half or more lie at or beyond `max_depth`, which all count as its last bin,
- or half or more in bin 0, which the loss leaves out.

A median below 0.1 m or above 100 m, depth within the nearest quarter of the range, and valid pixels below
one in a hundred may all be right: they are said as warnings.
"""

from dataclasses import dataclass

import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.spread import spread
from uvim_fsq.errors import DataError
from uvim_fsq.tasks.depth.settings import DepthConfig
from uvim_fsq.tasks.depth.task import known_depth

EXAMPLES = 64
"""How many are looked at: enough for a median, and a second's work."""

_PIXELS = 4096
"""Of each example, for the median and the range."""

_UNITS = (
    "--data.units-per-metre says how many units of a depth file make a metre (1000 for millimetres, "
    "5000 in TUM's RGB-D frames, 256 in KITTI's, 100 for centimetres; for packed data, say so to "
    "`prepare_data.py pack`)"
)


@dataclass(frozen=True)
class DepthValues:
    """What a sample of a source's depth is like; shares are of all pixels, of valid ones from `beyond` on.

    Attributes:
      examples, of: how many were looked at, of how many.
      valid: share of pixels with depth.
      full: share of pixels at the largest number of a 16-bit file, taken as missing.
      beyond: share of valid pixels at or beyond `max_depth`.
      unseen: share of valid pixels in bin 0.
      median, low, high: of valid pixels in metres, the range from 1 to 99 %.
    """

    examples: int
    of: int
    valid: float
    full: float
    beyond: float
    unseen: float
    median: float
    low: float
    high: float


def look_at_depth(task: DepthConfig, source: Source) -> DepthValues:
    """Measures depth of examples that are spread evenly over the source; the same ones each time."""
    chosen = spread(len(source), EXAMPLES)
    first_edge = task.min_depth + (task.max_depth - task.min_depth) / task.bins
    pixels = valid = full = beyond = unseen = 0
    samples = []
    for index in chosen:
        example = source[index]
        depth = known_depth(example, task.max_depth)
        found = depth[depth > 0]
        pixels, valid = pixels + depth.size, valid + found.size
        full += int(np.count_nonzero(np.asarray(example["depth"]) > 0)) - found.size
        beyond += int(np.count_nonzero(found >= task.max_depth))
        unseen += int(np.count_nonzero(found < first_edge))
        samples.append(found[:: max(1, found.size // _PIXELS)])
    values = np.concatenate(samples)
    low, median, high = (
        np.percentile(values, (1, 50, 99)).tolist() if values.size else (0.0, 0.0, 0.0)
    )
    some = max(valid, 1)
    return DepthValues(
        len(chosen),
        len(source),
        valid / pixels,
        full / pixels,
        beyond / some,
        unseen / some,
        median,
        low,
        high,
    )


def say_depth(name: str, task: DepthConfig, source: Source) -> None:
    """Prints what depth the part `name` holds. Raises `DataError` if nothing can be learned from it."""
    values = look_at_depth(task, source)
    if values.valid:
        print(describe_depth(name, task, values), flush=True)
    check_depth(name, task, values)
    for warning in odd_depth(task, values):
        print(f"WARNING: {warning}", flush=True)


def describe_depth(name: str, task: DepthConfig, values: DepthValues) -> str:
    """One line on all values."""
    full = f", {_percent(values.full)} hold 65535" if values.full else ""
    return (
        f"depth of {name}: median {_metres(values.median)}, from {_metres(values.low)} to "
        f"{_metres(values.high)} (1-99 %); {_percent(values.valid)} of pixels are valid{full}, "
        f"{_percent(values.beyond)} of the valid at or beyond {task.max_depth:g} m "
        f"({values.examples} of {values.of} examples)"
    )


def odd_depth(task: DepthConfig, values: DepthValues) -> list[str]:
    """A sentence on each thing that is odd, and may be right."""
    odd = []
    if values.full:
        odd.append(
            f"{_percent(values.full)} of pixels hold the largest number of their 16-bit files, which is "
            f"beyond task.max_depth, {task.max_depth:g} m: taken as missing"
        )
    if values.valid < 0.01:
        odd.append(f"only {_percent(values.valid)} of pixels have depth")
    if not 0.1 <= values.median <= 100:
        odd.append(f"is a median of {_metres(values.median)} right? {_UNITS}")
    elif values.high < task.max_depth / 4:
        odd.append(
            f"nearly all depth is within {_metres(values.high)}, the nearest quarter of the range: lower "
            "--task.max-depth, or see whether it is depth in metres at all, and no disparity, "
            f"inverse or relative depth; {_UNITS}"
        )
    return odd


def check_depth(name: str, task: DepthConfig, values: DepthValues) -> None:
    """Raises `DataError` for depth that nothing can be learned from, with what to set."""
    looked = f"depth of {name}, {values.examples} of {values.of} examples looked at"
    if not values.valid:
        full = ", or 65535 and beyond task.max_depth" if values.full else ""
        raise DataError(
            f"{looked}: no pixel has a valid depth, all are 0 or not finite{full}: see whether these "
            f"are the depth maps; {_UNITS}"
        )
    median = f"the median is {_metres(values.median)}"
    if values.beyond >= 0.5:
        raise DataError(
            f"{looked}: {_percent(values.beyond)} of valid pixels are at or beyond task.max_depth, "
            f"{task.max_depth:g} m, and {median}: if the unit is wrong, {_UNITS}; if it is right, "
            "raise --task.max-depth"
        )
    if values.unseen >= 0.5:
        raise DataError(
            f"{looked}: {_percent(values.unseen)} of valid pixels are in the first of {task.bins} bins, "
            f"which is not learned, and {median}: if the unit is wrong, {_UNITS}; if it is right, "
            f"lower --task.max-depth, {task.max_depth:g} m"
        )


def _metres(depth: float) -> str:
    """Three digits and no powers of ten.

    >>> _metres(2254.0), _metres(0.4444)
    ('2,250 m', '0.444 m')
    """
    return f"{float(f'{depth:.3g}'):,g} m"


def _percent(share: float) -> str:
    """A share in per cent; small ones are not rounded to 0.

    >>> _percent(0.5), _percent(0.00012), _percent(0.0)
    ('50.0 %', '0.01 %', '0.0 %')
    """
    return (
        f"{100 * share:.1f} %" if share >= 1e-3 or not share else f"{100 * share:.2g} %"
    )
