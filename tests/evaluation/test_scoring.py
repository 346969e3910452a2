"""What each task's scoring adds to the evaluators."""

import numpy as np
import pytest

from uvim_fsq.evaluators.color import psnr
from uvim_fsq.settings import ColorizationConfig


@pytest.mark.parametrize("value", [0, 77, 200, 255])
def test_grey_is_on_the_scale_of_the_truth(value):
    """A grey truth is met exactly, and colours that differ by 8 of 256 are as far as they are."""
    config = ColorizationConfig(image_size=(8, 8))
    task, scoring = config.build(), config.scoring()
    image = np.full((8, 8, 3), value, np.uint8)
    reference = task.reference({"image": image})
    (grey,) = scoring.unpredicted(reference).values()
    assert psnr(grey, reference["color"]) == float("inf")
    image[..., 2] = abs(value - 100)
    reference = task.reference({"image": image})
    (grey,) = scoring.unpredicted(reference).values()
    luminance = reference["image"].astype(float)
    error = np.mean((luminance - image) ** 2) / 128**2
    expected = 20 * np.log10(2) - 10 * np.log10(error)
    assert psnr(grey, reference["color"]) == pytest.approx(expected, abs=1e-5)
