"""Logs of a run: JSON lines and TensorBoard events, both clean after a resume."""

import json
import math
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.files import write_text
from uvim_fsq.types import UInt8


class LogError(RuntimeError):
    """A log cannot be written."""


class JsonLines:
    """One JSON object per call of `scalars`: `step`, `time` and the values.

    Lines are written at once, so a killed process loses none. Opened again after a
    resume, lines of steps after `resume_step` and a torn last line are dropped (in a
    copy that then replaces the file), so that no step stands there twice. Values that
    are not finite are written as null.
    """

    def __init__(self, path: str | Path, resume_step: int = 0):
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                _drop_after(self.path, resume_step)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise LogError(
                f"the log {self.path} cannot be written: {error.strerror}."
            ) from error

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends a line."""
        line: dict[str, Any] = {"step": step, "time": round(time.time(), 3)}
        for name, value in values.items():
            line[name] = float(value) if math.isfinite(value) else None
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """The whole lines of a log; a torn last line (a killed process) is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    values = [_parse(line) for line in lines]
    return [value for value in values if value is not None]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) and "step" in value else None


def _drop_after(path: Path, step: int) -> None:
    old = path.read_text(encoding="utf-8")
    kept = [value for value in read_json_lines(path) if value["step"] <= step]
    new = "".join(json.dumps(value, allow_nan=False) + "\n" for value in kept)
    if new != old:
        write_text(path, new)


class TensorBoard:
    """Scalars and pictures as TensorBoard events; needs `tensorboard`, no TensorFlow.

    After a resume at `resume_step`, TensorBoard hides the events of later steps that
    earlier files of the directory hold.
    """

    def __init__(self, directory: str | Path, resume_step: int = 0):
        _without_tensorflow()
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[attr-defined]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
            self._writer = EventFileWriter(str(directory), flush_secs=15)
        except OSError as error:
            raise LogError(
                f"TensorBoard's directory {directory} cannot be written: "
                f"{error.strerror}."
            ) from error
        if resume_step:
            start = SessionLog(status=SessionLog.START)
            self._writer.add_event(
                Event(wall_time=time.time(), step=resume_step + 1, session_log=start)
            )

    def _add(self, step: int, values: list[Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        summary = Summary(value=values)
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """One point on the curve of every value."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        self._add(
            step,
            [Summary.Value(tag=k, simple_value=float(v)) for k, v in values.items()],
        )

    def image(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """A colour picture, red first."""
        import cv2
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
        if not done:
            raise LogError(f"the picture {name!r} could not be encoded as PNG.")
        height, width = image.shape[:2]
        picture = Summary.Image(
            height=height,
            width=width,
            colorspace=3,
            encoded_image_string=data.tobytes(),
        )
        self._add(step, [Summary.Value(tag=name, image=picture)])
        self._writer.flush()

    def close(self) -> None:
        """Writes what is buffered and closes the file."""
        self._writer.close()

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _without_tensorflow() -> None:
    """Makes tensorboard use its own file functions even where TensorFlow is installed.

    tensorboard looks for a module of this name before it imports TensorFlow, which
    would take ten seconds and 700 MB.
    """
    name = "tensorboard.compat.notf"
    sys.modules.setdefault(name, types.ModuleType(name))
