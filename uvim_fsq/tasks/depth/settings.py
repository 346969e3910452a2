"""Settings of depth estimation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from uvim_fsq.fields import between, require
from uvim_fsq.tasks.settings import MOST_CLASSES, TaskConfig


@dataclass(frozen=True)
class DepthConfig(TaskConfig):
    """Depth estimation: one channel of depth bins."""

    kind: ClassVar[str] = "depth"
    labels: ClassVar[tuple[str, ...]] = ("depth",)
    own_source: ClassVar[str] = "folder"
    tags: ClassVar[tuple[str, ...]] = ("depth-estimation",)
    result: ClassVar[str] = "depth"
    result_meaning: ClassVar[str] = "float32, metres, the picture's own size"

    min_depth: float = 1e-3
    """Smallest depth in metres; pixels at or below it count as missing."""
    max_depth: float = 10.0
    """Largest depth in metres."""
    bins: int = 256
    """Classes of equal width between the two."""
    crop: Literal["none", "uvim", "eigen"] = "none"
    """Part of a frame that is used: all of it, UViM's crop of NYU frames (rows 54-480, columns
    41-601 of 480 x 640), or the Eigen crop (rows 45-471)."""

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        super().check()
        between(2, MOST_CLASSES, "task.bins", self.bins)
        require(
            0 <= self.min_depth < self.max_depth,
            f"task.min_depth must be at least 0 and less than task.max_depth, found "
            f"{self.min_depth} and {self.max_depth}",
        )

    def build(self):
        """The task."""
        from uvim_fsq.tasks.depth.task import DepthTask

        return DepthTask(
            image_size=self.image_size,
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            bins=self.bins,
            crop=self.crop,
            flip=self.flip,
            crop_area=self.crop_area,
        )

    def scoring(self):
        """RMSE and its kin."""
        from uvim_fsq.tasks.depth.scoring import DepthScoring

        return DepthScoring(self)

    def check_source(self, source, name="the data"):
        """Looks at the first example and at the values of depth, which it prints.

        Raises:
          DataError: if the source has no depth, or depth that cannot be.
        """
        from uvim_fsq.tasks.depth.values import say_depth

        super().check_source(source, name)
        say_depth(name, self, source)

    def public_arguments(self):
        """The range of depth."""
        return {"min_depth": self.min_depth, "max_depth": self.max_depth}

    def describe(self):
        """Bins and range."""
        return (
            f"depth, {self.bins} bins from {self.min_depth:g} to {self.max_depth:g} m"
        )

    def purpose(self):
        """A sentence on what a model of it predicts."""
        return (
            f"Depth in metres, from {self.min_depth:g} to {self.max_depth:g}, for every pixel of a "
            "colour picture."
        )

    def limits(self):
        """A sentence on what a model of it cannot predict."""
        return (
            f"Depth lies between {self.min_depth:g} and {self.max_depth:g} m, in {self.bins} steps, "
            "and metres hold for cameras like those of the training data."
        )
