"""The files of the toy task's predictions."""

from dataclasses import dataclass
from typing import Any

from uvim_fsq.tasks.files import paths, write_png


@dataclass(frozen=True)
class BrightnessFiles:
    """`NAME_brightness.png`, in shades of grey."""

    task: Any
    patterns = ("{}_brightness.png",)
    shared = ()

    def result(self, prediction):
        return prediction

    def write(self, output, stem, image, prediction, turned=1):
        write_png(paths(self, output, stem)[0], self.task.visualize(image, prediction))

    def finish(self, output):
        pass
