"""What the settings of every task have in common; each task adds its own in its folder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from uvim_fsq.fields import Size, between, require

if TYPE_CHECKING:
    from uvim_fsq.data.base import Source
    from uvim_fsq.tasks.base import Task
    from uvim_fsq.tasks.scoring import Scoring

LARGEST_IMAGE = 16_384
"""Rows or columns; OpenCV resizes up to 32,767."""

MOST_CLASSES = 2**15 - 1
"""A pixel's class is a 16-bit number in a batch."""


@dataclass(frozen=True)
class TaskConfig:
    """What is predicted.

    A task's own class adds its fields, checks them, and makes the task and its scoring. Attributes
    of the class, not of a run:

      kind: its name in files and on the command line.
      labels: what an example must hold besides its image.
      own_source: the source for people's own data.
      tags: of the Hugging Face Hub, the pipeline first.
      result, result_meaning: what `predict` returns, by name and in words.
    """

    kind: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = ()
    own_source: ClassVar[str]
    tags: ClassVar[tuple[str, ...]]
    result: ClassVar[str]
    result_meaning: ClassVar[str]

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""

    @property
    def category_names(self) -> list[str]:
        """Of the classes that the model knows; none where they have no names."""
        return []

    def check(self) -> None:
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        for size in self.image_size:
            between(1, LARGEST_IMAGE, "task.image_size", size)
        low, high = self.crop_area
        require(
            0 < low <= high <= 1,
            f"task.crop_area must be two shares from above 0 to 1, the smaller first, found "
            f"{low} {high}",
        )

    def build(self) -> "Task":
        """The task."""
        raise NotImplementedError

    def scoring(self) -> "Scoring":
        """How it is scored."""
        raise NotImplementedError

    def of_source(self, source: "Source") -> "TaskConfig":
        """The settings with what the training data tell, such as its categories."""
        return self

    def of_any_source(self) -> "TaskConfig":
        """Settings of which a model can be made before the data are known, as large as any."""
        return self

    def check_source(self, source: "Source", name: str = "the data") -> None:
        """Looks at the first example; `name` is what messages call the source.

        Raises:
          DataError: if the source lacks the task's labels, or cannot be learned from.
        """
        from uvim_fsq.errors import DataError

        example = source[0]
        if any(label not in example for label in self.labels):
            missing = [label for label in self.labels if label not in example]
            raise DataError(
                f"the {self.kind} task needs examples with {' and '.join(missing)}, and this source "
                f"has {', '.join(sorted(example))}: choose another --source or other data"
            )

    def public_arguments(self) -> dict[str, Any]:
        """What the public code's arguments tell of the task, besides its channels."""
        return {}

    def describe(self) -> str:
        """The task in a phrase."""
        return self.kind

    def purpose(self) -> str:
        """A sentence on what a model of it predicts."""
        raise NotImplementedError

    def limits(self) -> str:
        """A sentence on what a model of it cannot predict."""
        raise NotImplementedError
