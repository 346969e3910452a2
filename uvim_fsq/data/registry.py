"""The kinds of data by name."""

from uvim_fsq.data.coco.settings import CocoConfig
from uvim_fsq.data.folders.settings import FolderConfig, PicturesConfig
from uvim_fsq.data.packed.settings import RecordsConfig
from uvim_fsq.data.scenes.settings import ScenesConfig
from uvim_fsq.data.settings import DataConfig
from uvim_fsq.data.tfds.settings import TfdsConfig
from uvim_fsq.fields import kinds_of

SOURCES: dict[str, type[DataConfig]] = kinds_of(
    "uvim_fsq.sources",
    *(ScenesConfig, FolderConfig, CocoConfig),
    *(PicturesConfig, RecordsConfig, TfdsConfig),
)
"""Settings of each kind of data, by the name that `--source` takes."""
