"""The files of predicted colours."""

from dataclasses import dataclass
from typing import Any

from uvim_fsq.tasks.files import paths, write_png


@dataclass(frozen=True)
class ColorFiles:
    """`NAME_color.png`; with `keep_luminance`, predicted colours on the picture's own luminance."""

    task: Any
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
