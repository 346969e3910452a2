"""One example of the built-in scenes, as the arrays that the cache stores.

Only NumPy is needed from here on down: processes that render start fast.
"""

import numpy as np
from jaxtyping import Int

from uvim_fsq.data.scenes.categories import CATEGORY_ID
from uvim_fsq.data.scenes.render.render import render
from uvim_fsq.data.scenes.room.layout import SPLITS, sample_scene

GENERATOR_VERSION = 4
"""Raised with every change of what the scenes look like: caches of another version are unused."""

MAX_SEGMENTS = 32
_NOISE = 0x5E45
_SMALLEST = 0.0015


def fields(size: tuple[int, int]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of the arrays that describe one example of a size (h, w).

    `image` RGB; `depth` z-depth in millimetres, which uint16 holds exactly; `panoptic` segment
    ids, 0 being void; `segments` row j is (category id, area) of segment j + 1, zeros if unused.
    """
    return {
        "image": ((*size, 3), "|u1"),
        "depth": (size, "<u2"),
        "panoptic": (size, "|u1"),
        "segments": ((MAX_SEGMENTS, 2), "<i4"),
    }


def render_example(
    seed: int, split: str, index: int, size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Renders the scene (seed, split, index): the arrays that `fields` lists.

    A segment of fewer than 4 pixels, or of less than 0.15 % of the picture, becomes void.
    """
    scene = sample_scene(seed, split, index)
    entropy = np.random.SeedSequence((_NOISE, seed, SPLITS[split], index, *size))
    noise = np.random.Generator(np.random.PCG64(entropy))
    image, depth, instances = render(scene, size, noise)
    classes = [CATEGORY_ID[name] for name in scene.instances]
    panoptic, segments = _segments(instances, np.array(classes, np.int32))
    return {
        "image": image,
        "depth": np.rint(depth * 1000).astype(np.uint16),
        "panoptic": panoptic,
        "segments": segments,
    }


def _segments(
    instances: Int[np.ndarray, "h w"], classes: Int[np.ndarray, " i"]
) -> tuple[np.ndarray, np.ndarray]:
    """Segment ids from instance numbers: large enough ones, counted from 1 in their order."""
    areas = np.bincount(instances.ravel(), minlength=len(classes))
    large = np.flatnonzero(areas >= max(4, _SMALLEST * instances.size))[:MAX_SEGMENTS]
    ids = np.zeros(len(classes), np.uint8)
    ids[large] = np.arange(1, len(large) + 1)
    segments = np.zeros((MAX_SEGMENTS, 2), np.int32)
    segments[: len(large), 0] = classes[large]
    segments[: len(large), 1] = areas[large]
    return ids[instances], segments
