"""The classes of the built-in scenes."""

from uvim_fsq.types import Category

CATEGORIES: tuple[Category, ...] = (
    Category(1, "table", True, (166, 110, 60)),
    Category(2, "chair", True, (0, 128, 128)),
    Category(3, "sofa", True, (88, 96, 200)),
    Category(4, "bed", True, (150, 190, 255)),
    Category(5, "cabinet", True, (200, 160, 220)),
    Category(6, "bookcase", True, (120, 40, 110)),
    Category(7, "lamp", True, (255, 220, 60)),
    Category(8, "plant", True, (40, 170, 60)),
    Category(9, "box", True, (190, 140, 30)),
    Category(10, "ball", True, (255, 100, 20)),
    Category(11, "picture", True, (230, 60, 120)),
    Category(12, "window", True, (90, 220, 240)),
    Category(13, "door", True, (120, 90, 70)),
    Category(14, "floor", False, (128, 96, 96)),
    Category(15, "wall", False, (190, 190, 180)),
    Category(16, "ceiling", False, (235, 235, 245)),
    Category(17, "rug", False, (180, 40, 50)),
)
"""Ids are 1, 2, ...; 0 is void."""

CATEGORY_ID: dict[str, int] = {row.name: row.id for row in CATEGORIES}
"""The id of a class by its name."""
