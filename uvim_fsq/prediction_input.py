"""What may be given to predict on: one image in any form, and files by name, folder or pattern."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.images import (
    PICTURE_SUFFIXES,
    decode_oriented,
    read_image,
    to_rgb_uint8,
)
from uvim_fsq.data.listing import counted, list_files
from uvim_fsq.errors import DataError
from uvim_fsq.types import UInt8

_log = logging.getLogger(__name__)

_BYTES = "the bytes given"
_PIL_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16")


class ImageTypeError(TypeError):
    """What was given is no image in any form that is taken."""


def read(image: Any) -> UInt8[np.ndarray, "h w 3"]:
    """An image in any form as 8-bit RGB.

    A path (`~` is the home folder), the bytes of a file, an open file, a PIL image, or an array of
    NumPy's, JAX's or anything with `__array__`: (h w) or (h w c) as `to_rgb_uint8` takes them.
    Files and PIL images are turned as their EXIF orientation says.

    Raises:
      ImageTypeError: for anything else, such as a list.
      DataError: for a file that cannot be read, or an array of another shape or range.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image).expanduser())
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_oriented(_BYTES, bytes(image))[0]
    if type(image).__module__.startswith("PIL."):
        image = _plain_pil(image)
    elif hasattr(image, "read"):
        return _read_open_file(image)
    if not _is_array(image):
        raise ImageTypeError(
            "expected an image: a path, the bytes of a file, an open file, a PIL image or an array, "
            f"found {type(image).__name__}; predict_many takes several"
        )
    return _read_array(np.asarray(image))


def several(images: Any) -> Iterable[Any]:
    """The images of a list, or of anything that gives one after another; one alone is a list of one.

    A generator is handed on as it is, since what it gives may be more than fits into memory.

    An array of two or three axes is one image, one of four is a stack of them.
    """
    if _is_array(images):
        return list(images) if np.ndim(images) == 4 else [images]
    alone = str | os.PathLike | bytes | bytearray | memoryview
    if isinstance(images, alone) or hasattr(images, "read"):
        return [images]
    if isinstance(images, dict) or not isinstance(images, Iterable):
        raise ImageTypeError(f"expected images, found {type(images).__name__}")
    return images


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _read_open_file(file: Any) -> np.ndarray:
    data = file.read()
    if not isinstance(data, bytes):
        raise ImageTypeError(
            f"expected a file opened for bytes, as open(path, 'rb') is, found {type(data).__name__}"
        )
    return decode_oriented(str(getattr(file, "name", _BYTES)), data)[0]


def _plain_pil(image: Any) -> Any:
    """Turned as EXIF says, and in a mode whose array is the picture itself."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in _PIL_MODES and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F"):  # Integers and floats of unknown range.
        return image
    see_through = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    return image.convert("RGBA" if see_through else "RGB")


def _read_array(array: np.ndarray) -> np.ndarray:
    if array.dtype == object:
        raise ImageTypeError("expected an array of numbers, found one of objects")
    if array.ndim == 3 and array.shape[2] > 4 and array.shape[0] in (1, 3, 4):
        raise DataError(
            f"expected a picture of shape (h, w, c), found {array.shape}: move the channels last, as "
            "np.moveaxis(image, 0, -1) does"
        )
    try:
        return to_rgb_uint8(array)
    except TypeError as error:
        raise ImageTypeError(str(error)) from error
    except ValueError as error:
        raise DataError(str(error)) from error


def image_files(given: Iterable[str | Path]) -> list[Path]:
    """The files that names, folders and patterns such as `photos/*.jpg` stand for, each once.

    A folder gives all images at any depth below it; what it holds besides is counted in a warning. So
    does a pattern, whose `**` is any depth, unless a file has that very name. `~` is the home folder.

    Raises:
      DataError: if a name is empty, a folder holds no image or cannot be looked into, or nothing matches
        a pattern.
    """
    found: list[Path] = []
    for name in given:
        if not str(name).strip():  # which Path takes as the folder one is in
            raise DataError("expected names of images, found one that is empty")
        path = Path(name).expanduser()
        if path.is_dir():
            found += _in_folder(path)
        elif not path.exists() and glob.has_magic(str(path)):
            found += _matches(path)
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _in_folder(folder: Path) -> list[Path]:
    listing = list_files(folder, PICTURE_SUFFIXES)
    listing.say()
    if listing.problems:
        more = len(listing.problems) - 1
        raise DataError(listing.problems[0] + (f", and {more} more" if more else ""))
    if not listing.files:
        raise DataError(
            f"{folder} holds no images ({', '.join(PICTURE_SUFFIXES)}): name another folder"
        )
    return list(listing.files.values())


def _matches(pattern: Path) -> list[Path]:
    found: list[Path] = []
    passed: Counter[str] = Counter()
    for name in sorted(glob.glob(str(pattern), recursive=True)):
        path = Path(name)
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
            found.append(path)
        else:
            passed["folder" if path.is_dir() else path.suffix or "without ending"] += 1
    if passed:
        _log.warning("%s: passed by %s", pattern, counted(passed))
    if not found:
        raise DataError(
            f"no image matches {pattern}: name files, a folder or another pattern"
        )
    return found


def output_names(files: Sequence[str | Path]) -> list[str]:
    """A name for each file's predictions: its own without ending, unless several have it.

    Those take their folders, and where that is not enough their endings, in front or behind.

    >>> output_names(["in/x/a.jpg", "in/y/a.jpg", "in/y/b.jpg"])
    ['x_a', 'y_a', 'b']
    >>> output_names(["in/a.jpg", "in/a.png"])
    ['a_jpg', 'a_png']
    """
    paths = [Path(file).expanduser().absolute() for file in files]
    if not paths:
        return []
    top = Path(os.path.commonpath([path.parent for path in paths]))
    below = [path.relative_to(top) for path in paths]
    ways = (
        [path.stem for path in paths],
        ["_".join(path.with_suffix("").parts) for path in below],
        ["_".join(path.with_suffix("").parts) + _ending(path) for path in below],
    )
    names, counts = list(ways[0]), Counter(_folded(ways[0]))
    for way in ways[1:]:
        twice = [counts[name] > 1 for name in _folded(names)]
        names = [
            new if t else old for old, new, t in zip(names, way, twice, strict=True)
        ]
        counts = Counter(_folded(names))
    return names


def _ending(path: Path) -> str:
    return f"_{path.suffix[1:]}" if path.suffix else ""


def _folded(names: Iterable[str]) -> list[str]:
    """As file systems that do not tell capitals apart see them."""
    return [name.casefold() for name in names]
