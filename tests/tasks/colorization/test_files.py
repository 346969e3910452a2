"""Colorization of one's own pictures: whole pictures in, pictures with their own detail out."""

import numpy as np
import pytest

from uvim_fsq.data.transforms import to_gray
from uvim_fsq.tasks.base import TaskError
from uvim_fsq.tasks.colorization.task import ColorizationTask


@pytest.fixture(scope="module")
def task():
    return ColorizationTask(image_size=(16, 24))


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(300, 200), (100, 90), (10, 40), (7, 5)])
def test_prepare_image_shows_the_whole_picture(task, size):
    image = np.zeros((*size, 3), np.uint8)
    image[:, -(size[1] // 4) :] = [255, 0, 0]
    image[: size[0] // 4] = 255
    prepared = task.prepare_image(image)
    assert prepared.shape == (16, 24, 3) and prepared.dtype == np.uint8
    assert (prepared[0] == 255).all() and (prepared[5:, -1] == 76).all()
    assert (prepared[5:, :16] == 0).all()
    assert (prepared == prepared[..., :1]).all()


def test_fine_texture_of_large_pictures_becomes_its_mean(task):
    board = (np.indices((144, 216)).sum(axis=0) % 2 * 200).astype(np.uint8)
    prepared = task.prepare_image(np.stack([board] * 3, axis=-1)).astype(int)
    assert np.abs(prepared - 100).max() <= 2


def test_small_pictures_grow_smoothly(task):
    image = np.zeros((16, 2, 3), np.uint8)
    image[:, 1] = 240
    row = task.prepare_image(image)[0, :, 0].astype(int)
    assert (np.diff(row)[6:17] == 20).all() and row[0] == 0 and row[-1] == 240


def test_restore_is_bilinear_and_keeps_to_the_range(task):
    color = np.zeros((2, 2, 3), np.float32)
    color[:, 1] = 1
    wide = task.restore({"color": color}, (2, 8))
    expected = [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    np.testing.assert_allclose(wide[0, :, 0], expected, atol=1e-6)
    extreme = np.where(picture(9, 7) > 127, 1, -1).astype(np.float32)
    restored = task.restore({"color": extreme}, (113, 59))
    assert restored.dtype == np.float32 and np.abs(restored).max() <= 1


def test_pictures_of_colours(task):
    color = np.array([[[-1.0, 0.0, 1.0], [1.2, -3.0, 200 / 127.5 - 1]]], np.float32)
    expected = [[[0, 128, 255], [255, 0, 200]]]
    np.testing.assert_array_equal(task.to_uint8(color), expected)
    image = np.zeros((1, 2, 3), np.uint8)
    np.testing.assert_array_equal(task.visualize(image, color), expected)


def test_keep_luminance_keeps_it_even_where_colours_leave_the_range(task):
    image, color = picture(50, 60, 1), picture(50, 60, 2) / np.float32(127.5) - 1
    found = task.keep_luminance(image, color)
    assert found.dtype == np.uint8

    def luminance(pixels):
        return to_gray(pixels.astype(np.float32))[..., 0]

    difference = np.abs(luminance(found) - luminance(image))
    assert difference.max() < 0.6, "rounding to 8 bits alone"
    # Hue is kept: chroma points where the prediction's does, only less far.
    wanted = color - to_gray(color)
    kept = found.astype(np.float32) - luminance(found)[..., None]
    strong = np.linalg.norm(kept, axis=-1) > 20
    cosine = (wanted * kept).sum(-1) / (
        np.linalg.norm(wanted, axis=-1) * np.linalg.norm(kept, axis=-1) + 1e-9
    )
    assert strong.mean() > 0.5 and cosine[strong].min() > 0.99


def test_keep_luminance_by_hand(task):
    """Red of luminance 76 on grey of 100: 24 is added to each value; on black none is left."""
    image = np.array([[[100] * 3, [0] * 3, [255] * 3]], np.uint8)
    red = np.array([[[180, 60, 60]] * 3], np.float32)
    color = red / np.float32(127.5) - 1
    grey = float(np.array([180, 60, 60]) @ [0.2989, 0.587, 0.114])
    expected = np.rint(np.array([180, 60, 60]) + 100 - grey)
    found = task.keep_luminance(image, color)
    np.testing.assert_array_equal(found[0, 0], expected)
    np.testing.assert_array_equal(found[0, 1:], [[0] * 3, [255] * 3])
    own = picture(20, 20)
    np.testing.assert_array_equal(
        task.keep_luminance(own, own / np.float32(127.5) - 1), own
    )
    with pytest.raises(TaskError, match=r"found \(1, 3\) and \(2, 3\)"):
        task.keep_luminance(image, np.zeros((2, 3, 3), np.float32))
