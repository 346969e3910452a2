"""What a network of features is given in ColTran's protocol, which UViM's FID-5k follows.

The public evaluation writes pictures as integers in between; so does this, so that values are
rounded and clipped where they are there.
"""

import numpy as np

from uvim_fsq.data.transforms import crop, resize_area
from uvim_fsq.types import Float, Num, UInt8

SIZE = 256
"""Height and width of what the network is given."""

COLOR_SIZE = 512
"""Height and width of the predicted colours."""

PREPARATION = "coltran-256-1"
"""Changes whenever pictures are prepared differently, so that kept features are made anew."""


def picture_pixels(
    image: UInt8[np.ndarray, "h w 3"], size: int = SIZE
) -> UInt8[np.ndarray, "s s 3"]:
    """The square centre crop, resized by area in one step and rounded half to even.

    For reference pictures, of any size. Equal to the public preprocessing, but where a mean lies half-way
    between two integers the order of its sum decides: 1 or 2 values in 100,000 differ by 1.
    """
    return resize_area(_square(image), (size, size))


def prediction_pixels(
    color: Num[np.ndarray, "h w 3"], size: int = SIZE
) -> UInt8[np.ndarray, "s s 3"]:
    """Colours in [-1, 1] resized by area, then `round((c + 1) * 128)`, clipped to [0, 255].

    So 1 becomes 255. Of what is not square, the square centre crop. Raises ValueError for colours
    outside [-1, 1].
    """
    low, high = float(np.min(color)), float(np.max(color))
    if not (low >= -1.001 and high <= 1.001):  # also true for NaN
        raise ValueError(
            f"predicted colours must lie in [-1, 1], found {low:g} to {high:g}: scale 8-bit "
            "values as x / 128 - 1."
        )
    values = resize_area(_square(color.astype(np.float32)), (size, size))
    return np.clip(np.rint((values + 1) * 128), 0, 255).astype(np.uint8)


def network_input(
    pixels: UInt8[np.ndarray, "*b s s 3"],
) -> Float[np.ndarray, "*b s s 3"]:
    """`x / 128 - 1` in float32: 0 becomes -1, and 255 becomes 0.9921875."""
    return pixels.astype(np.float32) / np.float32(128) - np.float32(1)


def _square(image: np.ndarray) -> np.ndarray:
    """The centre; where half a pixel is left over, it lies up and left."""
    height, width = image.shape[:2]
    side = min(height, width)
    return crop(image, ((height - side) // 2, (width - side) // 2, side, side))
