"""What `predict` gives back and writes, whatever the task; each task's own files are in its folder."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from uvim_fsq.errors import DataError
from uvim_fsq.files import name_problem, write_whole
from uvim_fsq.tasks.base import Task

_REFUSALS = {
    "format": "a format can be chosen for depth, and this model predicts something else, written as "
    "PNG: leave --format out",
    "keep_luminance": "keeping the luminance is for colorization, and this model predicts something "
    "else: leave --keep-luminance out",
}


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

    `keep_luminance` is for colorization, `depth_format` for depth; see their files. Raises `DataError`
    if that is asked of another task.
    """
    options: dict[str, Any] = {}
    if depth_format is not None:
        options["format"] = depth_format
    if keep_luminance:
        options["keep_luminance"] = True
    for name in options:
        if name not in task.file_options:
            raise DataError(_REFUSALS[name])
    return task.files(**options)


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
