"""Settings of what is predicted and what it is learned from; a part of `uvim_fsq.settings.run`."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import tyro.conf

Size = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class DepthConfig:
    """Depth estimation: one channel of depth bins."""

    kind: ClassVar[str] = "depth"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    min_depth: float = 1e-3
    """Smallest depth in metres; pixels at or below it count as missing."""
    max_depth: float = 10.0
    """Largest depth in metres."""
    bins: int = 256
    """Classes of equal width between the two."""
    crop: Literal["none", "uvim", "eigen"] = "none"
    """Part of a frame that is used: all of it, UViM's crop of NYU frames (rows 54-480, columns
    41-601 of 480 x 640), or the Eigen crop (rows 45-471)."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""


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
class PanopticConfig:
    """Panoptic segmentation: a channel of classes and a channel of instances."""

    kind: ClassVar[str] = "panoptic"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    classes: int = 0
    """Classes of the model, void included; 0 for as many as the data has."""
    instances: int = 100
    """Slots for instances, slot 0 for void included; of more segments the largest are kept."""
    min_fraction: float = 0.0
    """Predicted segments with at most this share of the picture are left out."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""
    categories: Annotated[tuple[CategoryConfig, ...], tyro.conf.Suppress] = ()
    """Classes of the data that the model was trained on; training fills them in."""


@dataclass(frozen=True)
class ColorizationConfig:
    """Colorization: colours from a grey picture."""

    kind: ClassVar[str] = "colorization"

    image_size: Size = (512, 512)
    """Rows and columns that the model works at, in pixels."""
    flip: bool = True
    """Mirror half of the training examples."""
    crop_area: tuple[float, float] = (0.05, 1.0)
    """Share of the area that random training crops keep, from and to; 1 1 for no crops."""


TaskConfig = DepthConfig | PanopticConfig | ColorizationConfig


@dataclass(frozen=True)
class ScenesConfig:
    """The built-in source: procedural indoor scenes with depth and panoptic labels."""

    kind: ClassVar[str] = "scenes"

    size: Size = (128, 128)
    """Rows and columns that the scenes are rendered at, in pixels."""
    train_count: int = 16_000
    """Scenes to train on."""
    validation_count: int = 512
    """Held-out scenes."""
    seed: int = 0
    """Other seeds are other scenes."""


@dataclass(frozen=True)
class FolderConfig:
    """A folder of RGB-D frames: `rgb/` and `depth/`, files matched by name, or NYU's raw `.h5`."""

    kind: ClassVar[str] = "folder"

    path: str = ""
    """The folder; it may have the parts `train/` and `validation/`."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    units_per_metre: float | None = None
    """Of all depth files; by default whole numbers are millimetres (1000) and floats metres (1)."""
    validation_fraction: float = 0.1
    """Share of the frames held out, by a hash of their names, where there is no validation part."""
    split_by: Literal["folder", "file"] = "folder"
    """What is held out: whole folders of frames, as videos must be, or frame by frame."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class CocoConfig:
    """A folder of pictures with panoptic labels in COCO's format."""

    kind: ClassVar[str] = "coco"

    path: str = ""
    """The folder: `images/`, `panoptic/` and `panoptic.json`, or COCO's own layout."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    validation_fraction: float = 0.1
    """Share of the pictures held out, by a hash of their names, where there is no validation part."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class PicturesConfig:
    """A folder of pictures, for colorization."""

    kind: ClassVar[str] = "pictures"

    path: str = ""
    """The folder; pictures may lie in folders below it, and in `train/` and `validation/`."""
    evaluation_path: str = ""
    """A folder to score on in the end; by default the validation part of `path`."""
    validation_fraction: float = 0.1
    """Share of the pictures held out, by a hash of their names, where there is no validation part."""
    split_by: Literal["folder", "file"] = "file"
    """What is held out: picture by picture, or whole folders, as frames of films must be."""
    skip_grey: bool = True
    """Leave pictures without colour out, which teach that the world is grey."""
    skip_broken: bool = False
    """Leave broken files out instead of stopping."""


@dataclass(frozen=True)
class RecordsConfig:
    """A folder packed into ArrayRecord by `scripts/prepare_data.py pack`."""

    kind: ClassVar[str] = "records"

    path: str = ""
    """The packed folder."""
    evaluation_path: str = ""
    """A packed folder to score on in the end; by default the validation part of `path`."""


@dataclass(frozen=True)
class TfdsConfig:
    """A TFDS dataset that `scripts/prepare_data.py tfds` prepared."""

    kind: ClassVar[str] = "tfds"

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


DataConfig = (
    ScenesConfig
    | FolderConfig
    | CocoConfig
    | PicturesConfig
    | RecordsConfig
    | TfdsConfig
)
