"""Where the data are that TFDS prepared, and what it says about them."""

import os
import re
from pathlib import Path
from typing import Any

from uvim_fsq.errors import DataError

_INFO = "dataset_info.json"


def default_data_dir() -> Path:
    """TFDS's own: the environment variable TFDS_DATA_DIR, or `~/tensorflow_datasets`."""
    place = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(place).expanduser()


def find_prepared(name: str, data_dir: Path) -> Path | None:
    """The folder of a prepared dataset, or None.

    `name` is as TFDS writes it, with configuration and version or without, such as
    `coco/2017_panoptic:1.1.0`; without a version it is the latest. It may also be the folder.
    """
    if (Path(name).expanduser() / _INFO).is_file():
        return Path(name).expanduser()
    plain, _, version = name.partition(":")
    if version:
        folder = data_dir / plain / version
        return folder if (folder / _INFO).is_file() else None
    found = [path.parent for path in (data_dir / plain).glob(f"*/{_INFO}")]
    versions = [path for path in found if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    return max(versions, key=_version, default=None)


def _version(path: Path) -> list[int]:
    return [int(number) for number in path.name.split(".")]


def load_info(folder: Path) -> Any:
    """TFDS's `DatasetInfo` of a prepared dataset: features, splits, file format."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            "reading TFDS data needs packages that are not installed "
            f"({error.name or error}): pip install tensorflow-datasets"
        ) from error
    # Where its imports fail, it says so in the log and goes on without its functions.
    if not hasattr(tfds, "builder_from_directory"):
        raise DataError(
            "tensorflow-datasets is installed, but it does not import: "
            "pip install --upgrade tensorflow-datasets"
        )
    return tfds.builder_from_directory(folder).info


def plain_name(info: Any) -> str:
    """The dataset's name with its configuration, without the version."""
    return info.full_name.rpartition("/")[0]
