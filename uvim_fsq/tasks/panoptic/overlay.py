"""Panoptic maps for the eye: tinted pictures, class names and a legend."""

import colorsys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.transforms import resize_bilinear, resize_nearest
from uvim_fsq.tasks.panoptic.canonical import find_segments
from uvim_fsq.types import Bool, Category, Int, UInt8

# For small pictures, where texture drowns the tint and a full border what it surrounds, and for
# larger ones.
_SIDES = (32, 256)
_TINTS = (0.7, 0.55)
_BORDERS = (0.3, 0.8)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.45
_LONG_SIDE = 512
_DARK, _LIGHT = (20, 20, 20), (255, 255, 255)
# Turns of the hue and steps of the lightness by which objects of one class differ, in turn.
_SHADES = (
    *((0.0, 0.0), (0.04, -0.18), (-0.04, 0.18), (0.09, 0.08), (-0.09, -0.1)),
    *((0.0, 0.26), (0.06, -0.26)),
)

_Text = tuple[str, tuple[int, int], float]
"""What is written, the lower left corner `(x, y)`, and the font's scale."""


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    prediction: Mapping[str, Any],
    categories: Sequence[Category],
) -> UInt8[np.ndarray, "h w 3"]:
    """The image tinted in the colour of each segment's class, with light borders between segments.

    `prediction` has `panoptic` and `segments`, as a restored prediction or a reference; a map of
    another size is resized to the nearest pixel. Objects of one class differ in their shade.
    Void, and what has no segment, is dark and hatched.
    """
    ids = _map_at(prediction, image.shape[:2])
    colours = _segment_colours(prediction["segments"], categories)
    found = find_segments(ids)
    table = np.array([colours.get(i, _DARK) for i in found.ids.tolist()], np.float32)
    known = np.array([i in colours for i in found.ids.tolist()])[found.index]
    tint, strength = (
        float(np.interp(max(ids.shape), _SIDES, shares))
        for shares in (_TINTS, _BORDERS)
    )
    picture = np.float32(1 - tint) * image + (tint * table)[found.index]
    picture[~known] = _void(image)[~known]
    edges = _borders(ids)
    picture[edges] += strength * (np.asarray(_LIGHT, np.float32) - picture[edges])
    return np.rint(picture).astype(np.uint8)


def picture_with_legend(
    image: UInt8[np.ndarray, "h w 3"],
    prediction: Mapping[str, Any],
    categories: Sequence[Category],
) -> UInt8[np.ndarray, "H W 3"]:
    """`overlay` with class names written on the segments that have room, and a legend below.

    The legend lists the classes by area, with the number of objects of things. Small pictures are
    enlarged by a whole factor, to a long side of about 512 pixels; large ones are left as they are
    and get larger letters.
    """
    height, width = image.shape[:2]
    factor = max(1, round(_LONG_SIDE / max(height, width)))
    size = height * factor, width * factor
    image = resize_bilinear(image, size)
    ids = resize_nearest(_map_at(prediction, (height, width)), size)
    segments = prediction["segments"]
    picture = overlay(image, {"panoptic": ids, "segments": segments}, categories)
    scale = _FONT_SCALE * max(1.0, max(size) / 700)
    picture = _write(picture, _labels(ids, segments, categories, scale))
    legend = _legend(ids, segments, categories, picture.shape[1], scale)
    missing = legend.shape[1] - picture.shape[1]
    picture = np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=255)
    return np.concatenate([picture, legend])


def _map_at(prediction: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    return resize_nearest(np.asarray(prediction["panoptic"]), size)


def _segment_colours(
    segments: Iterable[Mapping[str, Any]], categories: Sequence[Category]
) -> dict[int, tuple[int, int, int]]:
    """A colour for each segment id: its class's, and for things in another shade each."""
    by_id = {category.id: category for category in categories}
    seen: Counter[int] = Counter()
    colours = {}
    for segment in segments:
        category = by_id[segment["category_id"]]
        shade = _SHADES[seen[category.id] % len(_SHADES)]
        seen[category.id] += category.isthing
        colours[segment["id"]] = _shaded(category.color, *shade)
    return colours


def _shaded(
    color: tuple[int, int, int], turn: float, step: float
) -> tuple[int, int, int]:
    """The colour with its hue turned, and lighter or darker: a step up from the lightest is dark."""
    if not turn and not step:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(value / 255 for value in color))
    lightness = 0.15 + (lightness + step - 0.15) % 0.75
    rgb = colorsys.hls_to_rgb((hue + turn) % 1, lightness, saturation)
    red, green, blue = (round(255 * value) for value in rgb)
    return red, green, blue


def _void(image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    """The image, darkened, under diagonal lines."""
    height, width = image.shape[:2]
    line = max(1, round(max(height, width) / 320))
    diagonal = np.add.outer(np.arange(height), np.arange(width)) // line % 6
    dark = np.float32(0.3) * image
    return np.where((diagonal == 0)[..., None], dark * np.float32(0.7) + 90, dark)


def _borders(ids: Int[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Where the segment to the right or below is another; wider in large pictures."""
    edges = np.zeros(ids.shape, np.uint8)
    edges[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    edges[:-1] |= ids[1:] != ids[:-1]
    thickness = max(1, round(max(ids.shape) / 700))
    return cv2.dilate(edges, np.ones((thickness, thickness), np.uint8)) > 0


def _labels(
    ids: Int[np.ndarray, "h w"],
    segments: Iterable[Mapping[str, Any]],
    categories: Sequence[Category],
    scale: float,
) -> list[_Text]:
    """Class names, each where its box lies inside its segment, as far from the border as can be."""
    names = {category.id: category.name for category in categories}
    labels = []
    for segment in segments:
        mask = (ids == segment["id"]).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        mask = np.pad(mask[top : top + height, left : left + width], 1)
        name = names[segment["category_id"]]
        if segment.get("iscrowd"):
            name += " (crowd)"
        for size in (scale, 0.8 * scale):
            place = _place(mask, name, size)
            if place is not None:
                labels.append((name, (left + place[0], top + place[1]), size))
                break
    return labels


def _place(
    mask: UInt8[np.ndarray, "h w"], text: str, scale: float
) -> tuple[int, int] | None:
    """The lower left corner `(x, y)` of a text inside a mask, which has a margin of one pixel."""
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    box = width + 6, height + baseline + 4
    if mask.shape[1] < box[0] or mask.shape[0] < box[1]:
        return None
    inside = cv2.boxFilter(
        mask, cv2.CV_32F, box, normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    room = inside == box[0] * box[1]
    if not room.any():
        return None
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    y, x = np.unravel_index(np.argmax(np.where(room, distance, 0)), mask.shape)
    return int(x) - 1 - width // 2, int(y) - 1 + (height - baseline) // 2


def _write(
    picture: UInt8[np.ndarray, "h w 3"], texts: Sequence[_Text]
) -> UInt8[np.ndarray, "h w 3"]:
    """Texts in white on a dark halo."""
    letters = np.zeros(picture.shape[:2], np.uint8)
    for text, corner, scale in texts:
        cv2.putText(letters, text, corner, _FONT, scale, (255,), 1, cv2.LINE_AA)
    # The halo is grown from the letters: thicker letters would stand elsewhere.
    width = 2 * round(2 * max(1.0, max(letters.shape) / 700)) + 1
    halo = cv2.dilate(letters, np.ones((width, width), np.uint8))
    halo = cv2.GaussianBlur(halo, (3, 3), 0)
    result = picture.astype(np.float32)
    for cover, colour, strength in ((halo, _DARK, 0.75), (letters, _LIGHT, 1.0)):
        share = strength / 255 * cover[..., None].astype(np.float32)
        result += share * (np.asarray(colour, np.float32) - result)
    return np.rint(result).astype(np.uint8)


def _legend(
    ids: Int[np.ndarray, "h w"],
    segments: Iterable[Mapping[str, Any]],
    categories: Sequence[Category],
    width: int,
    scale: float,
) -> UInt8[np.ndarray, "H W 3"]:
    """Colour, name and number of objects of every class there, in columns on white."""
    entries = _legend_entries(ids, segments, categories)
    (_, letter), _ = cv2.getTextSize("X", _FONT, scale, 1)
    line, swatch = round(2.2 * letter), round(1.4 * letter)
    longest = max(cv2.getTextSize(text, _FONT, scale, 1)[0][0] for text, _ in entries)
    column = longest + 2 * swatch + line
    columns = max(1, min(len(entries), (width - swatch) // column))
    rows = -(-len(entries) // columns)
    shape = (rows + 1) * line, max(width, columns * column + swatch), 3
    legend = np.full(shape, 255, np.uint8)
    for number, (text, colour) in enumerate(entries):
        x = swatch + number // rows * column
        y = line // 2 + number % rows * line
        corner = y + (line - swatch) // 2
        legend[corner : corner + swatch, x : x + swatch] = colour
        place = x + 2 * swatch - swatch // 2, y + (line + letter) // 2
        cv2.putText(legend, text, place, _FONT, scale, _DARK, 1, cv2.LINE_AA)
    return legend


def _legend_entries(ids, segments, categories) -> list[tuple[str, tuple]]:
    found = find_segments(ids)
    pixels = dict(zip(found.ids.tolist(), found.areas.tolist(), strict=True))
    areas: Counter[int] = Counter()
    objects: Counter[int] = Counter()
    for segment in segments:
        area = pixels.pop(segment["id"], 0)
        areas[segment["category_id"]] += area
        objects[segment["category_id"]] += area > 0 and not segment.get("iscrowd")
    by_id = {category.id: category for category in categories}
    entries = []
    for category_id, area in areas.most_common():
        category = by_id[category_id]
        several = category.isthing and objects[category_id] > 1
        count = f" ({objects[category_id]})" if several else ""
        if area:
            entries.append((category.name + count, category.color))
    if sum(pixels.values()) or not entries:
        entries.append(("void", _DARK))
    return entries
