"""Settings of colorization."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.tasks.settings import TaskConfig


@dataclass(frozen=True)
class ColorizationConfig(TaskConfig):
    """Colorization: colours from a grey picture."""

    kind: ClassVar[str] = "colorization"
    own_source: ClassVar[str] = "pictures"
    tags: ClassVar[tuple[str, ...]] = ("image-to-image", "image-colorization")
    result: ClassVar[str] = "colors"
    result_meaning: ClassVar[str] = "uint8 RGB, the picture's own size"

    def build(self):
        """The task."""
        from uvim_fsq.tasks.colorization.task import ColorizationTask

        return ColorizationTask(
            image_size=self.image_size, flip=self.flip, crop_area=self.crop_area
        )

    def scoring(self):
        """PSNR and colourfulness."""
        from uvim_fsq.tasks.colorization.scoring import ColorizationScoring

        return ColorizationScoring()

    def purpose(self):
        """A sentence on what a model of it predicts."""
        return "Colours for a grey picture."

    def limits(self):
        """A sentence on what a model of it cannot predict."""
        return "Colours are plausible, not those that were there."
