"""What the settings of every kind of data have in common; each kind adds its own in its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from uvim_fsq.fields import Size, positive, require

if TYPE_CHECKING:
    from uvim_fsq.data.base import Source

PARTS = ("train", "validation", "test")
"""To train on, to watch while training, and to score on in the end."""

_LEAST_UNITS = 1e-6
"""Units of a thousand kilometres; far below, depth in metres is no float32."""


@dataclass(frozen=True)
class DataConfig:
    """Where examples come from.

    A kind's own class adds its fields, checks them, and opens the data. Attributes of the class,
    not of a run:

      kind: its name in files and for `--source`.
      labels: what its examples can hold besides an image.
      limits: sentences on what a model cannot do that was trained on it.
    """

    kind: ClassVar[str]
    labels: ClassVar[frozenset[str]]
    limits: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of_image_size(cls, size: Size) -> "DataConfig":
        """The kind's settings for a model that works at that size, at their defaults."""
        return cls()

    def name_of(self, part: str) -> str:
        """What people call the data of a part, such as the last part of its path; empty without a name."""
        return ""

    @property
    def examples(self) -> int | None:
        """How many there are to train on, if the settings tell."""
        return None

    def check(self) -> None:
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        raise NotImplementedError

    def open(self, part: str) -> "Source":
        """The examples of a part, one of `PARTS`.

        Raises:
          DataError: if the data cannot be used.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")
        return self.open_part(part)

    def open_part(self, part: str) -> "Source":
        """As `open`, of a part that there is."""
        raise NotImplementedError

    def distinct_parts(self) -> Sequence[str]:
        """The parts without those that are the same images as another."""
        raise NotImplementedError

    def describe(self) -> str:
        """The data in a phrase, Markdown."""
        raise NotImplementedError

    def evaluation_words(self, own_source: str) -> str:
        """What `uvim-fsq evaluate MODEL` needs besides: options that name data, or a comment."""
        return ""


@dataclass(frozen=True)
class FolderSettings(DataConfig):
    """What the kinds of data have in common that lie in a folder."""

    contents: ClassVar[str]
    """What the folder holds, in a phrase."""
    layout: ClassVar[str] = ""
    """How it lies there, to follow that phrase."""

    path: str = ""
    """The folder; it may have the parts `train/` and `validation/`."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""

    def name_of(self, part):
        """The last part of the path."""
        path = self.evaluation_path if part == "test" else ""
        return PurePath(path or self.path).name

    def check(self):
        """Raises ConfigError if no folder is named."""
        require(
            bool(self.path),
            f"data.path must name a folder of {self.contents}{self.layout}, found none: add "
            "--data.path FOLDER",
        )

    def open_part(self, part):
        """The examples of a part of the folder; the test part may be a folder of its own."""
        if part == "test" and self.evaluation_path:
            return self.read(self.evaluation_path, "all")
        return self.read(self.path, "train" if part == "train" else "validation")

    def read(self, path: str, split: str) -> "Source":
        """The examples of a split of a folder: `train`, `validation` or `all`."""
        raise NotImplementedError

    def distinct_parts(self):
        """Without the test part, unless it is a folder of its own."""
        return PARTS if self.evaluation_path else PARTS[:2]

    def describe(self):
        """What it holds, and its path."""
        from uvim_fsq.markup import markdown_code

        called = f" called {markdown_code(self.path)}" if self.path else ""
        return f"a folder of {self.contents}{called}"

    def evaluation_words(self, own_source):
        """The path is not the reader's."""
        return " --data.path FOLDER"


@dataclass(frozen=True)
class SplitFolderSettings(FolderSettings):
    """What the folders have in common whose images are held out by a hash of their names."""

    validation_fraction: float = 0.1
    """Share of the images held out, by a hash of their names, where there is no validation part."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        super().check()
        require(
            0 < self.validation_fraction < 1,
            "data.validation_fraction must lie between 0 and 1, found "
            f"{self.validation_fraction}",
        )

    def how_to_split(self, split: str) -> dict[str, Any]:
        """Arguments that all sources of this kind take."""
        return dict(
            split=split,
            validation_fraction=self.validation_fraction,
            skip_broken=self.skip_broken,
        )


def check_units(units_per_metre: float | None) -> None:
    """Raises ConfigError for units of depth that cannot be."""
    if units_per_metre is not None:
        positive("data.units_per_metre", units_per_metre)
        require(
            units_per_metre >= _LEAST_UNITS,
            f"data.units_per_metre must be at least {_LEAST_UNITS:g}, found {units_per_metre}",
        )
