"""Reading pictures of any common kind, and refusing the broken ones.

Files are checked to their end before they are decoded, because some decoders fill the rest of a
truncated file with grey and say nothing. A JPEG whose compressed data was altered in the middle
cannot be told from a good one; a PNG can, by its checksums.
"""

import importlib
import importlib.util
import io
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.file_kinds import file_kind
from uvim_fsq.data.orientation import (
    TIFF_STARTS,
    noted_orientation,
    orientation,
    turn,
)
from uvim_fsq.errors import BrokenFileError
from uvim_fsq.types import Shaped, UInt8

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
"""Endings of what phones take photographs in; read where pillow-heif is installed."""

_ENDINGS = ".jpg .jpeg .jpe .jfif .png .webp .avif .tif .tiff .bmp .dib .gif .ppm .pgm .pbm .pnm .jp2"
PICTURE_SUFFIXES = (
    *_ENDINGS.split(),
    *(HEIF_SUFFIXES if importlib.util.find_spec("pillow_heif") else ()),
)
"""File name endings, in lower case, of pictures that `read_image` decodes."""

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as 8-bit RGB, the way a viewer would show it.

    Grey becomes three equal channels, a palette is looked up, CMYK is converted, 16 bits are
    scaled to 8 (`round(v / 257)`), floats are taken as [0, 1], transparency is put on white (in a
    TIFF, on black). The EXIF orientation is applied. Of an animation, the first frame. Raises
    `BrokenFileError` if the file cannot be read or is not whole.
    """
    return read_oriented(path)[0]


def read_oriented(path: str | Path) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
    """What `read_image` gives, and the EXIF orientation, 1 to 8, that it was turned by."""
    return decode_oriented(path, _read_file(path))


def decode_oriented(
    path: str | Path, data: bytes
) -> tuple[UInt8[np.ndarray, "h w 3"], int]:
    """As `read_oriented`, of a file's bytes; `path` is what messages call it."""
    check_whole(path, data)
    try:
        picture = to_rgb_uint8(_decode_rgb(path, data))
    except (TypeError, ValueError) as error:
        if isinstance(error, BrokenFileError):
            raise
        raise BrokenFileError(path, str(error)) from error
    number = turned_by(data)
    # OpenCV turns a TIFF whatever it is told, and pillow-heif an HEIC.
    turned = data.startswith(TIFF_STARTS) or _is_heif(data)
    return picture if turned else turn(picture, number), number


def turned_by(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, that an image file, given as its bytes, is turned by when read."""
    if _is_heif(data):
        return noted_orientation(_open_heif(data).info.get("exif") or b"")
    return orientation(data)


def _decode_rgb(path: str | Path, data: bytes) -> np.ndarray:
    """The pixels as they are stored, RGB, RGBA or grey, of any depth."""
    if _is_heif(data) and HEIF_SUFFIXES[0] in PICTURE_SUFFIXES:
        return _decode_heif(path, data)
    if _may_have_alpha(data):
        stored = decode(path, data, cv2.IMREAD_UNCHANGED)
        if stored.ndim == 3 and stored.shape[2] == 4:
            return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA)
    # IMREAD_COLOR_RGB would save the conversion, but it returns wrong values for 16 bits.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if data.startswith(TIFF_STARTS):
        stored = decode(path, data, cv2.IMREAD_UNCHANGED)
        if stored.ndim == 2 and stored.dtype not in (np.uint8, np.uint16):
            return stored  # which OpenCV makes no colours of
    return cv2.cvtColor(decode(path, data, flags), cv2.COLOR_BGR2RGB)


def _is_heif(data: bytes) -> bool:
    return (file_kind(data) or "").startswith("an HEIC")


def _open_heif(data: bytes) -> Any:
    pillow_heif = importlib.import_module("pillow_heif")
    return pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)


def _decode_heif(path: str | Path, data: bytes) -> np.ndarray:
    try:
        return np.asarray(_open_heif(data))
    except (OSError, ValueError, RuntimeError, EOFError, SyntaxError) as error:
        reason = f"an HEIC image that cannot be decoded: {error}"
        raise BrokenFileError(path, one_line(reason)) from error


def to_rgb_uint8(image: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "h w 3"]:
    """Convert an array of any picture mode to 8-bit RGB.

    Takes grey (h w) or (h w 1), grey and alpha (h w 2), RGB (h w 3), RGBA (h w 4); uint8,
    uint16 (0 to 65535), or floats in [0, 1]. Alpha blends the colour with white.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4) or image.size == 0:
        raise ValueError(
            "expected a picture of shape (h, w) or (h, w, c) with 1 to 4 channels, "
            f"found {image.shape}"
        )
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return np.ascontiguousarray(image)
    unit = _to_unit_range(image)
    if image.shape[2] in (2, 4):
        alpha = unit[..., -1:]
        unit = unit[..., :-1] * alpha + (1 - alpha)
    # uint16: v / 65535 * 255 = v / 257.
    values = np.rint(unit * np.float32(255)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def _to_unit_range(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.float32(65535)
    if image.dtype == np.bool_:
        return image.astype(np.float32)
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(
            f"expected uint8, uint16 or floats in [0, 1], found {image.dtype}"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise ValueError(f"expected floats in [0, 1], found values in [{low}, {high}]")
    return image.astype(np.float32)


def read_whole_file(path: str | Path) -> bytes:
    """The bytes of a picture file; `BrokenFileError` if it is missing, empty or truncated."""
    data = _read_file(path)
    check_whole(path, data)
    return data


def _read_file(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise BrokenFileError(path, "there is no such file") from error
    except OSError as error:
        raise BrokenFileError(path, f"cannot be read: {error.strerror}") from error


def check_whole(path: str | Path, data: bytes) -> None:
    """Raises `BrokenFileError` for a picture file's bytes that are none or not all."""
    if not data:
        raise BrokenFileError(path, "the file is empty")
    if data.startswith(PNG_START):
        _check_png(path, data)
    elif data.startswith(JPEG_START) and not _jpeg_ends(data):
        raise BrokenFileError(path, "the JPEG is truncated: it has no end marker")


def _check_png(path: str | Path, data: bytes) -> None:
    """Walk the chunks (length, type, content, checksum) up to the closing one."""
    view, start = memoryview(data), len(PNG_START)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(view[start : start + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise BrokenFileError(path, "the PNG is damaged: a checksum does not match")
        if view[start + 4 : start + 8] == b"IEND":
            return
        start = end
    raise BrokenFileError(path, "the PNG is truncated: it ends before its last chunk")


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the first scan; what stands before may hold a thumbnail."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker == 0xFF:  # fill byte
            start += 1
            continue
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == 0xDA:  # start of scan: compressed data follow
            return data.find(b"\xff\xd9", start) >= 0
    return False


def _may_have_alpha(data: bytes) -> bool:
    if data.startswith(PNG_START):
        # Byte 25 is the colour type, whose bit 4 is alpha; tRNS makes a colour transparent.
        return (
            bool(int.from_bytes(data[25:26]) & 4)
            or b"tRNS" in data[: data.find(b"IDAT")]
        )
    # OpenCV returns the colours of a TIFF already multiplied by its alpha.
    return not data.startswith((JPEG_START, b"BM", *TIFF_STARTS))


def decode(path: str | Path, data: bytes, flags: int) -> np.ndarray:
    """What OpenCV makes of a file's bytes; `BrokenFileError`, with the path, if that is nothing."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        kind = file_kind(data)
        reason = f"it is {kind}" if kind else f"cannot be decoded: {error}"
        raise BrokenFileError(path, one_line(reason)) from error
    if decoded is None:
        kind = file_kind(data)
        reason = f"it is {kind}" if kind else "it is not a picture, or it is damaged"
        raise BrokenFileError(path, reason)
    return decoded


def one_line(text: str) -> str:
    """The text without line breaks, for messages."""
    return " ".join(text.split())
