"""The toy task: the mean of a pixel's three values, in a few classes."""

import jax.numpy as jnp
import numpy as np

from brightness.files import BrightnessFiles
from uvim_fsq.data.transforms import resize_bilinear, resize_nearest
from uvim_fsq.nn.cross_entropy import softmax_cross_entropy


class BrightnessTask:
    """One channel of `levels` classes."""

    default_temperature = 0.0
    averages = False
    file_options = ()

    def __init__(self, image_size, levels):
        self.image_size, self.levels = image_size, levels
        self.channels = {"brightness": levels}
        self.plane_dtype = np.dtype(np.uint8)

    def preprocess(self, example, generator, train):
        image = self.prepare_image(example["image"])
        return {"image": image, "target": self.classes(image)}

    def classes(self, image):
        return (image.mean(-1) / 256 * self.levels).astype(np.uint8)

    def prepare_image(self, image):
        return resize_bilinear(image, self.image_size)

    def encode(self, target):
        return target[..., None]

    def loss(self, outputs, planes):
        label = planes["brightness"].astype(jnp.int32)
        return {"brightness": softmax_cross_entropy(outputs["brightness"], label)}

    def decode(self, outputs):
        classes = jnp.argmax(outputs["brightness"], axis=-2)
        return {"brightness": classes.astype(jnp.uint8)}

    def restore(self, prediction, size):
        return resize_nearest(np.asarray(prediction["brightness"]), size)

    def reference(self, reference):
        classes = self.classes(reference["image"])
        return {**reference, "brightness": classes, "size": classes.shape}

    def left_out(self):
        return None

    def files(self):
        return BrightnessFiles(self)

    def visualize(self, image, prediction):
        shades = prediction.astype(np.float32) * 255 / (self.levels - 1)
        return np.repeat(shades.astype(np.uint8)[..., None], 3, -1)
