"""The classes of the built-in scenes, as a table in COCO's style."""

CATEGORIES: list[dict] = [
    {"id": 1, "name": "table", "isthing": 1, "color": [166, 110, 60]},
    {"id": 2, "name": "chair", "isthing": 1, "color": [0, 128, 128]},
    {"id": 3, "name": "sofa", "isthing": 1, "color": [88, 96, 200]},
    {"id": 4, "name": "bed", "isthing": 1, "color": [150, 190, 255]},
    {"id": 5, "name": "cabinet", "isthing": 1, "color": [200, 160, 220]},
    {"id": 6, "name": "bookcase", "isthing": 1, "color": [120, 40, 110]},
    {"id": 7, "name": "lamp", "isthing": 1, "color": [255, 220, 60]},
    {"id": 8, "name": "plant", "isthing": 1, "color": [40, 170, 60]},
    {"id": 9, "name": "box", "isthing": 1, "color": [190, 140, 30]},
    {"id": 10, "name": "ball", "isthing": 1, "color": [255, 100, 20]},
    {"id": 11, "name": "picture", "isthing": 1, "color": [230, 60, 120]},
    {"id": 12, "name": "window", "isthing": 1, "color": [90, 220, 240]},
    {"id": 13, "name": "door", "isthing": 1, "color": [120, 90, 70]},
    {"id": 14, "name": "floor", "isthing": 0, "color": [128, 96, 96]},
    {"id": 15, "name": "wall", "isthing": 0, "color": [190, 190, 180]},
    {"id": 16, "name": "ceiling", "isthing": 0, "color": [235, 235, 245]},
    {"id": 17, "name": "rug", "isthing": 0, "color": [180, 40, 50]},
]
"""Rows `id` (1, 2, ...; 0 is void), `name`, `isthing` (0 for stuff) and `color` (RGB, 0-255)."""

CATEGORY_ID: dict[str, int] = {row["name"]: row["id"] for row in CATEGORIES}
"""The id of a class by its name."""
