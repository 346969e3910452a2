"""What `predict` gives back and writes for each task."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from uvim_fsq.data.coco_format import CocoImage, describe, write_index
from uvim_fsq.data.coco_png import write_ids
from uvim_fsq.data.errors import DataError
from uvim_fsq.files import temporary
from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.colorization import ColorizationTask
from uvim_fsq.tasks.panoptic import PanopticTask
from uvim_fsq.tasks.panoptic_picture import picture_with_legend

DEPTH_UNITS_PER_METRE = 1000
_MAX_UINT16 = 2**16 - 1


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
        self, output: Path, stem: str, image: np.ndarray, prediction: Any
    ) -> None:
        """Writes a picture's files, in the order of `patterns`."""
        ...

    def finish(self, output: Path) -> None:
        """Writes the shared files, after the last picture."""
        ...


def prediction_files(task: Task, keep_luminance: bool = False) -> PredictionFiles:
    """The files of a task; `keep_luminance` is for colorization, see `ColorFiles`.

    Raises `DataError` if that is asked of another task.
    """
    if isinstance(task, ColorizationTask):
        return ColorFiles(task, keep_luminance)
    if keep_luminance:
        raise DataError(
            "keeping the luminance is for colorization, and this model predicts something else: "
            "leave --keep-luminance out"
        )
    if isinstance(task, PanopticTask):
        return PanopticFiles(task)
    return DepthFiles(task)


@dataclass(frozen=True)
class DepthFiles:
    """`NAME_depth.png`, 16-bit millimetres, and `NAME_depth_color.png`: near is red, far is blue."""

    task: Task
    patterns = ("{}_depth.png", "{}_depth_color.png")
    shared = ()

    def result(self, prediction):
        """Metres, float32 (h w)."""
        return prediction

    def write(self, output, stem, image, prediction):
        """Both pictures."""
        units = np.rint(prediction * DEPTH_UNITS_PER_METRE).clip(0, _MAX_UINT16)
        data, view = paths(self, output, stem)
        write_png(data, units.astype(np.uint16))
        write_png(view, self.task.visualize(image, prediction))

    def finish(self, output):
        """Nothing."""


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

    def write(self, output, stem, image, prediction):
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
    """COCO's format, `panoptic/NAME.png` and one `panoptic.json`, and `NAME_overlay.png`."""

    task: PanopticTask
    annotations: dict[int | str, tuple[str, list]] = field(default_factory=dict)
    images: dict[int | str, CocoImage] = field(default_factory=dict)
    patterns = ("panoptic/{}.png", "{}_overlay.png")
    shared = ("panoptic.json",)

    def result(self, prediction):
        """`panoptic` int32 (h w) of segment ids, 0 for void, and `segments`."""
        return prediction

    def write(self, output, stem, image, prediction):
        """Both pictures."""
        data, view = paths(self, output, stem)
        write_ids(data, prediction["panoptic"])
        # COCO numbers its pictures, and names them by their numbers: 1 may be there, before 01.
        name = int(stem) if stem.isascii() and stem.isdigit() else stem
        name = stem if name in self.images else name
        segments = describe(prediction["panoptic"], prediction["segments"])
        self.annotations[name] = (data.name, segments)
        self.images[name] = CocoImage(f"{stem}.png", *image.shape[:2])
        write_png(view, picture_with_legend(image, prediction, self.task.categories))

    def finish(self, output):
        """The JSON of all pictures."""
        write_index(
            output / self.shared[0],
            self.task.categories,
            self.images,
            self.annotations,
        )


def paths(files: PredictionFiles, output: Path, stem: str) -> list[Path]:
    """The files of a picture of that name."""
    return [output / pattern.format(stem) for pattern in files.patterns]


def check_free(
    files: PredictionFiles,
    pictures: Sequence[str | Path],
    output: Path,
    overwrite: bool,
) -> None:
    """Raises `DataError` if two pictures share a name, or results exist, unless `overwrite`."""
    stems = [Path(picture).stem for picture in pictures]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise DataError(
            f"several pictures are called {twice[0]!r}, and their predictions would overwrite "
            "each other: predict them into different folders"
        )
    wanted = [path for stem in stems for path in paths(files, output, stem)]
    wanted += [output / name for name in files.shared]
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
    path.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(path, ".png")
    if not cv2.imwrite(str(new), np.ascontiguousarray(image)):
        raise DataError(
            f"{path} cannot be written: is the disk full, or the folder protected?"
        )
    new.replace(path)
