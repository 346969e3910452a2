"""Resizing, cropping and grey against the reference arrays, and their edge cases."""

import jax
import numpy as np
import pytest

from uvim_fsq.data.transforms import (
    crop,
    flip_horizontal,
    nearest_index,
    preprocessing_index,
    random_crop_box,
    resize_area,
    resize_bilinear,
    resize_labels,
    resize_nearest,
    to_gray,
)

SIZES = [(16, 16), (64, 64), (37, 53), (29, 71), (100, 20)]


@pytest.mark.parametrize("size", SIZES)
def test_bilinear_floats_match_reference(golden, size):
    arrays = golden("pp/resize.npz")
    expected = arrays[f"f32/bilinear_{size[0]}x{size[1]}"]
    np.testing.assert_allclose(
        resize_bilinear(arrays["f32/in"], size), expected, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["u8", "u8_smooth"])
def test_bilinear_bytes_are_rounded_where_reference_truncates(golden, name, size):
    arrays = golden("pp/resize.npz")
    ours = resize_bilinear(arrays[f"{name}/in"], size)
    difference = ours.astype(int) - arrays[f"{name}/bilinear_{size[0]}x{size[1]}"]
    assert ours.dtype == np.uint8
    assert set(np.unique(difference)) <= {0, 1}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["u8", "u8_smooth", "f32", "i32"])
def test_nearest_matches_reference(golden, name, size):
    arrays = golden("pp/resize.npz")
    ours = resize_labels(arrays[f"{name}/in"], size)
    np.testing.assert_array_equal(ours, arrays[f"{name}/nearest_{size[0]}x{size[1]}"])
    assert ours.dtype == arrays[f"{name}/in"].dtype


def test_nearest_index_matches_reference(golden):
    arrays = golden("pp/resize.npz")
    names = [name for name in arrays if name.startswith("nearest_index/")]
    assert len(names) == 11
    for name in names:
        length, new_length = map(int, name.split("/")[1].split("_to_"))
        for index in (preprocessing_index, nearest_index):
            np.testing.assert_array_equal(index(length, new_length), arrays[name])


def test_labels_and_predictions_are_resized_by_the_formulas_of_their_public_code():
    """30.5 * 50 / 61 is 25 and 13.5 * 224 / 48 is 63, and float32 rounds one of two below it."""
    for length, new_length, places, labels in (
        (50, 61, [30], [25]),
        (224, 48, [13, 25], [62, 118]),
    ):
        ramp = np.arange(length, dtype=np.int32)
        found = resize_labels(np.stack([ramp, ramp]), (2, new_length))[0]
        scale = np.float32(length) / np.float32(new_length)
        expected = [int(np.float32(i + 0.5) * scale) for i in range(new_length)]
        assert found.tolist() == expected and found[places].tolist() == labels
        restored = resize_nearest(ramp[:, None], (new_length, 1))[:, 0]
        assert np.flatnonzero(restored != found).tolist() == places


def test_nearest_indices_are_exact_but_for_centres_on_an_edge():
    for length in (16, 17, 64, 240, 427, 512, 640, 4000):
        for new_length in (16, 61, 128, 333, 512, 1023, 6000):
            twice = (2 * np.arange(new_length) + 1) * length
            exact = twice // (2 * new_length)
            on_edge = twice % (2 * new_length) == 0
            for index in (preprocessing_index, nearest_index):
                ours = index(length, new_length)
                np.testing.assert_array_equal(ours[~on_edge], exact[~on_edge])
                assert (exact - ours >= 0).all() and (exact - ours <= 1).all()


@pytest.mark.parametrize("name", ["16x16", "32x20"])
def test_nearest_matches_the_evaluators_reference(golden, name):
    arrays = golden("eval/resize_nearest.npz")
    ours = resize_nearest(arrays[f"in_{name}"], (45, 61))
    np.testing.assert_array_equal(ours, arrays[f"out_{name}"])


def test_area_is_the_mean_of_the_covered_area():
    image = np.array([[0.0, 3.0, 6.0]], np.float32)
    # Each half covers one and a half pixels.
    np.testing.assert_allclose(resize_area(image, (1, 2)), [[1.0, 5.0]], rtol=1e-6)
    # Quarters of three pixels: 3/4, then 1/4 + 2/4, and so on.
    np.testing.assert_allclose(
        resize_area(image, (2, 4)), [[0.0, 2.0, 4.0, 6.0]] * 2, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("size", [(20, 30), (20, 90), (60, 90), (37, 53)])
def test_area_keeps_the_mean_at_any_scale(size):
    image = np.random.default_rng(0).uniform(0, 255, (37, 53, 3)).astype(np.float32)
    resized = resize_area(image, size)
    assert resized.shape == (*size, 3)
    np.testing.assert_allclose(resized.mean((0, 1)), image.mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("size", [(20, 30), (20, 90), (64, 96), (74, 53), (5, 300)])
def test_area_matches_jax(size):
    image = np.random.default_rng(0).uniform(0, 255, (37, 53, 3)).astype(np.float32)
    expected = jax.image.resize(image, (*size, 3), "area")
    np.testing.assert_allclose(resize_area(image, size), expected, atol=2e-3)


def test_area_growing_and_shrinking_paths_agree():
    image = np.random.default_rng(1).uniform(0, 1, (24, 36, 3)).astype(np.float32)
    wide = resize_area(image, (24, 72))  # grows: sums of shares
    back = resize_area(wide, (24, 36))  # shrinks: OpenCV
    np.testing.assert_allclose(back, image, atol=1e-6)


def test_area_rounds_bytes():
    image = np.array([[0, 1, 1, 10, 11, 10]], np.uint8)
    ours = resize_area(image, (1, 2))  # the means are 2/3 and 31/3
    np.testing.assert_array_equal(ours, np.array([[1, 10]], np.uint8))
    assert ours.dtype == np.uint8


@pytest.mark.parametrize(
    "resize", [resize_bilinear, resize_labels, resize_nearest, resize_area]
)
def test_resizing_keeps_planes_and_single_channels(resize):
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert resize(plane, (5, 6)).shape == (5, 6)
    assert resize(plane[..., None], (5, 6)).shape == (5, 6, 1)
    np.testing.assert_array_equal(resize(plane, (3, 4)), plane)
    with pytest.raises(ValueError, match="at least one pixel"):
        resize(plane, (0, 4))


def test_bilinear_refuses_labels():
    with pytest.raises(TypeError, match="resize_labels"):
        resize_bilinear(np.zeros((4, 4), np.int32), (8, 8))


@pytest.mark.parametrize("index", range(6))
def test_crop_matches_reference(golden, index):
    arrays = golden("pp/misc.npz")
    for name in ("image", "labels"):
        array = arrays[f"crop/{name}"]
        # The reference's boxes are shares of the frame, truncated to pixels.
        frame = np.array(array.shape[:2], np.float32)
        y, x = (arrays[f"crop/{index}/begin"] * frame).astype(int).tolist()
        height, width = (arrays[f"crop/{index}/size"] * frame).astype(int).tolist()
        cut = crop(array, (y, x, height, width))
        np.testing.assert_array_equal(cut, arrays[f"crop/{index}/out_{name}"])


@pytest.mark.parametrize(
    "box", [(-1, 0, 2, 2), (0, 0, 0, 2), (2, 0, 3, 2), (0, 3, 1, 4)]
)
def test_crop_outside_the_frame_is_an_error(box):
    with pytest.raises(ValueError, match="does not lie inside"):
        crop(np.zeros((4, 6)), box)


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (64, 64), (500, 120)])
def test_random_crops_keep_area_aspect_and_frame(size):
    generator = np.random.default_rng(0)
    boxes = np.array([random_crop_box(generator, size) for _ in range(2000)])
    y, x, height, width = boxes.T
    assert y.min() == 0 and x.min() == 0
    assert (y + height).max() == size[0] and (x + width).max() == size[1]
    area = height * width / (size[0] * size[1])
    assert 0.05 <= area.min() < 0.07
    # Boxes of whole pixels: half a pixel of the width is allowed.
    assert (width + 0.5 >= 0.75 * height).all() and (width - 0.5 <= 1.33 * height).all()


def test_random_crops_draw_height_uniformly():
    generator = np.random.default_rng(1)
    boxes = [
        random_crop_box(generator, (400, 400), (0.04, 1.0), (1.0, 1.0))
        for _ in range(4000)
    ]
    heights = np.array(boxes)[:, 2]
    assert heights.min() == 80 and heights.max() == 400
    shares = np.histogram(heights, bins=8, range=(80, 401))[0] / len(heights)
    np.testing.assert_allclose(shares, 1 / 8, atol=0.03)


def test_random_crops_keep_the_aspect_uniform_in_a_narrow_frame():
    generator = np.random.default_rng(3)
    boxes = np.array([random_crop_box(generator, (4000, 1000)) for _ in range(4000)])
    aspect = boxes[:, 3] / boxes[:, 2]
    # Refusing boxes that are too wide, instead of drawing fitting heights, gives 1.01.
    assert abs(aspect.mean() - (0.75 + 1.33) / 2) < 0.01


@pytest.mark.parametrize("size", [(4, 1000), (1, 1), (1, 50)])
def test_random_crop_of_an_extreme_frame_stays_inside(size):
    generator = np.random.default_rng(2)
    for _ in range(50):
        y, x, height, width = random_crop_box(generator, size)
        assert y >= 0 and x >= 0 and height >= 1 and width >= 1
        assert y + height <= size[0] and x + width <= size[1]
    assert random_crop_box(generator, (4, 1000)) == (0, 0, 4, 1000)


def test_one_size_is_enough_for_a_random_crop():
    box = random_crop_box(np.random.default_rng(0), (10, 10), (0.25, 0.25), (1.0, 1.0))
    assert box[2:] == (5, 5)


def test_random_crops_are_as_tall_as_their_rounded_width_allows():
    """At an aspect of 0.9, 6 rows have 5.4 columns, which are 5."""
    generator = np.random.default_rng(0)
    boxes = [
        random_crop_box(generator, (10, 5), (0.05, 1.0), (0.9, 0.9)) for _ in range(200)
    ]
    assert max(box[2:] for box in boxes) == (6, 5)


def test_random_crops_are_tried_often_before_the_frame_is_taken_whole():
    """One draw in seven fits: ten would fail in a fifth of all cases, a hundred never do."""
    generator = np.random.default_rng(0)
    boxes = [random_crop_box(generator, (16, 200), (0.1, 1.0)) for _ in range(100)]
    assert (0, 0, 16, 200) not in boxes


def test_the_whole_frame_is_a_crop():
    array = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(crop(array, (0, 0, 3, 4)), array)
    np.testing.assert_array_equal(crop(array, (2, 3, 1, 1)), [[11]])


def test_random_crop_repeats_with_its_seed():
    draw = [random_crop_box(np.random.default_rng(7), (99, 77)) for _ in range(2)]
    assert draw[0] == draw[1]
    assert draw[0] != random_crop_box(np.random.default_rng(8), (99, 77))


def test_flip_mirrors_columns():
    image = np.arange(12).reshape(2, 3, 2)
    flipped = flip_horizontal(image)
    np.testing.assert_array_equal(flipped[:, 0], image[:, 2])
    np.testing.assert_array_equal(flipped[:, 1], image[:, 1])
    assert flipped.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_flip_keeps_every_type(dtype):
    plane = np.arange(12).reshape(3, 4).astype(dtype)
    for array in (plane, plane[..., None], np.stack([plane] * 5, -1)):
        flipped = flip_horizontal(array)
        assert flipped.dtype == dtype
        np.testing.assert_array_equal(flipped, array[:, ::-1])


def test_gray_matches_reference(golden):
    arrays = golden("pp/values.npz")
    np.testing.assert_array_equal(to_gray(arrays["rgb"]), arrays["rgb_gray"])
    np.testing.assert_allclose(
        to_gray(arrays["rgb_f32"]), arrays["rgb_f32_gray"], atol=1e-6, rtol=0
    )


def test_gray_refuses_labels():
    with pytest.raises(TypeError, match="int32"):
        to_gray(np.zeros((2, 2, 3), np.int32))
