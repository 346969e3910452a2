"""Panoptic segmentation: the class of every pixel, and which object it belongs to."""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from uvim_fsq.data.transforms import (
    crop,
    flip_horizontal,
    random_crop_box,
    resize_bilinear,
    resize_labels,
    resize_nearest,
)
from uvim_fsq.fields import Size
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy
from uvim_fsq.tasks.base import TaskError
from uvim_fsq.tasks.panoptic.canonical import (
    Segments,
    canonical_numbers,
    find_segments,
    keep_largest,
)
from uvim_fsq.tasks.panoptic.decode import one_class_per_instance
from uvim_fsq.tasks.panoptic.files import PanopticFiles
from uvim_fsq.tasks.panoptic.overlay import overlay
from uvim_fsq.types import Array, Category, Example, Float, Int, UInt8

_ASPECT_RANGE = (0.75, 1.33)
_log = logging.getLogger(__name__)


class PanopticTask:
    """Panoptic maps as two channels: `semantics`, the class, and `instances`, the object.

    Class 0 is void, class i the i-th of `categories`. Every segment (thing, stuff or crowd) has an
    instance number of its own, from 1 in the canonical order, see `uvim_fsq.tasks.panoptic.canonical`;
    void has 0. A prediction groups the pixels by their instance, and each group takes one class.

    Arguments:
      categories: the classes of the data, without void.
      image_size: height and width that the model works at; the aspect is not kept.
      classes: of the semantics channel, void included; 0 for `len(categories) + 1`. Predicted
        classes beyond the categories count as void.
      instances: slots of the instances channel. With 100 slots 99 segments fit; of more than
        that, the largest are kept, the others become void and are counted in `overflow`.
      min_fraction: predicted segments with at most this share of the picture become void.
      flip: mirror half of the training examples.
      crop_area: from and to which share of the area a training crop keeps; (1, 1) trains on
        whole pictures.
    """

    default_temperature = 0.0
    averages = False
    file_options = ()

    def __init__(
        self,
        categories: Sequence[Category],
        image_size: Size = (512, 512),
        classes: int = 0,
        instances: int = 100,
        min_fraction: float = 0.0,
        flip: bool = True,
        crop_area: tuple[float, float] = (0.05, 1.0),
    ):
        classes = classes or len(categories) + 1
        _check_settings(
            categories, image_size, classes, instances, min_fraction, crop_area
        )
        self.categories = tuple(categories)
        self.image_size = image_size
        self.min_fraction = min_fraction
        self.flip = flip
        self.crop_area = crop_area
        self.channels: Mapping[str, int] = {
            "semantics": classes,
            "instances": instances,
        }
        self.plane_dtype = np.dtype(np.int16)
        self.overflow = Overflow()
        self._labels = {c.id: i for i, c in enumerate(self.categories, start=1)}
        self._isthing = np.array([False, *(c.isthing for c in self.categories)])

    def preprocess(
        self, example: Example, generator: np.random.Generator, train: bool
    ) -> dict[str, Any]:
        """`image` uint8 (h w 3) and `target`: `semantics` and `instances`, int32 (h w).

        The image is resized bilinearly, ids to the nearest pixel; segments are numbered last, so
        that the numbers do not depend on what a crop left out. Negative ids become -1 in both.
        """
        image, ids = example["image"], np.asarray(example["panoptic"])
        _check_same_size(example)
        if train and self.crop_area != (1.0, 1.0):
            box = random_crop_box(generator, ids.shape, self.crop_area, _ASPECT_RANGE)
            image, ids = crop(image, box), crop(ids, box)
        if train and self.flip and generator.random() < 0.5:
            image, ids = flip_horizontal(image), flip_horizontal(ids)
        segments = find_segments(resize_labels(ids, self.image_size))
        classes = self._classes(segments, example)
        numbers = self._fitting(canonical_numbers(segments), segments.areas)
        classes[numbers == 0] = 0
        return {
            "image": resize_bilinear(image, self.image_size),
            "target": {
                "semantics": classes[segments.index],
                "instances": numbers[segments.index],
            },
        }

    def prepare_image(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """A whole picture, resized bilinearly to `image_size`."""
        return resize_bilinear(image, self.image_size)

    def encode(
        self, target: Mapping[str, Int[np.ndarray, "h w"]]
    ) -> Int[np.ndarray, "h w 2"]:
        """Classes and instance numbers as int16; what does not fit its channel is -1, ignored."""
        planes = np.empty((*target["semantics"].shape, 2), self.plane_dtype)
        # One channel at a time: several times as fast as both in one array.
        for i, (name, classes) in enumerate(self.channels.items()):
            plane = target[name]
            planes[..., i] = plane
            planes[..., i][(plane < 0) | (plane >= classes)] = -1
        return planes

    def loss(
        self,
        outputs: Mapping[str, Float[Array, "*b v x"]],
        planes: Mapping[str, Int[Array, "*b x"]],
    ) -> dict[str, Float[Array, "*b x"]]:
        """Cross-entropy of every pixel in nats, for each channel; 0 outside [0, classes).

        Void is a class to be predicted like any other.
        """
        return {
            name: softmax_cross_entropy(outputs[name], planes[name])
            for name in self.channels
        }

    def decode(
        self, outputs: Mapping[str, Float[Array, "b p v x"]]
    ) -> dict[str, Int[Array, "b p x"]]:
        """`semantics` and `instances` of whole pictures, see `one_class_per_instance`."""
        semantics, instances = one_class_per_instance(
            outputs["semantics"], outputs["instances"], self.min_fraction
        )
        return {"semantics": semantics, "instances": instances}

    def restore(
        self, prediction: Mapping[str, Int[np.ndarray, "h w"]], size: Size
    ) -> dict[str, Any]:
        """`panoptic` int32 (H W) at `size` and its `segments`, as `uvim_fsq.types.Example` has them.

        Resized by nearest neighbour; the segments of one stuff class merge; class 0 and classes
        beyond the categories are void. Areas are counted at `size`, and segments that vanish
        there are left out. Ids run from 1, by class and then instance.
        """
        semantics, instances = (np.asarray(prediction[name]) for name in self.channels)
        known = (semantics > 0) & (semantics <= len(self.categories))
        labels = np.where(known, semantics, 0).astype(np.int32)
        slots = self.channels["instances"]
        numbers = np.where(self._isthing[labels], instances, 0)
        keys = labels * slots + numbers.astype(np.int32)
        found = find_segments(resize_nearest(keys, size))
        has_void = int(found.ids[0] == 0)
        segments = [
            {
                "id": number,
                "category_id": self.categories[key // slots - 1].id,
                "iscrowd": 0,
                "area": int(area),
            }
            for number, (key, area) in enumerate(
                zip(found.ids[has_void:], found.areas[has_void:], strict=True), start=1
            )
        ]
        panoptic = (found.index + 1 - has_void).astype(np.int32)
        return {"panoptic": panoptic, "segments": segments}

    def reference(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """The whole picture is scored: the reference as it is, with its `size`."""
        _check_same_size(reference)
        return {**reference, "size": reference["panoptic"].shape}

    def left_out(self) -> str | None:
        """A sentence on the segments that had no slot; None if all had."""
        if not self.overflow.pictures:
            return None
        return (
            f"{self.overflow.segments} segments of {self.overflow.pictures} pictures became void, "
            f"because they had more than the {self.channels['instances'] - 1} that --task.instances "
            "allows (pictures count each time they were read)"
        )

    def files(self) -> PanopticFiles:
        """The files of predictions, see `PanopticFiles`."""
        return PanopticFiles(self)

    def visualize(
        self, image: UInt8[np.ndarray, "h w 3"], prediction: Mapping[str, Any]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The image tinted in the colours of the classes, with borders; void is dark and hatched.

        Takes a restored prediction, a reference, or a target.
        """
        if "semantics" in prediction:
            prediction = self.restore(prediction, image.shape[:2])
        return overlay(image, prediction, self.categories)

    def _classes(self, segments: Segments, example: Example) -> Int[np.ndarray, "k"]:
        """The class of each segment of a map: 0 for id 0, -1 for negative ids."""
        classes = {}
        for segment in example["segments"]:
            label = self._labels.get(segment["category_id"])
            if label is None:
                raise TaskError(
                    f"segment {segment['id']} of picture {_name(example)} has category "
                    f"{segment['category_id']}, which is none of the {len(self.categories)} "
                    "categories of this task: use labels and categories of one dataset."
                )
            classes[segment["id"]] = label
        classes[0] = 0
        unknown = [i for i in segments.ids.tolist() if i > 0 and i not in classes]
        if unknown:
            raise TaskError(
                f"the panoptic map of picture {_name(example)} has pixels with id {unknown[0]}, "
                f"which none of its {len(example['segments'])} segments has: give every id but 0 "
                "(void) a segment."
            )
        return np.array(
            [classes[i] if i >= 0 else -1 for i in segments.ids.tolist()], np.int32
        )

    def _fitting(
        self, numbers: Int[np.ndarray, "k"], areas: Int[np.ndarray, "k"]
    ) -> Int[np.ndarray, "k"]:
        """The numbers of the segments that find a slot; 0 for the others, which are counted."""
        fit = self.channels["instances"] - 1
        found = int(numbers.max(initial=0))
        if found > fit and self.overflow.count(found - fit):
            _log.warning(
                "a picture has %d segments, and %d fit besides void: the smallest become void. Set "
                "instances to %d or more to keep them all (this is said only once)",
                *(found, fit, found + 1),
            )
        return keep_largest(numbers, areas, fit)


class Overflow:
    """How much was left out because there were more segments than slots. Safe to use in threads."""

    def __init__(self) -> None:
        self.pictures = 0
        """Pictures prepared with something left out, counted each time they were prepared."""
        self.segments = 0
        """Segments left out of them."""
        self._lock = threading.Lock()

    def count(self, segments: int) -> bool:
        """Adds a picture with its segments left out; whether it is the first."""
        with self._lock:
            self.pictures += 1
            self.segments += segments
            return self.pictures == 1


def _name(example: Mapping[str, Any]) -> str:
    return repr(example["id"]) if "id" in example else "without an id"


def _check_same_size(example: Mapping[str, Any]) -> None:
    image, panoptic = np.shape(example["image"]), np.shape(example["panoptic"])
    if image[:2] != panoptic:
        raise TaskError(
            f"image and panoptic map must have the same size, found {image[:2]} and {panoptic} for "
            f"picture {_name(example)}: give one segment id for each pixel of the image."
        )


def _check_settings(
    categories, image_size, classes, instances, min_fraction, crop_area
):
    def check(holds, expected, found):
        if not holds:
            raise TaskError(f"the panoptic task expects {expected}, found {found}.")

    ids = [category.id for category in categories]
    check(ids, "the categories of the data, without void", "none")
    check(min(ids) >= 0, "category ids of at least 0", min(ids))
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    check(not repeated, "every category id once", f"{repeated} repeatedly")
    check(
        len(image_size) == 2 and min(image_size) > 0,
        "a positive image_size",
        image_size,
    )
    check(
        len(ids) < classes <= 32767,
        f"classes to be 0 (choose by itself) or from {len(ids) + 1} (void and the "
        f"{len(ids)} categories) to 32767",
        classes,
    )
    check(
        2 <= instances <= 32767, "from 2 to 32767 instances, void's included", instances
    )
    check(0 <= min_fraction < 1, "0 <= min_fraction < 1", min_fraction)
    check(
        len(crop_area) == 2 and 0 < crop_area[0] <= crop_area[1] <= 1,
        "crop_area to be two shares of the area, 0 < from <= to <= 1",
        crop_area,
    )
