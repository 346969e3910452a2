"""Preparation of pictures and predictions, against the public one."""

import numpy as np
import pytest

from uvim_fsq.evaluation.coltran import network_input, picture_pixels, prediction_pixels


@pytest.mark.parametrize("picture, size", [(0, 32), (0, 48), (1, 48), (2, 48)])
def test_golden_pictures(golden, picture, size):
    """Portrait and landscape; picture 2 grows."""
    values = golden("eval/coltran_pp.npz")
    pixels = picture_pixels(values[f"{picture}/image"], size)
    np.testing.assert_array_equal(pixels, values[f"{picture}/preprocess_{size}"])
    scaled = network_input(pixels)
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, values[f"{picture}/normalize_{size}"])


def test_golden_predictions(golden):
    values = golden("eval/coltran_pp.npz")
    pixels = np.stack([prediction_pixels(c, 32) for c in values["post/color"]])
    np.testing.assert_array_equal(pixels, values["post/int"])
    np.testing.assert_array_equal(network_input(pixels), values["post/normalized"])


def test_the_largest_value_is_clipped():
    """`(1 + 1) * 128` is 256, which no 8-bit file holds."""
    pixels = prediction_pixels(np.ones((512, 512, 3), np.float32))
    assert pixels.shape == (256, 256, 3) and pixels.dtype == np.uint8
    assert (pixels == 255).all()
    assert (network_input(pixels) == 0.9921875).all()
    assert (prediction_pixels(-np.ones((8, 8, 3))) == 0).all()


def test_the_centre_is_taken():
    """Of an odd rest the smaller part goes up and left."""
    image = np.zeros((4, 9, 3), np.uint8)
    image[:, 2:6] = 200
    assert (picture_pixels(image, 4) == 200).all()
    assert (picture_pixels(image.swapaxes(0, 1), 4) == 200).all()
    color = np.zeros((4, 9, 3), np.float32)
    color[:, 2:6] = 0.5
    assert (prediction_pixels(color, 4) == 192).all()


def test_halves_are_rounded_to_even():
    image = np.array([[[0] * 3, [1] * 3], [[0] * 3, [1] * 3]], np.uint8)
    assert (picture_pixels(image, 1) == 0).all()
    assert (picture_pixels(image + 1, 1) == 2).all()


@pytest.mark.parametrize("bad", [1.1, -1.1, np.nan, 255.0])
def test_colours_outside_the_range_are_refused(bad):
    color = np.zeros((4, 4, 3), np.float32)
    color[1, 2, 0] = bad
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\]"):
        prediction_pixels(color)
