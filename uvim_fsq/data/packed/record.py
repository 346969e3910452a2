"""One example as bytes.

A record is one example: four bytes with the length of its header (little-endian), the header as JSON,
and the bytes of its arrays. A picture that was a JPEG file is still that file's bytes; every other
array is stored as it lies in memory, and the ArrayRecord file compresses it. That reads several
times as fast as PNG at about the same size.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

_ALIGNMENT = 8


def encode_record(
    values: Mapping[str, Any], jpegs: Mapping[str, bytes] | None = None
) -> bytes:
    """One record of an example: arrays, and whatever JSON can hold.

    `jpegs` are files to store in place of an array of the same name.
    """
    header: dict[str, Any] = {"values": {}, "arrays": {}}
    parts = []
    for name, value in values.items():
        if jpegs and name in jpegs:
            header["arrays"][name] = ["jpeg", len(jpegs[name])]
            parts.append(jpegs[name])
        elif isinstance(value, np.ndarray):
            stored = value.astype(value.dtype.newbyteorder("<"), copy=False)
            header["arrays"][name] = [stored.dtype.str, list(stored.shape)]
            parts.append(stored.tobytes())
        else:
            header["values"][name] = value
    text = json.dumps(
        header, default=_number, separators=(",", ":"), allow_nan=False
    ).encode()
    text += b" " * (-(len(text) + 4) % _ALIGNMENT)
    padded = [part + bytes(-len(part) % _ALIGNMENT) for part in parts]
    return b"".join([len(text).to_bytes(4, "little"), text, *padded])


def decode_record(record: bytes) -> dict[str, Any]:
    """The example that `encode_record` was given, in arrays of its own."""
    start = 4 + int.from_bytes(record[:4], "little")
    header = json.loads(record[4:start])
    example: dict[str, Any] = {}
    for name, (kind, shape) in header["arrays"].items():
        if kind == "jpeg":
            data = np.frombuffer(record, np.uint8, shape, start)
            example[name] = decode_jpeg(data)
            length = shape
        else:
            flat = np.frombuffer(record, np.dtype(kind), math.prod(shape), start)
            example[name] = flat.reshape(shape).copy()
            length = flat.nbytes
        start += length + -length % _ALIGNMENT
    return example | header["values"]


def decode_jpeg(data: np.ndarray) -> np.ndarray:
    """RGB uint8 (h w 3) of a JPEG file's bytes (uint8), turned as its EXIF entry says."""
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError("a picture is not a JPEG, or is damaged")
    return image


def _number(value: Any) -> Any:
    """NumPy's numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored in a record")
