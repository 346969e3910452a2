"""Settings of TFDS datasets."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.data.settings import PARTS, DataConfig, check_units
from uvim_fsq.fields import require


@dataclass(frozen=True)
class TfdsConfig(DataConfig):
    """A TFDS dataset that `scripts/prepare_data.py tfds` prepared."""

    kind: ClassVar[str] = "tfds"
    labels: ClassVar[frozenset[str]] = frozenset({"depth", "panoptic", "segments"})

    name: str = ""
    """Of the dataset, such as nyu_depth_v2, coco/2017_panoptic or imagenet2012."""
    data_dir: str = ""
    """Where TFDS keeps its data; its own default if empty."""
    train_split: str = "train"
    """Examples to train on; TFDS's slices such as train[4096:] work."""
    validation_split: str = "validation"
    """Examples to watch while training."""
    test_split: str = "validation"
    """Examples to score on in the end."""
    fields: tuple[tuple[str, str], ...] = ()
    """For another dataset: pairs of our field (image, depth, panoptic, segments) and its name there."""
    categories: str = ""
    """For another panoptic dataset: a JSON with a list `categories` as in COCO's files."""
    units_per_metre: float | None = None
    """Of depth; by default whole numbers are millimetres (1000) and floats metres (1)."""

    def name_of(self, part):
        """As TFDS calls it."""
        return self.name

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        require(
            bool(self.name),
            "data.name must name a TFDS dataset such as nyu_depth_v2, found none: add "
            "--data.name NAME",
        )
        check_units(self.units_per_metre)

    def open_part(self, part):
        """Examples of a part's split."""
        from uvim_fsq.data.tfds.source import TfdsSource

        return TfdsSource(
            self.name,
            data_dir=self.data_dir or None,
            split=self.split(part),
            fields=dict(self.fields) or None,
            categories=self.categories or None,
            units_per_metre=self.units_per_metre,
        )

    def split(self, part: str) -> str:
        """The split of a part, as TFDS calls it."""
        return getattr(self, f"{part}_split")

    def distinct_parts(self):
        """Parts of other splits; of two with one split the first."""
        splits = {self.split(part): part for part in reversed(PARTS)}
        return [part for part in PARTS if part in splits.values()]

    def describe(self):
        """The dataset and its split."""
        from uvim_fsq.markup import markdown_code

        name, split = map(markdown_code, (self.name, self.train_split))
        return f"{name} of TensorFlow Datasets, split {split}"
