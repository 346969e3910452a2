"""Reading pictures and depth maps of any common kind, and refusing the broken ones.

Files are checked to their end before they are decoded, because some decoders fill the rest of a
truncated file with grey and say nothing. A JPEG whose compressed data was altered in the middle
cannot be told from a good one; a PNG can, by its checksums.
"""

import zlib
from pathlib import Path

import cv2
import numpy as np

from uvim_fsq.data.errors import BrokenFileError
from uvim_fsq.types import Float, Shaped, UInt8

PICTURE_SUFFIXES = (
    ".jpg .jpeg .png .webp .tif .tiff .bmp .gif .ppm .pgm .pnm .jp2".split()
)
"""File name endings, in lower case, of pictures that `read_image` decodes."""

DEPTH_SUFFIXES = (".png", ".npy")

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as 8-bit RGB, the way a viewer would show it.

    Grey becomes three equal channels, a palette is looked up, CMYK is converted, 16 bits are
    scaled to 8 (`round(v / 257)`), floats are taken as [0, 1], transparency is put on white (in a
    TIFF, on black). The EXIF orientation is applied, except in a picture with transparency. Of
    an animation, the first frame. Raises `BrokenFileError` if the file cannot be read or is not whole.
    """
    data = read_whole_file(path)
    picture = None
    if _may_have_alpha(data):
        stored = decode(path, data, cv2.IMREAD_UNCHANGED)
        if stored.ndim == 3 and stored.shape[2] == 4:
            picture = cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA)
    if picture is None:
        # IMREAD_COLOR_RGB would save this conversion, but it returns wrong values for 16 bits.
        picture = decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    try:
        return to_rgb_uint8(picture)
    except (TypeError, ValueError) as error:
        raise BrokenFileError(path, str(error)) from error


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


def read_depth(
    path: str | Path, units_per_metre: float = 1000.0
) -> Float[np.ndarray, "h w"]:
    """Read a depth map, `.png` or `.npy`, as float32 metres with 0 where it is missing."""
    if Path(path).suffix.lower() == ".npy":
        return read_depth_npy(path)
    return read_depth_png(path, units_per_metre)


def read_depth_png(
    path: str | Path, units_per_metre: float = 1000.0
) -> Float[np.ndarray, "h w"]:
    """Read a 16-bit grey PNG as float32 metres, `value / units_per_metre`; 0 is missing.

    The default is millimetres. Raises `BrokenFileError` for a file that is not whole and for
    any other kind of PNG: 8-bit depth is nearly always a picture made for the eye.
    """
    data = read_whole_file(path)
    if not data.startswith(_PNG_START):
        raise BrokenFileError(path, "expected a 16-bit grey PNG, found another format")
    values = decode(path, data, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        channels = 1 if values.ndim == 2 else values.shape[2]
        raise BrokenFileError(
            path,
            f"expected a 16-bit PNG with one channel, found {8 * values.itemsize} bits "
            f"with {channels}; store depth as 16-bit units, for example millimetres",
        )
    return values.astype(np.float32) / np.float32(units_per_metre)


def read_depth_npy(path: str | Path) -> Float[np.ndarray, "h w"]:
    """Read a NumPy file of floats in metres; NaN, infinite and negative become 0, missing."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BrokenFileError(path, _one_line(f"cannot be read: {error}")) from error
    if not isinstance(values, np.ndarray):
        values.close()
        raise BrokenFileError(path, "expected one array, found an archive of arrays")
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        raise BrokenFileError(
            path,
            "expected floats in metres of shape (h, w), found "
            f"{values.dtype} of shape {values.shape}",
        )
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite: missing
        metres = values.astype(np.float32)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))


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
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise BrokenFileError(path, "there is no such file") from error
    except OSError as error:
        raise BrokenFileError(path, f"cannot be read: {error.strerror}") from error
    if not data:
        raise BrokenFileError(path, "the file is empty")
    if data.startswith(_PNG_START):
        _check_png(path, data)
    elif data.startswith(_JPEG_START) and not _jpeg_ends(data):
        raise BrokenFileError(path, "the JPEG is truncated: it has no end marker")
    return data


def _check_png(path: str | Path, data: bytes) -> None:
    """Walk the chunks (length, type, content, checksum) up to the closing one."""
    view, start = memoryview(data), len(_PNG_START)
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
    if data.startswith(_PNG_START):
        # Byte 25 is the colour type, whose bit 4 is alpha; tRNS makes a colour transparent.
        return (
            bool(int.from_bytes(data[25:26]) & 4)
            or b"tRNS" in data[: data.find(b"IDAT")]
        )
    # OpenCV returns the colours of a TIFF already multiplied by its alpha.
    return not data.startswith((_JPEG_START, b"BM", b"II*\0", b"MM\0*"))


def decode(path: str | Path, data: bytes, flags: int) -> np.ndarray:
    """What OpenCV makes of a file's bytes; `BrokenFileError`, with the path, if that is nothing."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise BrokenFileError(path, _one_line(f"cannot be decoded: {error}")) from error
    if decoded is None:
        raise BrokenFileError(path, "it is not a picture, or it is damaged")
    return decoded


def _one_line(text: str) -> str:
    return " ".join(text.split())
