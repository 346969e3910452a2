"""The files of predicted segments."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from uvim_fsq.data.coco.format import CocoImage, describe, write_index
from uvim_fsq.data.coco.png import write_ids
from uvim_fsq.data.orientation import unturn
from uvim_fsq.tasks.files import paths, write_png
from uvim_fsq.tasks.panoptic.overlay import picture_with_legend

_LONGEST_NUMBER = 18
"""Digits of ids that fit 64 bits, for readers that know no longer ones."""


@dataclass(frozen=True)
class PanopticFiles:
    """COCO's format, `panoptic/NAME.png` and one `panoptic.json`, and `NAME_overlay.png`.

    The PNG lies on the pixels as the picture's file stores them, as COCO's own do.
    """

    task: Any
    annotations: dict[str, tuple[str, list]] = field(default_factory=dict)
    images: dict[str, CocoImage] = field(default_factory=dict)
    patterns = ("panoptic/{}.png", "{}_overlay.png")
    shared = ("panoptic.json",)

    def result(self, prediction):
        """`panoptic` int32 (h w) of segment ids, 0 for void, and `segments`."""
        return prediction

    def write(self, output, stem, image, prediction, turned=1):
        """Both pictures."""
        data, view = paths(self, output, stem)
        ids = unturn(prediction["panoptic"], turned)
        write_ids(data, ids)
        segments = describe(ids, prediction["segments"])
        self.annotations[stem] = (data.name, segments)
        self.images[stem] = CocoImage(f"{stem}.png", *ids.shape)
        write_png(view, picture_with_legend(image, prediction, self.task.categories))

    def finish(self, output):
        """The JSON of all pictures."""
        ids = image_ids(self.images)
        write_index(
            output / self.shared[0],
            self.task.categories,
            {ids[stem]: image for stem, image in self.images.items()},
            {ids[stem]: entry for stem, entry in self.annotations.items()},
        )


def image_ids(stems: Collection[str]) -> dict[str, int | str]:
    """The id of each picture: its number where its name is one, as COCO's are, else its name.

    A number that two names share, as `1` and `01` do, is no id: both keep their names.

    >>> image_ids(["000139", "street", "1", "01"])
    {'000139': 139, 'street': 'street', '1': '1', '01': '01'}
    """
    numbers = {
        stem: int(stem)
        for stem in stems
        if stem.isascii() and stem.isdigit() and len(stem) <= _LONGEST_NUMBER
    }
    count = Counter(numbers.values())
    return {
        stem: numbers[stem] if count[numbers.get(stem, -1)] == 1 else stem
        for stem in stems
    }
