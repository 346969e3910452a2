"""What is stored of one example: its record, changed where that was asked for."""

import hashlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.images import JPEG_START
from uvim_fsq.data.packed.record import decode_jpeg, encode_record
from uvim_fsq.data.segments import count_pixels
from uvim_fsq.data.transforms import resize_area, resize_labels
from uvim_fsq.errors import DataError


@dataclass(frozen=True)
class Changes:
    """What is stored otherwise than the source gives it; nothing, by default.

    Attributes:
      max_side: pictures of the part `train` whose longer side is longer are made smaller, keeping
        the aspect: pictures by area (each pixel the mean of what it covers), labels to the nearest
        pixel; areas of segments are counted anew, and segments that vanish are left out. The part
        `validation` keeps its size, since predictions are scored at the original size.
      jpeg_quality: 1 to 100. Pictures that are not copied are stored as JPEG of this quality: a tenth
        of the space, and no longer the same to the bit.
      millimetres: depth is rounded to whole millimetres, which measured depth is anyway; floats with
        noise in their last bits then take a fifth of the space.
    """

    max_side: int | None = None
    jpeg_quality: int | None = None
    millimetres: bool = False

    def __post_init__(self):
        if self.max_side is not None and self.max_side < 1:
            raise ValueError(f"max_side must be at least 1 pixel, got {self.max_side}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ValueError(
                f"jpeg_quality must be from 1 to 100, got {self.jpeg_quality}"
            )

    def describe(self) -> list[str]:
        """A sentence for each change."""
        said = []
        if self.max_side:
            said.append(
                f"training pictures and labels have at most {self.max_side} pixels a side"
            )
        if self.jpeg_quality:
            said.append(
                f"pictures that were not JPEG are, of quality {self.jpeg_quality}"
            )
        if self.millimetres:
            said.append("depth is rounded to millimetres")
        return said


def source_fingerprint(source: Source) -> str:
    """Differs where a source gives other examples: by its files and settings, else by three examples."""
    of_files = getattr(source, "fingerprint", None)
    if of_files is not None:
        return of_files()
    last = len(source) - 1
    chosen = sorted({0, last // 2, last}) if len(source) else []
    records = [make_record(source, index, Changes(), None)[1] for index in chosen]
    return hashlib.sha256(b"".join(records)).hexdigest()


def make_record(
    source: Source, index: int, changes: Changes, max_side: int | None
) -> tuple[list[str], bytes]:
    """The names of an example's labels, and its record."""
    example = dict(source.reference(index))
    example.pop("size", None)
    name = source.example_id(index)
    labels = [key for key, value in example.items() if isinstance(value, np.ndarray)]
    labels.remove("image")
    if any(example[label].dtype.hasobject for label in labels):
        raise DataError(f"example {name!r} has arrays of objects, which are not stored")
    if changes.millimetres and "depth" in example:
        counts = np.rint(example["depth"] * np.float32(1000))
        example["depth"] = counts / np.float32(1000)
        if limit := example.get("depth_limit"):
            rounded = np.rint(np.float32(limit) * np.float32(1000)) / np.float32(1000)
            example["depth_limit"] = float(rounded)
    jpeg = None
    if max_side is not None and max(example["image"].shape[:2]) > max_side:
        example = shrink(example, max_side)
    else:
        jpeg = _copied_jpeg(source, index, example["image"])
    if jpeg is None and changes.jpeg_quality:
        options = [cv2.IMWRITE_JPEG_QUALITY, changes.jpeg_quality]
        pixels = cv2.cvtColor(example["image"], cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", pixels, options)[1].tobytes()
    try:
        return labels, encode_record(example, {} if jpeg is None else {"image": jpeg})
    except TypeError as error:
        raise DataError(f"example {name!r} cannot be stored: {error}") from error


def shrink(example: dict[str, Any], max_side: int) -> dict[str, Any]:
    """The example with the longer side of picture and labels `max_side`, see `Changes.max_side`."""
    height, width = example["image"].shape[:2]
    scale = max_side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = dict(example)
    for name, value in example.items():
        if isinstance(value, np.ndarray) and value.shape[:2] == (height, width):
            resize = resize_area if name == "image" else resize_labels
            small[name] = resize(value, size)
    if "segments" in small:
        areas = count_pixels(small["panoptic"])
        small["segments"] = [
            {**segment, "area": areas[segment["id"]]}
            for segment in example["segments"]
            if segment["id"] in areas
        ]
    return small


def _copied_jpeg(source: Source, index: int, image: np.ndarray) -> bytes | None:
    """The bytes of the picture's file, if it is a JPEG that decodes to the example's picture."""
    image_file = getattr(source, "image_file", None)
    data = b"" if image_file is None else image_file(index).read_bytes()
    if not data.startswith(JPEG_START):
        return None
    # CMYK, say, is converted by rules of the folder's own.
    same = np.array_equal(decode_jpeg(np.frombuffer(data, np.uint8)), image)
    return data if same else None
