"""Settings of folders of RGB-D frames and of folders of images alone."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from uvim_fsq.data.settings import SplitFolderSettings, check_units


@dataclass(frozen=True)
class FolderConfig(SplitFolderSettings):
    """A folder of RGB-D frames: `rgb/` and `depth/`, files matched by name, or NYU's raw `.h5`."""

    kind: ClassVar[str] = "folder"
    labels: ClassVar[frozenset[str]] = frozenset({"depth"})
    contents: ClassVar[str] = "RGB-D frames"
    layout: ClassVar[str] = " with rgb/ and depth/"

    units_per_metre: float | None = None
    """Of all depth files; by default whole numbers are millimetres (1000) and floats metres (1)."""
    split_by: Literal["folder", "file"] = "folder"
    """What is held out: whole folders of frames, as videos must be, or frame by frame."""

    def check(self):
        """Raises ConfigError, one sentence, for the first value that cannot be used."""
        super().check()
        check_units(self.units_per_metre)

    def read(self, path, split):
        """Frames with depth."""
        from uvim_fsq.data.folders.nyu_h5 import open_depth_folder

        return open_depth_folder(
            path,
            units_per_metre=self.units_per_metre,
            split_by=self.split_by,
            **self.how_to_split(split),
        )


@dataclass(frozen=True)
class PicturesConfig(SplitFolderSettings):
    """A folder of images, for colorization."""

    kind: ClassVar[str] = "pictures"
    labels: ClassVar[frozenset[str]] = frozenset()
    contents: ClassVar[str] = "pictures"

    split_by: Literal["folder", "file"] = "file"
    """What is held out: image by image, or whole folders, as frames of films must be."""
    skip_grey: bool = True
    """Leave images without colour out, which teach that the world is grey."""

    def read(self, path, split):
        """Images."""
        from uvim_fsq.data.folders.pictures import PictureFolder

        return PictureFolder(
            path,
            skip_grey=self.skip_grey,
            split_by=self.split_by,
            **self.how_to_split(split),
        )
