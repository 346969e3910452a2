"""Small datasets of the real layouts, prepared by TFDS's real builders once for all tests."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

NAMES = ("nyu_depth_v2", "coco/2017_panoptic", "imagenet2012")


@dataclass
class TfdsData:
    """Where the prepared datasets are, and what their archives hold."""

    raw: Path
    folders: dict[str, Path]
    """TFDS data folders by file format."""
    truth: dict[str, dict]
    said: dict[str, list[str]]
    """What preparing as ArrayRecord said, by dataset."""


@pytest.fixture(scope="session")
def archives() -> ModuleType:
    """The module `tfds_archives`."""
    path = Path(__file__).parent / "tfds_archives.py"
    spec = importlib.util.spec_from_file_location("tfds_archives", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tfds_data(archives, tmp_path_factory) -> Iterator[TfdsData]:
    """NYU Depth v2, COCO panoptic and ImageNet in small, as ArrayRecord and as TFRecord."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("tensorflow")
    from uvim_fsq.data.tfds import prepare

    root = tmp_path_factory.mktemp("tfds")
    raw = root / "raw"
    raw.mkdir()
    truth = {NAMES[0]: archives.write_nyu(raw), NAMES[1]: archives.write_coco(raw)}
    archives.write_imagenet(raw)
    folders = {name: root / name for name in ("array_record", "tfrecord")}
    said: dict[str, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        archives.register(patch, raw)
        archives.shrink_facts(patch)
        for name in NAMES:
            lines = said.setdefault(name, [])
            prepare.prepare(name, folders["array_record"], raw, say=lines.append)
            config = tfds.download.DownloadConfig(
                manual_dir=raw, try_download_gcs=False
            )
            tfds.builder(name, data_dir=folders["tfrecord"]).download_and_prepare(
                download_dir=folders["array_record"] / "downloads",
                file_format="tfrecord",
                download_config=config,
            )
        yield TfdsData(raw, folders, truth, said)


@pytest.fixture
def read_tfds(tfds_data, tmp_path):
    """`read_tfds(name, split="train", file_format="array_record", **options)`: a source."""

    def make(name, split="train", file_format="array_record", **options):
        options.setdefault("cache_dir", tmp_path / "cache")
        from uvim_fsq.data.tfds.source import TfdsSource

        return TfdsSource(name, tfds_data.folders[file_format], split, **options)

    return make
