"""Depth estimation: metres, predicted as one of many bins of equal width."""

from collections.abc import Mapping
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np

from uvim_fsq.data.transforms import (
    Box,
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
from uvim_fsq.tasks.depth.files import DepthFiles
from uvim_fsq.types import Array, Example, Float, Int, Num, UInt8

NYU_SIZE = (480, 640)
CROPS: dict[str, Box | None] = {
    "none": None,
    "uvim": (54, 41, 426, 560),
    "eigen": (45, 41, 426, 560),
}
"""Scored part of an NYU frame, `(y, x, height, width)`; None is the whole frame."""

_ASPECT_RANGE = (0.75, 1.33)


class DepthTask:
    """Depth in metres, from `min_depth` to `max_depth`, in `bins` classes.

    The class of a depth d is `clip(floor((d - min) / (max - min) * bins), 0, bins - 1)`, and a class
    stands for the centre of its bin: with the defaults a prediction is exact to 2 cm. Missing depth
    (0, NaN or infinite) falls into bin 0, which the model sees but is not trained to predict. So does a
    pixel that holds the largest number of its 16-bit file, where that is beyond `max_depth`: sensors
    write 65535 where they saw nothing.

    Arguments:
      image_size: height and width that the model works at; the aspect is not kept.
      min_depth, max_depth: in metres, 0 <= min < max. Larger depths count as `max_depth`.
      bins: from 2 to 32,767.
      crop: the part of a frame that is evaluated. "uvim" is rows 54-480, columns 41-601 of NYU's
        480 x 640 frames, "eigen" rows 45-471 and the same columns; on frames of the same aspect and
        another size the box is scaled; other aspects are refused. "none" is the whole frame.
      flip: mirror half of the training examples.
      crop_area: from and to which share of the area a training crop keeps; (1, 1) trains on the
        evaluated part.

    The published runs train on random crops of the whole frame and evaluate on the "uvim" crop.
    """

    default_temperature = 0.0
    averages = True
    file_options = ("format",)

    def __init__(
        self,
        image_size: Size = (512, 512),
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        bins: int = 256,
        crop: str = "uvim",
        flip: bool = True,
        crop_area: tuple[float, float] = (0.05, 1.0),
    ):
        _check_settings(image_size, min_depth, max_depth, bins, crop, crop_area)
        self.image_size = image_size
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.bins = bins
        self.crop = crop
        self.flip = flip
        self.crop_area = crop_area
        self.channels: Mapping[str, int] = {"depth": bins}
        self.plane_dtype = np.dtype(np.uint8 if bins <= 256 else np.int16)

    def preprocess(
        self, example: Example, generator: np.random.Generator, train: bool
    ) -> dict[str, Any]:
        """`image` uint8 (h w 3) and `target` float32 (h w) in metres, 0 where it is missing.

        The image is resized bilinearly, depth to the nearest pixel.
        """
        image, depth = example["image"], known_depth(example, self.max_depth)
        if image.shape[:2] != depth.shape:
            raise TaskError(
                f"image and depth must have the same size, found {image.shape[:2]} and "
                f"{depth.shape}: give depth at the size of its image."
            )
        if train and self.crop_area != (1.0, 1.0):
            box = random_crop_box(generator, depth.shape, self.crop_area, _ASPECT_RANGE)
        else:
            box = self._evaluation_box(depth.shape)
        image, depth = crop(image, box), crop(depth, box)
        if train and self.flip and generator.random() < 0.5:
            image, depth = flip_horizontal(image), flip_horizontal(depth)
        return {
            "image": resize_bilinear(image, self.image_size),
            "target": resize_labels(depth, self.image_size),
        }

    def prepare_image(
        self, image: UInt8[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """A whole picture, uncropped, resized bilinearly to `image_size`."""
        return resize_bilinear(image, self.image_size)

    def encode(
        self, target: Float[np.ndarray, "h w"]
    ) -> Int[np.ndarray, "h w 1"] | UInt8[np.ndarray, "h w 1"]:
        """Bins of depth in metres; uint8 for up to 256 bins, else int16."""
        # All in float32, a factor for a division, in this order: bin edges hang on the last bit.
        nearest = np.float32(self.min_depth)
        scale = np.float32(1) / (np.float32(self.max_depth) - nearest)
        position = (_metres(target) - nearest) * scale
        bins = np.clip(np.floor(position * np.float32(self.bins)), 0, self.bins - 1)
        return bins.astype(self.plane_dtype)[..., None]

    def loss(
        self,
        outputs: Mapping[str, Float[Array, "*b v x"]],
        planes: Mapping[str, Int[Array, "*b x"] | UInt8[Array, "*b x"]],
    ) -> dict[str, Float[Array, "*b x"]]:
        """Cross-entropy of every pixel in nats; 0 in bin 0 and outside [0, bins).

        The public code masks bin 0 in the same way; the mean over all pixels, masked ones
        included, is taken by the caller.
        """
        label = planes["depth"].astype(jnp.int32)
        losses = softmax_cross_entropy(outputs["depth"], label)
        return {"depth": jnp.where(label > 0, losses, 0.0)}

    def decode(
        self, outputs: Mapping[str, Float[Array, "*b v x"]]
    ) -> dict[str, Float[Array, "*b x"]]:
        """`depth` in metres: the centre of the bin with the largest logit."""
        bins = jnp.argmax(outputs["depth"], axis=-2).astype(jnp.float32)
        width = (self.max_depth - self.min_depth) / self.bins
        return {"depth": self.min_depth + (bins + 0.5) * width}

    def restore(
        self, prediction: Mapping[str, Float[np.ndarray, "h w"]], size: Size
    ) -> Float[np.ndarray, "H W"]:
        """Depth in metres (H W) at `size`, by nearest neighbour.

        `size` is that of a whole picture after `prepare_image`, and `reference(...)["size"]` after
        `preprocess`, which cuts out the evaluated part.
        """
        return resize_nearest(np.asarray(prediction["depth"]), size)

    def reference(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """`depth` float32 (h w) and `image` of the evaluated part at full resolution, and `size`."""
        depth = known_depth(reference, self.max_depth)
        box = self._evaluation_box(depth.shape)
        depth, image = crop(depth, box), crop(reference["image"], box)
        return {**reference, "image": image, "depth": depth, "size": depth.shape}

    def left_out(self) -> str | None:
        """Nothing is."""
        return None

    def files(self, format: str = "png") -> DepthFiles:
        """The files of predictions, see `DepthFiles`."""
        return DepthFiles(self, format)

    def visualize(
        self, image: UInt8[np.ndarray, "h w 3"], prediction: Num[np.ndarray, "h w"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Depth in colours: near is red, far is blue, missing is black.

        The scale is logarithmic from `max_depth / 20` to `max_depth` and the same for every picture,
        so that pictures can be compared.
        """
        del image
        nearest = max(self.min_depth, self.max_depth / 20)
        valid = np.isfinite(prediction) & (prediction > 0)
        depth = np.clip(np.where(valid, prediction, 1.0), nearest, self.max_depth)
        closeness = np.log(self.max_depth / depth) / np.log(self.max_depth / nearest)
        levels = np.rint(closeness * 255).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
        return np.where(valid[..., None], colours, 0).astype(np.uint8)

    def _evaluation_box(self, size: Size) -> Box:
        box = CROPS[self.crop]
        if box is None:
            return 0, 0, *size
        scale = size[0] / NYU_SIZE[0]
        if abs(size[1] - NYU_SIZE[1] * scale) > 1:
            raise TaskError(
                f'crop="{self.crop}" is made for frames of NYU Depth v2, 480 x 640 or the same '
                f'aspect; found {size[0]} x {size[1]}: use crop="none" for other frames.'
            )
        top, left, bottom, right = (
            round(edge * scale)
            for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3])
        )
        return top, left, bottom - top, right - left


def known_depth(example: Example, max_depth: float) -> Float[np.ndarray, "h w"]:
    """Depth in metres, 0 where it is missing.

    Missing is also what stands at `depth_limit`, where that is more than `max_depth`.
    """
    depth = _metres(example["depth"])
    limit = example.get("depth_limit", 0.0)
    if limit > max_depth:
        depth = np.where(depth >= np.float32(limit), np.float32(0), depth)
    return depth


def _metres(depth: np.ndarray) -> np.ndarray:
    depth = np.asarray(depth, np.float32)
    return np.where(np.isfinite(depth), depth, np.float32(0))


def _check_settings(image_size, min_depth, max_depth, bins, crop, crop_area):
    def check(holds, expected, found):
        if not holds:
            raise ValueError(f"the depth task expects {expected}, found {found}.")

    check(
        len(image_size) == 2 and min(image_size) > 0,
        "a positive image_size",
        image_size,
    )
    check(
        0 <= min_depth < max_depth < float("inf"),
        "0 <= min_depth < max_depth, in metres",
        f"{min_depth} and {max_depth}",
    )
    check(2 <= bins <= 32767, "from 2 to 32767 bins", bins)
    check(crop in CROPS, f"a crop named {', '.join(CROPS)}", repr(crop))
    check(
        len(crop_area) == 2 and 0 < crop_area[0] <= crop_area[1] <= 1,
        "crop_area to be two shares of the area, 0 < from <= to <= 1",
        crop_area,
    )
