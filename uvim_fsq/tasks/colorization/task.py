"""Colorization: the colours of a picture, predicted from its grey as continuous values."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from uvim_fsq.data.transforms import (
    Box,
    crop,
    flip_horizontal,
    random_crop_box,
    resize_area,
    resize_bilinear,
    to_gray,
)
from uvim_fsq.fields import Size
from uvim_fsq.tasks.base import TaskError
from uvim_fsq.tasks.colorization.files import ColorFiles
from uvim_fsq.types import Array, Example, Float, Shaped, UInt8

# Large photographs are coloured in strips: a processor's cache holds one, memory need not hold all.
_STRIP_ROWS = 32


class ColorizationTask:
    """RGB colours in [-1, 1] of a grey picture, one continuous channel of three values.

    The model's image is the grey of the colours, `0.2989 R + 0.587 G + 0.114 B`, in three equal
    channels. Pictures without colour are used like all others, as in the published runs.

    Training pictures are random crops, resized bilinearly, scaled as `x / 127.5 - 1`. Evaluation
    follows ColTran, as UViM does: the square centre crop, resized by area, rounded to 8 bits, scaled
    as `x / 128 - 1`, and the grey of *those* values, which is not rounded again. (Where `image_size` is not
    square, the crop is the largest one with its aspect.)

    `default_temperature` is 1: the likeliest guiding code stands for the safest colours, which
    are dull, while a sample commits itself to one plausible colouring. The public notebook samples at 1
    too; the published FID-5k, however, is that of greedy codes (temperature 0).

    Arguments:
      image_size: height and width that the model works at; training does not keep the aspect.
      flip: mirror half of the training examples.
      crop_area: from and to which share of the area a training crop keeps; (1, 1) trains on the
        evaluated part.
    """

    default_temperature = 1.0
    averages = True
    file_options = ("keep_luminance",)

    def __init__(
        self,
        image_size: Size = (512, 512),
        flip: bool = True,
        crop_area: tuple[float, float] = (0.05, 1.0),
    ):
        _check_settings(image_size, crop_area)
        self.image_size = image_size
        self.flip = flip
        self.crop_area = crop_area
        self.channels: Mapping[str, int] = {"color": 3}
        self.plane_dtype = np.dtype(np.float32)

    def preprocess(
        self, example: Example, generator: np.random.Generator, train: bool
    ) -> dict[str, Any]:
        """`image`, grey (h w 3), and `target`, float32 (h w 3) in [-1, 1].

        The image is uint8 when training and float32 in [-1, 1] otherwise, see the class.
        """
        picture = _picture(example["image"])
        if not train:
            color = _coltran_color(self._evaluated_part(picture))
            return {"image": to_gray(color), "target": color}
        if self.crop_area == (1.0, 1.0):
            box = self._evaluation_box(picture.shape[:2])
        else:
            box = random_crop_box(generator, picture.shape[:2], self.crop_area)
        picture = resize_bilinear(crop(picture, box), self.image_size)
        if self.flip and generator.random() < 0.5:
            picture = flip_horizontal(picture)
        target = picture.astype(np.float32) / np.float32(127.5) - np.float32(1)
        return {"image": to_gray(picture), "target": target}

    def prepare_image(
        self, image: Shaped[np.ndarray, "..."]
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The grey of a whole picture, coloured or grey already, uncropped, at `image_size`.

        Pictures that shrink are resized by area, as in evaluation, so that fine texture of large
        photographs does not turn into noise; others bilinearly.
        """
        picture = _picture(image)
        shrinks = all(np.less_equal(self.image_size, picture.shape[:2]))
        resize = resize_area if shrinks else resize_bilinear
        return to_gray(resize(picture, self.image_size))

    def encode(self, target: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
        """The colours themselves, float32."""
        return np.asarray(target, np.float32)

    def loss(
        self,
        outputs: Mapping[str, Float[Array, "*b v x"]],
        planes: Mapping[str, Float[Array, "*b x v"]],
    ) -> dict[str, Float[Array, "*b x"]]:
        """Squared error of every pixel, the *mean* of its three values' errors.

        So the mean over pixels is the mean over all values, which is what the public code minimizes.
        """
        target = planes["color"].swapaxes(-1, -2).astype(jnp.float32)
        error = outputs["color"].astype(jnp.float32) - target
        return {"color": jnp.mean(jnp.square(error), axis=-2)}

    def decode(
        self, outputs: Mapping[str, Float[Array, "*b v x"]]
    ) -> dict[str, Float[Array, "*b x v"]]:
        """`color`: the outputs clipped to [-1, 1], as in the public code."""
        color = outputs["color"].astype(jnp.float32).swapaxes(-1, -2)
        return {"color": jnp.clip(color, -1.0, 1.0)}

    def restore(
        self, prediction: Mapping[str, Float[np.ndarray, "h w 3"]], size: Size
    ) -> Float[np.ndarray, "H W 3"]:
        """Colours (H W 3) at `size`, float32, by bilinear interpolation.

        `decode` has clipped them, and interpolation stays within [-1, 1]: nothing is clipped here.
        For a whole picture at its own resolution see `keep_luminance`.
        """
        color = np.asarray(prediction["color"], np.float32)
        return resize_bilinear(color, size)

    def reference(self, reference: Mapping[str, Any]) -> dict[str, Any]:
        """`color` float32 (h w 3), what `preprocess` makes for evaluation, `image` and `size`.

        All at `image_size`: ColTran scores colours at the model's size, not at the picture's own. `image` is
        the grey of the evaluated part in 8 bits, for the eye.
        """
        part = self._evaluated_part(_picture(reference["image"]))
        return {
            **reference,
            "image": to_gray(part),
            "color": _coltran_color(part),
            "size": tuple(self.image_size),
        }

    def left_out(self) -> str | None:
        """Nothing is."""
        return None

    def files(self, keep_luminance: bool = False) -> ColorFiles:
        """The files of predictions, see `ColorFiles`."""
        return ColorFiles(self, keep_luminance)

    def visualize(
        self, image: np.ndarray, prediction: Float[np.ndarray, "h w 3"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The colours as a picture, see `to_uint8`; `image` is not looked at."""
        del image
        return self.to_uint8(prediction)

    @staticmethod
    def to_uint8(color: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Colours in [-1, 1] as a picture of 8 bits, `round((c + 1) * 127.5)`, clipped."""
        return np.clip(np.rint((color + 1) * 127.5), 0, 255).astype(np.uint8)

    @staticmethod
    def keep_luminance(
        image: UInt8[np.ndarray, "h w 3"], color: Float[np.ndarray, "H W 3"]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The picture `image`, coloured or grey, with the chroma of the predicted colours.

        The colours are restored to the picture's size; its own luminance brings back the detail
        that the model's smaller size has lost. Luminance is the grey that the model is given, so
        this undoes the greying exactly; it exchanges Y in YCbCr (Lab's L is another quantity, and would
        shift the grey). Changing Y alone adds the same to R, G and B. Chroma that would leave
        [0, 255] is scaled down to its edge, hue and luminance kept, instead of being clipped.

        Raises TaskError if the sizes differ.
        """
        if image.shape != color.shape:
            raise TaskError(
                f"picture and colours must have the same size, found {image.shape[:2]} and "
                f"{color.shape[:2]}: restore the prediction to the picture's size first."
            )
        colored = np.empty_like(image)
        for row in range(0, len(image), _STRIP_ROWS):
            strip = slice(row, row + _STRIP_ROWS)
            colored[strip] = _with_luminance_of(image[strip], color[strip])
        return colored

    def _evaluated_part(self, picture: np.ndarray) -> np.ndarray:
        box = self._evaluation_box(picture.shape[:2])
        return resize_area(crop(picture, box), self.image_size)

    def _evaluation_box(self, size: Size) -> Box:
        """The largest centred box with the aspect of `image_size`; half a pixel off goes up, left."""
        scale = min(size[0] / self.image_size[0], size[1] / self.image_size[1])
        height, width = (max(1, round(side * scale)) for side in self.image_size)
        return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _with_luminance_of(image: np.ndarray, color: np.ndarray) -> np.ndarray:
    luminance = to_gray(image.astype(np.float32))
    values = (color.astype(np.float32) + 1) * np.float32(127.5)
    chroma = values - to_gray(values)
    room = np.where(chroma > 0, 255 - luminance, luminance)
    share = room / np.maximum(np.abs(chroma), np.float32(1e-3))
    share = np.minimum(share.min(axis=-1, keepdims=True), 1)
    return np.clip(np.rint(luminance + share * chroma), 0, 255).astype(np.uint8)


def _coltran_color(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) / np.float32(128) - np.float32(1)


def _picture(image: Any) -> np.ndarray:
    """The picture, once it is sure that it is one."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TaskError(
            f"colorization takes pictures as uint8 (h w 3), found {image.dtype} "
            f"{image.shape}: convert grey, transparent, 16-bit or float pictures with "
            "`uvim_fsq.data.images.to_rgb_uint8` first."
        )
    if not image.size:
        raise TaskError(
            f"colorization takes pictures of at least one pixel, found {image.shape[0]} x "
            f"{image.shape[1]}: leave it out."
        )
    return image


def _check_settings(image_size, crop_area):
    if len(image_size) != 2 or min(image_size) <= 0:
        raise ValueError(
            f"the colorization task expects a positive image_size, found {image_size}."
        )
    if len(crop_area) != 2 or not 0 < crop_area[0] <= crop_area[1] <= 1:
        raise ValueError(
            "the colorization task expects crop_area to be two shares of the area, "
            f"0 < from <= to <= 1, found {crop_area}."
        )
