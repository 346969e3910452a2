"""Settings of the built-in scenes."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.data.settings import PARTS, DataConfig
from uvim_fsq.fields import Size, at_least, between, seed

_SMALLEST, _LARGEST = 8, 16_384
"""Rows or columns of an image: furniture can be told from walls; as large as tasks take them."""


@dataclass(frozen=True)
class ScenesConfig(DataConfig):
    """The built-in source: procedural indoor scenes with depth and panoptic labels."""

    kind: ClassVar[str] = "scenes"
    labels: ClassVar[frozenset[str]] = frozenset({"depth", "panoptic", "segments"})
    limits: ClassVar[tuple[str, ...]] = (
        "It has seen rendered rooms only; expect little of it on photographs.",
    )

    size: Size = (128, 128)
    """Rows and columns that the scenes are rendered at, in pixels."""
    train_count: int = 16_000
    """Scenes to train on."""
    validation_count: int = 512
    """Held-out scenes."""
    seed: int = 0
    """Other seeds are other scenes."""

    @classmethod
    def of_image_size(cls, size):
        """Scenes are rendered at the model's size."""
        return cls(size=size)

    @property
    def examples(self):
        """As many as are rendered."""
        return self.train_count

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        for size in self.size:
            between(_SMALLEST, _LARGEST, "data.size", size)
        at_least(1, "data.train_count", self.train_count)
        at_least(1, "data.validation_count", self.validation_count)
        seed("data.seed", self.seed)

    def open_part(self, part):
        """Scenes of a part, rendered if they are not yet."""
        from uvim_fsq.data.scenes.source import Scenes

        count = self.train_count if part == "train" else self.validation_count
        return Scenes(self.size, count, self.seed, split=part)

    def distinct_parts(self):
        """All: each part has scenes of its own."""
        return PARTS

    def describe(self):
        """How many of which size."""
        return (
            f"the built-in scenes: {self.train_count:,} rendered rooms of {self.size[0]} x "
            f"{self.size[1]} pixels"
        )

    def evaluation_words(self, own_source):
        """Scenes need no option, and people have data of their own."""
        return f"   # or your data: --source {own_source} --data.path FOLDER"
