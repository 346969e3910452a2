"""Opens the data that settings name."""

from typing import Any

from uvim_fsq.data.base import Source
from uvim_fsq.settings.run import (
    CocoConfig,
    DataConfig,
    FolderConfig,
    PicturesConfig,
    RecordsConfig,
    ScenesConfig,
    TfdsConfig,
)

PARTS = ("train", "validation", "test")


def build_source(config: DataConfig, part: str) -> Source:
    """Examples to train on, to watch while training, or to score on in the end.

    A folder is scored on `evaluation_path` where that is given, else on its validation part.

    Raises:
      DataError: if the data cannot be used.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")
    if isinstance(config, ScenesConfig):
        from uvim_fsq.data.scenes.source import Scenes

        count = config.train_count if part == "train" else config.validation_count
        return Scenes(config.size, count, config.seed, split=part)
    if isinstance(config, TfdsConfig):
        from uvim_fsq.data.tfds.source import TfdsSource

        return TfdsSource(
            config.name,
            data_dir=config.data_dir or None,
            split=getattr(config, f"{part}_split"),
            fields=dict(config.fields) or None,
            categories=config.categories or None,
            units_per_metre=config.units_per_metre,
        )
    return _folder(config, part)


def _folder(
    config: FolderConfig | CocoConfig | PicturesConfig | RecordsConfig, part: str
) -> Source:
    path, split = config.path, "train" if part == "train" else "validation"
    if part == "test" and config.evaluation_path:
        path, split = config.evaluation_path, "all"
    if isinstance(config, RecordsConfig):
        from uvim_fsq.data.packed.source import Records

        return Records(path, split)
    shared: dict[str, Any] = dict(
        split=split,
        validation_fraction=config.validation_fraction,
        skip_broken=config.skip_broken,
    )
    if isinstance(config, CocoConfig):
        from uvim_fsq.data.coco.source import CocoPanopticFolder

        return CocoPanopticFolder(path, **shared)
    shared["split_by"] = config.split_by
    if isinstance(config, PicturesConfig):
        from uvim_fsq.data.folders.pictures import PictureFolder

        return PictureFolder(path, skip_grey=config.skip_grey, **shared)
    from uvim_fsq.data.folders.nyu_h5 import open_depth_folder

    return open_depth_folder(path, units_per_metre=config.units_per_metre, **shared)
