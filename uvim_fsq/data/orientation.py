"""How an image is to be turned: the EXIF orientation of its file.

Cameras store what the sensor saw and note how it was held. The notes count from 1 to 8: 1 is
upright, 3 upside down, 6 and 8 lie on a side, and the even ones below 5 and odd ones above are mirrored.
"""

import io
import struct

import numpy as np

from uvim_fsq.types import Shaped

_TAG = 0x0112
_SIGNS = (b"Exif", b"eXIf", b"EXIF")

TIFF_STARTS = (b"II*\0", b"MM\0*")
"""First bytes of a TIFF, which has its orientation among its own tags, without a sign."""


def orientation(data: bytes) -> int:
    """The EXIF orientation of an image file, given as its bytes; 1 where there is none."""
    may_have = data[4:8] == b"ftyp" or data.startswith(TIFF_STARTS)
    if not may_have and not any(sign in data for sign in _SIGNS):
        return 1
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.getexif().get(_TAG, 1)
    # What is odd about a file is for the decoder to say.
    except (
        *(OSError, ValueError, SyntaxError, Warning, struct.error),
        Image.DecompressionBombError,
    ):
        return 1
    return found if found in range(1, 9) else 1


def noted_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, as decoders hand it out; 1 where there is none."""
    from PIL import Image

    block = Image.Exif()
    try:
        block.load(exif)
        found = block.get(_TAG, 1)
    except (OSError, ValueError, SyntaxError, Warning, struct.error):
        return 1
    return found if found in range(1, 9) else 1


def swaps_sides(number: int) -> bool:
    """Whether an orientation exchanges height and width.

    >>> swaps_sides(6), swaps_sides(3)
    (True, False)
    """
    return number >= 5


def turn(
    stored: Shaped[np.ndarray, "h w *c"], number: int
) -> Shaped[np.ndarray, "H W *c"]:
    """An array (h w) or (h w c) as its orientation says that it is to be looked at.

    >>> turn(np.array([[1, 2]]), 6).tolist(), turn(np.array([[1, 2]]), 3).tolist()
    ([[1], [2]], [[2, 1]])
    """
    if swaps_sides(number):
        stored = stored.swapaxes(0, 1)
    if number in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if number in (3, 4, 7, 8):
        stored = stored[::-1]
    return np.ascontiguousarray(stored)


def unturn(
    seen: Shaped[np.ndarray, "h w *c"], number: int
) -> Shaped[np.ndarray, "H W *c"]:
    """The inverse of `turn`: an array as it is stored.

    >>> unturn(turn(np.array([[1, 2]]), 6), 6).tolist()
    [[1, 2]]
    """
    return turn(seen, {6: 8, 8: 6}.get(number, number))


def turn_along(
    label: Shaped[np.ndarray, "h w *c"], number: int, size: tuple[int, int]
) -> Shaped[np.ndarray, "H W *c"]:
    """A label as its image is looked at, which has `size` (height, width) after it was turned.

    Labels lie on the pixels as they are stored, and are turned along, unless their size is that
    of the turned image alone.
    """
    upright = swaps_sides(number) and size[0] != size[1] and label.shape[:2] == size
    return label if number == 1 or upright else turn(label, number)
