"""Resizing, cropping, flipping and greying of images and label planes, in NumPy and OpenCV.

An image is `(h, w, c)`, a plane `(h, w)`; every function takes both, keeps the dtype and returns a
contiguous array. Sizes are `(height, width)`, boxes `(y, x, height, width)` in whole pixels. All
resizing uses half-pixel centres: output pixel i lies at `(i + 0.5) * in / out - 0.5` of the input.
"""

from collections.abc import Callable

import cv2
import numpy as np

from uvim_fsq.fields import Size
from uvim_fsq.types import Float, Int, Shaped

Box = tuple[int, int, int, int]
"""`(y, x, height, width)` in pixels, `y, x` the upper left corner."""

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
_CROP_TRIES = 100


def resize_bilinear(
    image: Shaped[np.ndarray, "h w *c"], size: Size
) -> Shaped[np.ndarray, "H W *c"]:
    """Resize by bilinear interpolation without antialiasing; the aspect is not kept.

    Floats agree with the public pipeline to float32 rounding. uint8 and uint16 are rounded to
    the nearest integer, where the public pipeline truncates: ours is up to 1 higher, half a
    grey level on average. Interpolating class or segment ids makes no sense, so other integer
    types are refused.
    """
    if image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise TypeError(
            f"bilinear resizing takes uint8, uint16, float32 or float64, got {image.dtype}; "
            "use resize_labels for labels"
        )
    return _resize_opencv(image, size, cv2.INTER_LINEAR)


def resize_labels(
    plane: Shaped[np.ndarray, "h w *c"], size: Size
) -> Shaped[np.ndarray, "H W *c"]:
    """Resize a label for training to the nearest input pixel, for any dtype.

    It picks as the published preprocessing does, see `preprocessing_index`.
    """
    return _take_nearest(plane, size, preprocessing_index)


def resize_nearest(
    plane: Shaped[np.ndarray, "h w *c"], size: Size
) -> Shaped[np.ndarray, "H W *c"]:
    """Resize a prediction to the nearest input pixel, for any dtype.

    It picks as the published evaluation does, see `nearest_index`.
    """
    return _take_nearest(plane, size, nearest_index)


def preprocessing_index(length: int, new_length: int) -> Int[np.ndarray, "n"]:
    """Source index of each of `new_length` positions, `floor((i + 0.5) * (in / out))`, in float32.

    TensorFlow computes it so (`tf.image.resize`, "nearest"), and with it the published
    preprocessing. Where a centre falls exactly on the edge of two pixels, rounding decides
    between them: from 50 to 61, say, position 30 takes 25 here and 24 by `nearest_index`.
    """
    scale = np.float32(length) / np.float32(new_length)
    return np.minimum((_centres(new_length) * scale).astype(np.int64), length - 1)


def nearest_index(length: int, new_length: int) -> Int[np.ndarray, "n"]:
    """Source index of each of `new_length` positions, `floor((i + 0.5) * in * (1 / out))`, in float32.

    JAX computes it so (`jax.image.resize`, "nearest"), and with it the published evaluation. The
    order of the products matters, see `preprocessing_index`.
    """
    reciprocal = np.float32(1) / np.float32(new_length)
    return (_centres(new_length) * np.float32(length) * reciprocal).astype(np.int64)


def resize_area(
    image: Shaped[np.ndarray, "h w *c"], size: Size
) -> Shaped[np.ndarray, "H W *c"]:
    """Resize so that each output pixel is the mean of the input area that it covers.

    Fractions of pixels count by their share, also when the image grows. Integers are computed
    in floats and rounded half to even at the end.
    """
    _check_size(image, size)
    height, width = image.shape[:2]
    values = image if image.dtype == np.float64 else image.astype(np.float32)
    if size[0] <= height and size[1] <= width:
        # OpenCV's area mode is the same mean, and fast, as long as nothing grows.
        result = _resize_opencv(values, size, cv2.INTER_AREA)
    else:
        tall = _area_rows(values, size[0])
        result = _area_rows(tall.swapaxes(0, 1), size[1]).swapaxes(0, 1)
    if np.issubdtype(image.dtype, np.integer):
        result = np.rint(result)
    return np.ascontiguousarray(result, dtype=image.dtype)


def random_crop_box(
    generator: np.random.Generator,
    size: Size,
    area_range: tuple[float, float] = (0.05, 1.0),
    aspect_range: tuple[float, float] = (0.75, 1.33),
) -> Box:
    """Draw a random box inside a frame of `size`, as the published training runs do.

    The aspect (width / height) is uniform in `aspect_range`; given it, the height is uniform
    over the whole numbers for which the box fits the frame and covers a share of its area
    within `area_range` (so the area itself is not uniform: this is the sampling of
    `tf.image.sample_distorted_bounding_box`); the position is uniform. After 100 failed draws,
    as in very long frames, the box is the whole frame.
    """
    height, width = size
    low, high = area_range[0] * height * width, area_range[1] * height * width
    for _ in range(_CROP_TRIES):
        aspect = generator.uniform(*aspect_range)
        smallest = max(1, round(float(np.sqrt(low / aspect))))
        largest = round(float(np.sqrt(high / aspect)))
        largest = min(largest, height, int((width + 0.5) / aspect))
        if smallest > largest:
            continue
        box_height = int(generator.integers(smallest, largest, endpoint=True))
        box_width = round(box_height * aspect)
        if not 1 <= box_width <= width or not low <= box_height * box_width <= high:
            continue
        y = int(generator.integers(0, height - box_height, endpoint=True))
        x = int(generator.integers(0, width - box_width, endpoint=True))
        return y, x, box_height, box_width
    return 0, 0, height, width


def crop(array: Shaped[np.ndarray, "h w *c"], box: Box) -> Shaped[np.ndarray, "H W *c"]:
    """Cut `box` out of an image or plane; a box that leaves the frame is an error."""
    y, x, height, width = box
    rows, columns = array.shape[:2]
    if (
        min(y, x) < 0
        or min(height, width) < 1
        or y + height > rows
        or x + width > columns
    ):
        raise ValueError(
            f"the box (y, x, height, width) = {box} does not lie inside the "
            f"{rows} x {columns} frame"
        )
    return np.ascontiguousarray(array[y : y + height, x : x + width])


def flip_horizontal(
    array: Shaped[np.ndarray, "h w *c"],
) -> Shaped[np.ndarray, "h w *c"]:
    """Mirror left and right."""
    if array.dtype == np.uint8:  # NumPy copies interleaved bytes backwards very slowly
        return cv2.flip(np.ascontiguousarray(array), 1).reshape(array.shape)
    return np.ascontiguousarray(array[:, ::-1])


def to_gray(image: Shaped[np.ndarray, "h w 3"]) -> Shaped[np.ndarray, "h w 3"]:
    """Grey as three equal channels, `0.2989 R + 0.587 G + 0.114 B`.

    uint8 becomes `floor(255.5 * grey / 255)`, as in the public pipeline; floats of any range
    are weighted as they are.
    """
    weights = np.asarray(GRAY_WEIGHTS, np.float32)
    if image.dtype == np.uint8:
        unit = image.astype(np.float32) * np.float32(1 / 255)
        gray = np.minimum((unit @ weights) * np.float32(255.5), 255).astype(np.uint8)
    elif np.issubdtype(image.dtype, np.floating):
        gray = image @ weights.astype(image.dtype)
    else:
        raise TypeError(f"to_gray takes uint8 or float images, got {image.dtype}")
    return cv2.merge([gray] * 3)  # np.repeat takes twenty times as long


def _centres(length: int) -> Float[np.ndarray, "n"]:
    """Of pixels, in float32."""
    return np.arange(length, dtype=np.float32) + np.float32(0.5)


def _take_nearest(
    plane: np.ndarray, size: Size, index: Callable[[int, int], np.ndarray]
) -> np.ndarray:
    _check_size(plane, size)
    if plane.shape[:2] == tuple(size):
        return np.ascontiguousarray(plane)
    rows = index(plane.shape[0], size[0])
    columns = index(plane.shape[1], size[1])
    return plane.take(rows, axis=0).take(columns, axis=1)


def _resize_opencv(image: np.ndarray, size: Size, interpolation: int) -> np.ndarray:
    _check_size(image, size)
    if image.shape[:2] == tuple(size):
        return np.ascontiguousarray(image)
    resized = cv2.resize(
        np.ascontiguousarray(image), (size[1], size[0]), interpolation=interpolation
    )
    # OpenCV drops a channel axis of length one.
    return resized.reshape(*size, *image.shape[2:])


def _area_rows(values: np.ndarray, new_length: int) -> np.ndarray:
    """Means over equal parts of the rows: the rows that a part touches, by their shares."""
    length = len(values)
    cuts = np.arange(new_length + 1) * length / new_length
    starts, ends = cuts[:-1], cuts[1:]
    first = np.floor(starts).astype(np.int64)
    touched = int(np.max(np.ceil(ends).astype(np.int64) - first))
    total = np.zeros((new_length, *values.shape[1:]), values.dtype)
    for row in (first + i for i in range(touched)):
        share = np.clip(np.minimum(ends, row + 1) - np.maximum(starts, row), 0, None)
        share = (share * (new_length / length)).astype(values.dtype)
        part = values.take(np.minimum(row, length - 1), axis=0)
        total += part * share.reshape(-1, *(1,) * (values.ndim - 1))
    return total


def _check_size(image: np.ndarray, size: Size) -> None:
    if min(size) < 1 or min(image.shape[:2]) < 1:
        raise ValueError(
            f"cannot resize {image.shape[0]} x {image.shape[1]} to {size[0]} x {size[1]}: "
            "every side must have at least one pixel"
        )
