"""Settings of panoptic segmentation, and the categories that they name."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro.conf

from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import between, replace, require
from uvim_fsq.tasks.settings import MOST_CLASSES, TaskConfig

if TYPE_CHECKING:
    from uvim_fsq.types import Category


@dataclass(frozen=True)
class CategoryConfig:
    """A class of a panoptic dataset."""

    id: int
    """The dataset's number for it."""
    name: str
    """For people."""
    isthing: bool
    """Counted, or stuff."""
    color: tuple[int, int, int]
    """RGB, 0 to 255."""


@dataclass(frozen=True)
class PanopticConfig(TaskConfig):
    """Panoptic segmentation: a channel of classes and a channel of instances."""

    kind: ClassVar[str] = "panoptic"
    labels: ClassVar[tuple[str, ...]] = ("panoptic", "segments")
    own_source: ClassVar[str] = "coco"
    tags: ClassVar[tuple[str, ...]] = ("image-segmentation", "panoptic-segmentation")
    result: ClassVar[str] = "segments"
    result_meaning: ClassVar[str] = (
        'dict of "panoptic", int32 ids of the picture\'s own size, and "segments"'
    )

    classes: int = 0
    """Classes of the model, void included; 0 for as many as the data has."""
    instances: int = 100
    """Slots for instances, slot 0 for void included; of more segments the largest are kept."""
    min_fraction: float = 0.0
    """Predicted segments with at most this share of the picture are left out."""
    categories: Annotated[tuple[CategoryConfig, ...], tyro.conf.Suppress] = ()
    """Classes of the data that the model was trained on; training fills them in."""

    @property
    def category_names(self):
        """Of the classes that the model knows."""
        return [category.name for category in self.categories]

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        super().check()
        between(2, MOST_CLASSES, "task.instances", self.instances)
        require(
            self.classes == 0 or self.classes >= 2,
            "task.classes must be 0, for as many as the data has, or at least 2, since one is "
            f"void, found {self.classes}",
        )
        between(0, MOST_CLASSES, "task.classes", self.classes)
        require(
            0 <= self.min_fraction < 1,
            f"task.min_fraction must be at least 0 and less than 1, found {self.min_fraction}",
        )

    def build(self):
        """The task."""
        from uvim_fsq.tasks.panoptic.task import PanopticTask

        return PanopticTask(
            categories_of(self),
            image_size=self.image_size,
            classes=self.classes,
            instances=self.instances,
            min_fraction=self.min_fraction,
            flip=self.flip,
            crop_area=self.crop_area,
        )

    def scoring(self):
        """Panoptic quality."""
        from uvim_fsq.tasks.panoptic.scoring import PanopticScoring

        return PanopticScoring(self)

    def of_source(self, source):
        """The settings with the categories of the data.

        Settings of a trained model name the categories that it knows. For data with others the number
        of classes follows the data again, unless the model was given more than it had categories.

        Raises:
          ConfigError: if the data has none, or more than the settings have classes.
        """
        if not source.categories:
            raise ConfigError(
                "the panoptic task needs data with categories, and this source has none: choose "
                "another --source"
            )
        known, classes = self.categories, self.classes
        others = [c.name for c in known] != [c.name for c in source.categories]
        if not classes or (known and others and classes == len(known) + 1):
            classes = len(source.categories) + 1
        if classes <= len(source.categories):
            raise ConfigError(
                f"task.classes is {classes}, void included, but the data has "
                f"{len(source.categories)} categories: give at least {len(source.categories) + 1}, or "
                "0 for as many as there are"
            )
        categories = tuple(
            CategoryConfig(c.id, c.name, bool(c.isthing), c.color)
            for c in source.categories
        )
        return replace(self, categories=categories, classes=classes)

    def of_any_source(self):
        """The settings with some number of classes, the smallest, where data will tell it."""
        return self if self.classes else replace(self, classes=2)

    def check_source(self, source, name="the data"):
        """Looks at the first example, and whether the model knows the categories.

        Raises:
          DataError: if the source lacks labels, or has other categories than the model.
        """
        from uvim_fsq.errors import DataError

        super().check_source(source, name)
        known = {(c.id, c.name) for c in self.categories}
        unknown = [c.name for c in source.categories if (c.id, c.name) not in known]
        if known and unknown:
            raise DataError(
                f"the data has categories that the model does not know ({', '.join(unknown[:5])}"
                f"{', ...' if len(unknown) > 5 else ''}): use data with the categories that it was "
                "trained on"
            )

    def describe(self):
        """Classes and instances."""
        named = f"{len(self.categories)} named" if self.categories else "without names"
        return (
            f"panoptic, {self.classes} classes, void included ({named}), "
            f"{self.instances} instances"
        )

    def purpose(self):
        """A sentence on what a model of it predicts."""
        classes = len(self.categories) or self.classes - 1
        return (
            f"A class and an instance for every pixel of a colour picture: {classes} classes of things "
            "and stuff."
        )

    def limits(self):
        """A sentence on what a model of it cannot predict."""
        from uvim_fsq.markup import markdown

        names = ", ".join(map(markdown, self.category_names))
        if not names:
            names = f"{self.classes - 1}, whose names are not known"
        return f"At most {self.instances - 1} segments a picture. Classes: {names}."


def categories_of(config: PanopticConfig) -> "tuple[Category, ...]":
    """The categories that a model knows; nameless ones before it has seen data.

    Raises:
      ConfigError: if not even their number is known.
    """
    from uvim_fsq.types import Category

    if config.categories:
        return tuple(
            Category(c.id, c.name, c.isthing, c.color) for c in config.categories
        )
    if not config.classes:
        raise ConfigError(
            "the number of classes is not known before the data is read: give --task.classes, "
            "void included"
        )
    return tuple(
        Category(number, f"class {number}", True, (128, 128, 128))
        for number in range(1, config.classes)
    )
