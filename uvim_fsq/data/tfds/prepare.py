"""Preparing datasets of TFDS's catalogue as ArrayRecord, with checks before and after.

TensorFlow does this part. What a preparation leaves is whole or absent: TFDS writes into a folder
whose name starts with `incomplete.` and renames it at the end. Started again, a preparation keeps the
archives that are downloaded and unpacked, removes what an interrupted one left, and writes anew.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from uvim_fsq.data.images import one_line
from uvim_fsq.data.segments import check_ids
from uvim_fsq.data.tfds.facts import FACTS
from uvim_fsq.data.tfds.fields import KNOWN_FIELDS
from uvim_fsq.data.tfds.prepared import (
    default_data_dir,
    find_prepared,
    load_info,
    plain_name,
)
from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import DataError

Say = Callable[[str], None]


def prepare(
    name: str,
    data_dir: str | Path | None = None,
    manual_dir: str | Path | None = None,
    download_dir: str | Path | None = None,
    say: Say = print,
) -> Path:
    """Download, unpack and write a dataset as ArrayRecord; returns its folder.

    Archives that lie in `manual_dir` (default: `manual` in `download_dir`) under their own names are
    taken from there; ImageNet's must. `download_dir` is by default `downloads` in `data_dir`, which
    is TFDS's own by default. Data that are prepared already are checked and left as they are.

    Raises `DataError`: for a name that TFDS does not know, archives that lack or are not the
    published ones, too small a disk, another preparation that runs in the same folders, or data
    that do not decode in the end.
    """
    place = Path(data_dir).expanduser() if data_dir else default_data_dir()
    downloads = Path(download_dir or place / "downloads").expanduser()
    manual = Path(manual_dir or downloads / "manual").expanduser()
    folder = find_prepared(name, place)
    if folder is None:
        builder = _builder(name, place)
        folder = Path(builder.data_path)
    if (folder / "dataset_info.json").exists():
        say(f"{name} is prepared already in {folder}")
    else:
        with ExitStack() as held:
            for shared in (downloads, folder.parent):
                held.enter_context(_alone_in(shared))
            _remove_leftovers(folder, downloads)
            _check_manual(name, manual, say)
            _check_space(name, builder, place, downloads, manual, say)
            _run(name, builder, manual, downloads, say)
    _check_result(folder, manual, say)
    return folder


def _builder(name: str, place: Path) -> Any:
    # Its notes on the hardware are of no use here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow  # noqa: F401
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"preparing TFDS data needs packages that are not installed ({error.name}): "
            "pip install -r requirements.txt"
        ) from error
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        return tfds.builder(name, data_dir=place)
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        raise DataError(
            f"TFDS cannot build {name}: {_reason(error)}; names are as in "
            f"{', '.join(FACTS)}, data of your own are built with `tfds build "
            "--file_format=array_record`"
        ) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder against other preparations, which would remove or repeat each other's work."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".preparing").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"another preparation is at work in {folder}: wait for it, or stop it"
            ) from error
        yield


def _remove_leftovers(folder: Path, downloads: Path) -> None:
    """Remove what TFDS began and did not finish, because it was killed."""
    found = [
        *folder.parent.glob(f"incomplete.*_{folder.name}"),
        *(downloads / "extracted").glob("incomplete.*"),
        *downloads.glob("**/*.tmp.*"),
    ]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)


def _check_manual(name: str, manual: Path, say: Say) -> None:
    """What must be downloaded by hand is there; ImageNet's training pictures may lack."""
    facts = FACTS.get(name.partition(":")[0])
    lacking = [f for f in facts.manual if not (manual / f).exists()] if facts else []
    if not facts or not lacking:
        return
    if lacking != ["ILSVRC2012_img_train.tar"]:
        raise DataError(
            f"{name} must be downloaded by hand, because it needs an account: get "
            f"{' and '.join(lacking)} from {facts.page} and put "
            f"{'it' if len(lacking) == 1 else 'them'} into {manual} (or give --manual-dir)"
        )
    say(f"there is no {lacking[0]} in {manual}: only the validation split is prepared")


def _check_space(
    name: str, builder: Any, place: Path, downloads: Path, manual: Path, say: Say
) -> None:
    """Compare what is still to come with what the disks have free."""
    from tensorflow_datasets.core.download import resource

    facts = FACTS.get(name.partition(":")[0])
    if facts is None:
        say(f"how much space {name} needs is not known")
        return
    here = {path.name for folder in (manual, downloads) for path in folder.rglob("*")}
    download, unpacked = 0.0, 0.0
    for url in facts.urls:
        info = builder.url_infos[url]
        kept = info.filename
        if not (manual / kept).exists():
            kept = resource.get_dl_fname(url, info.checksum)
        if kept not in here:
            say(f"to download: {info.filename} ({info.size / 1e9:.1f} GB)")
            download += info.size / 1e9
        if not any(name.endswith(f".{kept}") for name in here):
            unpacked = facts.unpacked
    needs = {place: facts.prepared, downloads: download + unpacked}
    if place.stat().st_dev == downloads.stat().st_dev:
        needs = {place: sum(needs.values())}
    for path, need in needs.items():
        free = shutil.disk_usage(path).free / 1e9
        say(f"needs up to {need:.0f} GB in {path}, where {free:.0f} GB are free")
        if free < need:
            raise DataError(
                f"{name} needs up to {need:.0f} GB in {path} and {free:.0f} GB are free: make "
                "room, or choose other folders with --data-dir and --download-dir"
            )


def _run(name: str, builder: Any, manual: Path, downloads: Path, say: Say) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import (
        NonMatchingChecksumError,
    )

    say(f"preparing {name}; stopped, it goes on from the archives when started again")
    try:
        builder.download_and_prepare(
            download_dir=downloads,
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual if manual.is_dir() else None, try_download_gcs=False
            ),
        )
    except NonMatchingChecksumError as error:
        raise DataError(
            f"an archive of {name} is not the published one, or not all of it: remove it "
            f"and get it again ({_reason(error)})"
        ) from error
    except Exception as error:  # whatever TFDS, its builders and the network raise
        raise DataError(
            f"{name} could not be prepared ({type(error).__name__}: {_reason(error)}); "
            f"archives that were downloaded stay in {downloads}, others can be put into "
            f"{manual} under their own names; then start this again"
        ) from error
    folder = Path(builder.data_path)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    say(f"prepared in {folder}: {size:.1f} GB")
    say(f"{downloads} with the archives and what was unpacked is no longer needed")


def _check_result(folder: Path, manual: Path, say: Say) -> None:
    """The files hold what they should, and the first example of each split decodes."""
    info = load_info(folder)
    plain = plain_name(info)
    facts = FACTS.get(plain)
    for split, published in (facts.counts if facts else {}).items():
        archive = manual / "ILSVRC2012_img_train.tar"
        if split not in info.splits and plain == "imagenet2012" and archive.exists():
            raise DataError(
                f"{folder} was prepared without {archive.name}, which is there now: remove "
                "the folder and start this again"
            )
        found = info.splits[split].num_examples if split in info.splits else 0
        if found != published:
            say(
                f"note: published are {published:,} examples of {split}, here are {found:,}"
            )
    for split in info.splits:
        if plain in KNOWN_FIELDS or "image" in info.features:
            source = TfdsSource(str(folder), split=split)
            example = source[0]
            if "panoptic" in example:
                check_ids(example["panoptic"], example["segments"], folder / split)
        say(f"{split}: {info.splits[split].num_examples:,} examples")


def _reason(error: Exception) -> str:
    return one_line(str(error))[:300]
