"""Weights files by their address: a path here, or a URL that is fetched once and kept."""

import contextlib
import hashlib
import logging
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from uvim_fsq.errors import WeightsError

_URL = re.compile(r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]+)://")
_PACKAGES = {
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "http": "aiohttp requests",
    "https": "aiohttp requests",
    "s3": "s3fs",
}
_TEMPORARY = ".tmp-"
_STALE_SECONDS = 3600


def local_file(address: str) -> Path:
    """The local path of a file: of a path itself, of a URL that of its copy in the cache.

    gs://, hf://, https://, s3:// and whatever else fsspec knows are fetched, once, into
    `$UVIM_FSQ_CACHE/weights` (by default `~/.cache/uvim_fsq/weights`); the size is printed first.
    Remove the copy to have it fetched again.

    Raises:
      WeightsError: if there is no such file, it cannot be fetched whole, the package that fetches
        it is missing, or the cache cannot be written.
    """
    match = _URL.match(address)
    protocol = match["protocol"].lower() if match else "file"
    if protocol == "file":
        path = Path(address.removeprefix("file://")).expanduser()
        if not path.is_file():
            raise WeightsError(
                f"{address} is no file: expected the path of one, or a gs://, hf:// or https:// "
                "address"
            )
        return path
    copy = _cached(address)
    if not copy.is_file():
        _fetch(address, protocol, copy)
    return copy


def _cached(address: str) -> Path:
    root = Path(os.environ.get("UVIM_FSQ_CACHE") or "~/.cache/uvim_fsq").expanduser()
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    name = PurePosixPath(re.split("[?#]", address)[0]).name
    safe = re.sub(r"[^\w.-]", "_", name)[-100:]
    return root / "weights" / f"{digest}-{safe}"


def _fetch(address: str, protocol: str, copy: Path) -> None:
    by_hand = f"download it by hand{_page(address)} and give its path"
    # It logs a traceback for each try that fails; one sentence is enough.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    filesystem, path = _filesystem(address, protocol, by_hand)
    with _temporary(copy) as temporary:
        try:
            information = filesystem.info(path)
            if information.get("type") == "directory":
                raise WeightsError(f"{address} is a folder: expected a file in it")
            size = information.get("size")
            _announce(address, size, copy)
            _copy(filesystem, path, size, temporary)
        except FileNotFoundError as error:
            raise WeightsError(
                f"there is no file at {address}, or no way to it: check the address and the "
                "network"
            ) from error
        except WeightsError:
            raise
        except Exception as error:  # Of the network and the libraries: they are many.
            reason = (str(error).splitlines() or [""])[0]
            raise WeightsError(
                f"{address} could not be fetched ({type(error).__name__}: {reason}): check the "
                f"address and the network, or {by_hand}"
            ) from error
        temporary.replace(copy)


def _filesystem(address: str, protocol: str, by_hand: str) -> tuple[Any, str]:
    try:
        import fsspec.core
    except ImportError:
        raise WeightsError(
            f"{address} is fetched with fsspec, which is not installed: pip install fsspec "
            f"{_PACKAGES.get(protocol, '')}, or {by_hand}"
        ) from None
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        install = f"pip install {package}" if package else str(error)
        raise WeightsError(
            f"{address} cannot be fetched without a package that is not installed: {install}, "
            f"or {by_hand}"
        ) from error
    except ValueError as error:
        raise WeightsError(
            f"{address} begins with {protocol}://, which is not known here: expected a path, or "
            "a gs://, hf:// or https:// address"
        ) from error


def _page(address: str) -> str:
    """Where a browser finds the same file."""
    if address.startswith("gs://"):
        return f" (https://storage.googleapis.com/{address.removeprefix('gs://')})"
    return ""


@contextlib.contextmanager
def _temporary(copy: Path) -> Iterator[Path]:
    """A file beside `copy` that is gone afterwards."""
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
        temporary.touch()
    except OSError as error:
        raise WeightsError(
            f"the cache folder {copy.parent} cannot be written: {error.strerror}; set "
            "UVIM_FSQ_CACHE to a folder that can be written"
        ) from error
    # What killed runs left; one that is being written is younger.
    for other in copy.parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > _STALE_SECONDS:
                other.unlink()
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _announce(address: str, size: int | None, copy: Path) -> None:
    free = shutil.disk_usage(copy.parent).free
    if size is not None and size > free:
        raise WeightsError(
            f"{address} has {_megabytes(size)}, and {copy.parent} has {_megabytes(free)} free: "
            "free some space, or set UVIM_FSQ_CACHE to a folder that has it"
        )
    shown = "of unknown size" if size is None else _megabytes(size)
    print(f"fetching {address} ({shown}) into {copy}", flush=True)


def _copy(filesystem: Any, path: str, size: int | None, target: Path) -> None:
    from fsspec.callbacks import Callback
    from rich.progress import DownloadColumn, Progress

    columns = (*Progress.get_default_columns(), DownloadColumn())
    hidden = not sys.stdout.isatty()
    with Progress(*columns, transient=True, disable=hidden) as progress:
        task = progress.add_task("fetching", total=size)

        def show(size: int | None, value: int, **_: Any) -> None:
            progress.update(task, completed=value)

        # The library's own download: not every server lets a file be read in blocks.
        filesystem.get_file(path, str(target), callback=Callback(hooks={"show": show}))
    found = target.stat().st_size
    if size is not None and found != size:
        raise OSError(f"{_megabytes(found)} of {_megabytes(size)} arrived")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
