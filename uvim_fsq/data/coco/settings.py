"""Settings of folders with panoptic labels in COCO's format."""

from dataclasses import dataclass
from typing import ClassVar

from uvim_fsq.data.settings import SplitFolderSettings


@dataclass(frozen=True)
class CocoConfig(SplitFolderSettings):
    """A folder of images with panoptic labels in COCO's format: `images/`, `panoptic/` and
    `panoptic.json`, or COCO's own layout."""

    kind: ClassVar[str] = "coco"
    labels: ClassVar[frozenset[str]] = frozenset({"panoptic", "segments"})
    contents: ClassVar[str] = "pictures with panoptic labels in COCO's format"

    def read(self, path, split):
        """Images with segments."""
        from uvim_fsq.data.coco.source import CocoPanopticFolder

        return CocoPanopticFolder(path, **self.how_to_split(split))
