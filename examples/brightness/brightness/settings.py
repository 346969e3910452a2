"""Settings of the toy task and of the quantizer; read without JAX, hence the late imports."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.fields import between
from uvim_fsq.quantizers.settings import QuantizerConfig
from uvim_fsq.tasks.settings import TaskConfig


@dataclass(frozen=True)
class BrightnessConfig(TaskConfig):
    """How bright every pixel is, in a few classes."""

    kind: ClassVar[str] = "brightness"
    own_source: ClassVar[str] = "pictures"
    tags: ClassVar[tuple[str, ...]] = ("image-segmentation",)
    result: ClassVar[str] = "classes"
    result_meaning: ClassVar[str] = "uint8, 0 is black"

    levels: int = 4
    """Classes of equal width, from black to white."""

    def check(self):
        super().check()
        between(2, 256, "task.levels", self.levels)

    def build(self):
        from brightness.task import BrightnessTask

        return BrightnessTask(self.image_size, self.levels)

    def scoring(self):
        from brightness.scoring import BrightnessScoring

        return BrightnessScoring(self.levels)

    def purpose(self):
        return f"How bright every pixel is, in {self.levels} classes."

    def limits(self):
        return "A threshold does as well."


@dataclass(frozen=True)
class BinaryConfig(QuantizerConfig):
    """The sign of every channel."""

    kind: ClassVar[str] = "binary"
    about: ClassVar[str] = "The code is the signs of a few channels."

    code_dim: int = 8
    """Channels, of one bit each."""

    @property
    def size(self):
        return 2**self.code_dim

    @property
    def codebook(self):
        return self.kind, self.code_dim

    def check(self):
        between(1, 24, "quantizer.code_dim", self.code_dim)

    def build(self):
        from brightness.quantizer import Binary

        return Binary(self.code_dim)
