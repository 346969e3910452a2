"""Categories of panoptic labels: read from a JSON, checked, and the 133 of COCO.

COCO's ids run from 1 to 200 with gaps; those up to 90 are things. Colours are the ones that COCO's
files of categories propose.
"""

import colorsys
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.data.entries import flag, integer, read_json, text, whole, wrong
from uvim_fsq.errors import BrokenFileError, DataError
from uvim_fsq.types import Category

_LARGEST_THING = 90
# Of each its id, its name, and red, green and blue.
_CLASSES = """
1 person 220 20 60, 2 bicycle 119 11 32, 3 car 0 0 142, 4 motorcycle 0 0 230, 5 airplane 106 0 228,
6 bus 0 60 100, 7 train 0 80 100, 8 truck 0 0 70, 9 boat 0 0 192, 10 traffic light 250 170 30,
11 fire hydrant 100 170 30, 13 stop sign 220 220 0, 14 parking meter 175 116 175, 15 bench 250 0 30,
16 bird 165 42 42, 17 cat 255 77 255, 18 dog 0 226 252, 19 horse 182 182 255, 20 sheep 0 82 0,
21 cow 120 166 157, 22 elephant 110 76 0, 23 bear 174 57 255, 24 zebra 199 100 0,
25 giraffe 72 0 118, 27 backpack 255 179 240, 28 umbrella 0 125 92, 31 handbag 209 0 151,
32 tie 188 208 182, 33 suitcase 0 220 176, 34 frisbee 255 99 164, 35 skis 92 0 73,
36 snowboard 133 129 255, 37 sports ball 78 180 255, 38 kite 0 228 0, 39 baseball bat 174 255 243,
40 baseball glove 45 89 255, 41 skateboard 134 134 103, 42 surfboard 145 148 174,
43 tennis racket 255 208 186, 44 bottle 197 226 255, 46 wine glass 171 134 1, 47 cup 109 63 54,
48 fork 207 138 255, 49 knife 151 0 95, 50 spoon 9 80 61, 51 bowl 84 105 51, 52 banana 74 65 105,
53 apple 166 196 102, 54 sandwich 208 195 210, 55 orange 255 109 65, 56 broccoli 0 143 149,
57 carrot 179 0 194, 58 hot dog 209 99 106, 59 pizza 5 121 0, 60 donut 227 255 205,
61 cake 147 186 208, 62 chair 153 69 1, 63 couch 3 95 161, 64 potted plant 163 255 0,
65 bed 119 0 170, 67 dining table 0 182 199, 70 toilet 0 165 120, 72 tv 183 130 88,
73 laptop 95 32 0, 74 mouse 130 114 135, 75 remote 110 129 133, 76 keyboard 166 74 118,
77 cell phone 219 142 185, 78 microwave 79 210 114, 79 oven 178 90 62, 80 toaster 65 70 15,
81 sink 127 167 115, 82 refrigerator 59 105 106, 84 book 142 108 45, 85 clock 196 172 0,
86 vase 95 54 80, 87 scissors 128 76 255, 88 teddy bear 201 57 1, 89 hair drier 246 0 122,
90 toothbrush 191 162 208, 92 banner 255 255 128, 93 blanket 147 211 203, 95 bridge 150 100 100,
100 cardboard 168 171 172, 107 counter 146 112 198, 109 curtain 210 170 100,
112 door-stuff 92 136 89, 118 floor-wood 218 88 184, 119 flower 241 129 0, 122 fruit 217 17 255,
125 gravel 124 74 181, 128 house 70 70 70, 130 light 255 228 255, 133 mirror-stuff 154 208 0,
138 net 193 0 92, 141 pillow 76 91 113, 144 platform 255 180 195, 145 playingfield 106 154 176,
147 railroad 230 150 140, 148 river 60 143 255, 149 road 128 64 128, 151 roof 92 82 55,
154 sand 254 212 124, 155 sea 73 77 174, 156 shelf 255 160 98, 159 snow 255 255 255,
161 stairs 104 84 109, 166 tent 169 164 131, 168 towel 225 199 255, 171 wall-brick 137 54 74,
175 wall-stone 135 158 223, 176 wall-tile 7 246 231, 177 wall-wood 107 255 200,
178 water-other 58 41 149, 180 window-blind 183 121 142, 181 window-other 255 73 97,
184 tree-merged 107 142 35, 185 fence-merged 190 153 153, 186 ceiling-merged 146 139 141,
187 sky-other-merged 70 130 180, 188 cabinet-merged 134 199 156, 189 table-merged 209 226 140,
190 floor-other-merged 96 36 108, 191 pavement-merged 96 96 96, 192 mountain-merged 64 170 64,
193 grass-merged 152 251 152, 194 dirt-merged 208 229 228, 195 paper-merged 206 186 171,
196 food-other-merged 152 161 64, 197 building-other-merged 116 112 0, 198 rock-merged 0 114 143,
199 wall-other-merged 102 102 156, 200 rug-merged 250 141 255
"""


def _coco_category(line: str) -> Category:
    number, *name, red, green, blue = line.split()
    color = int(red), int(green), int(blue)
    return Category(int(number), " ".join(name), int(number) <= _LARGEST_THING, color)


COCO_CATEGORIES = tuple(map(_coco_category, _CLASSES.split(",")))
"""In the order of COCO's files, which is that of the ids and of TFDS's labels 0 to 132."""


def read_categories(path: str | Path) -> tuple[Category, ...]:
    """The categories of a JSON: a list of them, or an object with the list `categories`.

    Raises `DataError` if there are none, or one is not as in COCO's panoptic format.
    """
    path = Path(path)
    if path.is_file() and path.read_bytes().lstrip()[:1] == b"[":
        try:
            entries = json.loads(path.read_bytes())
        except ValueError as error:
            raise BrokenFileError(
                path, f"expected a JSON of categories, found no JSON: {error}"
            ) from error
    else:
        entries = read_json(path, ("categories",))["categories"]
    if not entries:
        raise BrokenFileError(path, "expected categories, found an empty list")
    return categories(entries)


def categories(entries: Sequence[Any]) -> tuple[Category, ...]:
    """The categories, whose ids and names must differ: scores and settings go by name."""
    found = tuple(map(_category, entries))
    check_categories(found)
    return found


def check_categories(found: Sequence[Category]) -> None:
    """Raise `DataError` for an id or a name that comes a second time."""
    ids: dict[int, str] = {}
    names: dict[str, int] = {}
    for each in found:
        if each.id in ids:
            raise DataError(f"category {each.id} is listed twice")
        if each.name in names:
            raise DataError(
                f"categories {names[each.name]} and {each.id} are both called {each.name!r}: "
                "give each a name of its own"
            )
        ids[each.id], names[each.name] = each.name, each.id


def _category(entry: Any) -> Category:
    """A category; one without `color` gets a colour that its id determines."""
    number = whole(entry, "id", "a category", 0)
    what = f"category {number}"
    if entry.get("isthing") is None:
        raise DataError(
            f"{what} needs `isthing`, 1 for things and 0 for stuff: these may be the categories of "
            "boxes, not of panoptic segments"
        )
    isthing = bool(flag(entry, "isthing", what))
    color = entry.get("color")
    if color is None:
        # Steps of the golden ratio keep the hues of neighbours apart.
        hue = number * 0.618033988749895 % 1
        color = [round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.65, 0.9)]
    rgb = [integer(c) for c in color] if isinstance(color, list) else []
    if len(rgb) != 3 or not all(c is not None and 0 <= c <= 255 for c in rgb):
        raise wrong(f"`color` of {what}", "RGB from 0 to 255", color)
    red, green, blue = (c or 0 for c in rgb)
    return Category(number, text(entry, "name", what), isthing, (red, green, blue))
