"""Pools of pictures for the Frechet distance, from folders and sources, their features kept on disk."""

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from uvim_fsq.data.images import PICTURE_SUFFIXES, read_image
from uvim_fsq.data.listing import list_files
from uvim_fsq.data.scan import cache_directory, cache_name, scan
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.coltran import PREPARATION, network_input, picture_pixels
from uvim_fsq.evaluators.fid import FeatureStatistics
from uvim_fsq.types import Float

_log = logging.getLogger(__name__)
_LISTED = 10


@runtime_checkable
class FeatureExtractor(Protocol):
    """Turns pictures of one size in [-1, 1] into feature vectors; see `InceptionFeatures`."""

    @property
    def name(self) -> str:
        """For the names of scores."""
        ...

    @property
    def is_inception(self) -> bool:
        """Whether a Frechet distance of these features may be called FID."""
        ...

    @property
    def digest(self) -> str:
        """Differs between networks."""
        ...

    @property
    def batch_size(self) -> int:
        """How many pictures suit it at once."""
        ...

    def __call__(
        self, images: Float[np.ndarray, "b h w 3"]
    ) -> Float[np.ndarray, "b d"]:
        """A vector for each picture."""
        ...


class PicturePool(NamedTuple):
    """What pictures are compared with: statistics of their features, and whose they are."""

    statistics: FeatureStatistics
    names: tuple[str, ...]
    network: str
    """`digest` of the network."""


def list_pictures(folder: str | Path) -> list[str]:
    """The pictures at any depth below a folder, by path below it, sorted; hidden ones left out.

    Raises DataError if there is no such folder, or no picture in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}; expected a folder of pictures")
    listing = list_files(folder, PICTURE_SUFFIXES)
    listing.say()
    paths = listing.files.values()
    names = sorted(Path(os.path.relpath(path, folder)).as_posix() for path in paths)
    if not names:
        raise DataError(
            f"{folder} has no pictures; expected files that end in "
            f"{', '.join(PICTURE_SUFFIXES)}"
        )
    return names


def read_list(path: str | Path) -> list[str]:
    """File names from a text file, one in each line, in its order; empty lines do not count."""
    path = Path(path).expanduser()
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise DataError(f"{path}: the list cannot be read: {reason}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: expected a file name in each line, found none")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: expected each name once, found {twice} again")
    return names


def picture_key(name: str) -> str:
    """What a picture is known by: `ILSVRC2012_val_00000001` for `val/ILSVRC2012_val_00000001.JPEG`."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name


def find_listed(folder: str | Path, file_list: str | Path) -> list[str]:
    """The pictures of a list, by path below the folder, in the list's order.

    A name is a path below the folder, or a file name that occurs once anywhere below it. Raises
    DataError that names what is missing.
    """
    there = list_pictures(folder)
    by_name: dict[str, list[str]] = {}
    for path in there:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    by_path, found, missing = set(there), [], []
    for name in read_list(file_list):
        places = [name] if name in by_path else by_name.get(name, [])
        if len(places) == 1:
            found.append(places[0])
        else:
            missing.append(f"{name} ({'not there' if not places else 'several'})")
    if missing:
        what = f"pictures of {file_list} are not, or not once, below the folder"
        raise DataError(f"{folder}: {len(missing)} {what}: {_first(missing)}")
    return found


def pool_of_files(
    folder: str | Path,
    names: Sequence[str],
    extractor: FeatureExtractor,
    cache_dir: str | Path | None = None,
    report: Callable[[int], object] = lambda number: None,
) -> PicturePool:
    """The pool of some pictures of a folder.

    Features are kept below `cache_dir` (see `data.scan.cache_directory`) under a hash of the files'
    contents, their order, the network and the preparation. `report` hears how many pictures were
    done. All pictures are checked first: what is broken is named in one DataError.
    """
    folder = Path(folder).expanduser()
    _check_count(str(folder), names)
    paths = [folder / name for name in names]
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(_file_digest, paths))

    def check() -> None:
        files = {name: (path,) for name, path in zip(names, paths, strict=True)}
        cache_file = cache_directory(cache_dir) / cache_name("fid", folder)

        def look(name: str) -> tuple[int, int]:
            return read_image(files[name][0]).shape[:2]

        _, problems = scan(files, look, cache_file)
        if problems:
            listed = "".join(f"\n  {text}" for text in [*problems.values()][:_LISTED])
            raise DataError(
                f"{folder}: {len(problems)} of {len(names)} pictures cannot be used; mend or "
                f"remove them:{listed}"
            )

    features = _features(
        digests,
        lambda i: picture_pixels(read_image(paths[i])),
        *(extractor, cache_dir, report, check),
    )
    return PicturePool(FeatureStatistics.of([features]), tuple(names), extractor.digest)


def pool_of_source(
    source: Any,
    indices: Sequence[int],
    extractor: FeatureExtractor,
    cache_dir: str | Path | None = None,
    report: Callable[[int], object] = lambda number: None,
) -> PicturePool:
    """The pool of some examples of a data source, by their `image` and `id`; see `pool_of_files`.

    Every picture is decoded once to know its content, and again where features are not kept yet.
    """

    _check_count("the data source", indices)

    def look(index: int) -> tuple[str, bytes]:
        example: Mapping[str, Any] = source[index]
        pixels = picture_pixels(example["image"])
        return example["id"], hashlib.sha256(pixels.tobytes()).digest()

    with ThreadPoolExecutor() as threads:
        looked = list(threads.map(look, indices))
    features = _features(
        [digest for _, digest in looked],
        lambda i: picture_pixels(source[indices[i]]["image"]),
        *(extractor, cache_dir, report, lambda: None),
    )
    names = tuple(name for name, _ in looked)
    return PicturePool(FeatureStatistics.of([features]), names, extractor.digest)


def _features(
    digests: Sequence[bytes],
    read: Callable[[int], np.ndarray],
    extractor: FeatureExtractor,
    cache_dir: str | Path | None,
    report: Callable[[int], object],
    check: Callable[[], None],
) -> np.ndarray:
    """From the cache, or computed and kept there."""
    parts = [PREPARATION.encode(), extractor.digest.encode()]
    key = hashlib.sha256(b"\0".join([*parts, *digests])).hexdigest()
    file = cache_directory(cache_dir) / f"fid-{key[:32]}.npz"
    kept = _read(file, len(digests))
    if kept is not None:
        report(len(digests))
        return kept
    check()
    rows = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(digests), extractor.batch_size):
            end = min(start + extractor.batch_size, len(digests))
            pixels = np.stack(list(threads.map(read, range(start, end))))
            rows.append(extractor(network_input(pixels)))
            report(len(pixels))
    features = np.concatenate(rows)
    _write(file, features)
    return features


def _read(file: Path, count: int) -> np.ndarray | None:
    """Kept features; None where there are none, or none that are whole."""
    try:
        # NumPy leaves a file open that it opened itself and cannot read.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            features = arrays["features"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    usable = features.ndim == 2 and len(features) == count
    return features if usable and features.dtype == np.float32 else None


def _write(file: Path, features: np.ndarray) -> None:
    """Write under a temporary name and rename, so that no reader ever sees half a file."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=".fid-", delete=False
        ) as stream:
            temporary = Path(stream.name)
            np.savez(stream, features=features)
        os.replace(temporary, file)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        _log.warning("the features are not kept for the next run: %s", error)


def _check_count(what: str, pictures: Sequence[Any]) -> None:
    if len(pictures) < 2:
        raise DataError(
            f"{what}: a Frechet distance needs at least 2 pictures on each side, found "
            f"{len(pictures)}; some thousands make a good one"
        )


def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:  # the check of the pictures will name it
        return b""


def _first(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
