"""What `predict` gives back and writes for each task."""

import io
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import cv2
import numpy as np

from uvim_fsq.data.coco.format import CocoImage, describe, write_index
from uvim_fsq.data.coco.png import write_ids
from uvim_fsq.data.errors import DataError
from uvim_fsq.data.orientation import unturn
from uvim_fsq.files import name_problem, write_whole
from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.panoptic.overlay import picture_with_legend
from uvim_fsq.tasks.panoptic.task import PanopticTask

DepthFormat = Literal["png", "npy"]
"""Of depth: 16-bit millimetres, or float32 metres of any size."""

DEPTH_UNITS_PER_METRE = 1000
_MAX_UINT16 = 2**16 - 1
_LONGEST_NUMBER = 18
"""Digits of ids that fit 64 bits, for readers that know no longer ones."""

_log = logging.getLogger(__name__)


@runtime_checkable
class PredictionFiles(Protocol):
    """The files of a task's predictions, in one folder."""

    @property
    def patterns(self) -> Sequence[str]:
        """Files of each picture, `{}` for its name."""
        ...

    @property
    def shared(self) -> Sequence[str]:
        """Files about all pictures together."""
        ...

    def result(self, prediction: Any) -> Any:
        """What `predict` returns of a restored prediction."""
        ...

    def write(
        self,
        output: Path,
        stem: str,
        image: np.ndarray,
        prediction: Any,
        turned: int = 1,
    ) -> None:
        """Writes a picture's files, in the order of `patterns`.

        `turned` is the EXIF orientation that the picture was turned by when it was read.
        """
        ...

    def finish(self, output: Path) -> None:
        """Writes the shared files, after the last picture."""
        ...


def prediction_files(
    task: Task, keep_luminance: bool = False, depth_format: str | None = None
) -> PredictionFiles:
    """The files of a task.

    `keep_luminance` is for colorization, see `ColorFiles`, `depth_format` for depth, see `DepthFiles`.
    Raises `DataError` if that is asked of another task.
    """
    depth = not isinstance(task, ColorizationTask | PanopticTask)
    if depth_format is not None and not depth:
        raise DataError(
            "a format can be chosen for depth, and this model predicts something else, written as "
            "PNG: leave --format out"
        )
    if depth_format not in (None, *get_args(DepthFormat)):
        raise DataError(f"the format of depth is png or npy, found {depth_format!r}")
    if isinstance(task, ColorizationTask):
        return ColorFiles(task, keep_luminance)
    if keep_luminance:
        raise DataError(
            "keeping the luminance is for colorization, and this model predicts something else: "
            "leave --keep-luminance out"
        )
    if isinstance(task, PanopticTask):
        return PanopticFiles(task)
    return DepthFiles(task, depth_format or "png")


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


@dataclass(frozen=True)
class ColorFiles:
    """`NAME_color.png`; with `keep_luminance`, predicted colours on the picture's own luminance."""

    task: ColorizationTask
    keep_luminance: bool
    patterns = ("{}_color.png",)
    shared = ()

    def result(self, prediction):
        """RGB, uint8 (h w 3)."""
        return self.task.to_uint8(prediction)

    def write(self, output, stem, image, prediction, turned=1):
        """The picture."""
        if self.keep_luminance:
            colors = self.task.keep_luminance(image, prediction)
        else:
            colors = self.task.to_uint8(prediction)
        write_png(paths(self, output, stem)[0], colors)

    def finish(self, output):
        """Nothing."""


@dataclass(frozen=True)
class PanopticFiles:
    """COCO's format, `panoptic/NAME.png` and one `panoptic.json`, and `NAME_overlay.png`.

    The PNG lies on the pixels as the picture's file stores them, as COCO's own do.
    """

    task: PanopticTask
    annotations: dict[str, tuple[str, list]] = field(default_factory=dict)
    images: dict[str, CocoImage] = field(default_factory=dict)
    patterns = ("panoptic/{}.png", "{}_overlay.png")
    shared = ("panoptic.json",)

    def result(self, prediction):
        """`panoptic` int32 (h w) of segment ids, 0 for void, and `segments`."""
        return prediction

    def write(self, output, stem, image, prediction, turned=1):
        """Both pictures."""
        data, view = paths(self, output, stem)
        ids = unturn(prediction["panoptic"], turned)
        write_ids(data, ids)
        segments = describe(ids, prediction["segments"])
        self.annotations[stem] = (data.name, segments)
        self.images[stem] = CocoImage(f"{stem}.png", *ids.shape)
        write_png(view, picture_with_legend(image, prediction, self.task.categories))

    def finish(self, output):
        """The JSON of all pictures."""
        ids = image_ids(self.images)
        write_index(
            output / self.shared[0],
            self.task.categories,
            {ids[stem]: image for stem, image in self.images.items()},
            {ids[stem]: entry for stem, entry in self.annotations.items()},
        )


def image_ids(stems: Collection[str]) -> dict[str, int | str]:
    """The id of each picture: its number where its name is one, as COCO's are, else its name.

    A number that two names share, as `1` and `01` do, is no id: both keep their names.

    >>> image_ids(["000139", "street", "1", "01"])
    {'000139': 139, 'street': 'street', '1': '1', '01': '01'}
    """
    numbers = {
        stem: int(stem)
        for stem in stems
        if stem.isascii() and stem.isdigit() and len(stem) <= _LONGEST_NUMBER
    }
    count = Counter(numbers.values())
    return {
        stem: numbers[stem] if count[numbers.get(stem, -1)] == 1 else stem
        for stem in stems
    }


def paths(files: PredictionFiles, output: Path, stem: str) -> list[Path]:
    """The files of a picture of that name."""
    return [output / pattern.format(stem) for pattern in files.patterns]


def check_free(
    files: PredictionFiles,
    stems: Sequence[str],
    output: Path,
    overwrite: bool,
) -> None:
    """Raises `DataError` if two pictures share a name, or results exist, unless `overwrite`."""
    twice = sorted(stem for stem, count in Counter(stems).items() if count > 1)
    if twice:
        raise DataError(
            f"the predictions of several pictures would be called {twice[0]!r} and overwrite each "
            "other: predict them into different folders"
        )
    if output.exists() and not output.is_dir():
        raise DataError(
            f"{output} is a file, expected a folder: choose another --output"
        )
    wanted = [path for stem in stems for path in paths(files, output, stem)]
    wanted += [output / name for name in files.shared]
    too_long = next(filter(None, (name_problem(path.name) for path in wanted)), None)
    if too_long:
        raise DataError(
            f"a prediction would need a bad name: {too_long}; rename its picture"
        )
    exist = [str(path) for path in wanted if path.exists()]
    if exist and not overwrite:
        more = f" and {len(exist) - 1} more" if len(exist) > 1 else ""
        raise DataError(
            f"{exist[0]}{more} exist already: choose another --output, or --overwrite"
        )


def write_png(path: Path, image: np.ndarray) -> None:
    """Writes a grey or RGB picture, whole or not at all."""
    if image.ndim == 3:
        image = image[..., ::-1]
    write_whole(path, cv2.imencode(".png", np.ascontiguousarray(image))[1].tobytes())
