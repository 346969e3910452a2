"""The files of predicted depth."""

import io
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from uvim_fsq.data.orientation import unturn
from uvim_fsq.errors import DataError
from uvim_fsq.files import write_whole
from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.files import paths, write_png

DepthFormat = Literal["png", "npy"]
"""Of depth: 16-bit millimetres, or float32 metres of any size."""

DEPTH_UNITS_PER_METRE = 1000
_MAX_UINT16 = 2**16 - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DepthFiles:
    """`NAME_depth.png` and `NAME_depth_color.png`: near is red, far is blue.

    The first is 16-bit millimetres, up to 65.535 m; with the format "npy" it is `NAME_depth.npy`
    instead, float32 metres. It lies on the pixels as the picture's file stores them, as labels do
    that are read beside a picture.
    """

    task: Task
    format: str = "png"
    beyond: Counter[str] = field(default_factory=Counter)
    """Pixels by picture that 16-bit millimetres cannot hold."""
    shared = ()

    def __post_init__(self) -> None:
        if self.format not in get_args(DepthFormat):
            raise DataError(f"the format of depth is png or npy, found {self.format!r}")

    @property
    def patterns(self):
        """The map and the view."""
        return f"{{}}_depth.{self.format}", "{}_depth_color.png"

    def result(self, prediction):
        """Metres, float32 (h w)."""
        return prediction

    def write(self, output, stem, image, prediction, turned=1):
        """Both pictures."""
        data, view = paths(self, output, stem)
        stored = unturn(prediction, turned)
        if self.format == "npy":
            npy = io.BytesIO()
            np.save(npy, stored)
            write_whole(data, npy.getvalue())
        else:
            units = np.rint(stored * DEPTH_UNITS_PER_METRE)
            beyond = int(np.count_nonzero(units > _MAX_UINT16))
            if beyond:
                self.beyond[stem] = beyond
            write_png(data, units.clip(0, _MAX_UINT16).astype(np.uint16))
        write_png(view, self.task.visualize(image, prediction))

    def finish(self, output):
        """Warns of what was cut off."""
        if self.beyond:
            _log.warning(
                "%d pixels in %d pictures lie beyond %g m, the largest depth of a 16-bit PNG in "
                "millimetres, and were written as that: --format npy keeps them",
                *(self.beyond.total(), len(self.beyond)),
                _MAX_UINT16 / DEPTH_UNITS_PER_METRE,
            )
