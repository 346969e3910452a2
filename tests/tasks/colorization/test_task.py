"""The colorization task: parity with the public code, ColTran's protocol, and pictures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.data.transforms import to_gray
from uvim_fsq.nn.patches import patchify, scale_image, unpatchify
from uvim_fsq.tasks.base import TaskError
from uvim_fsq.tasks.colorization.task import ColorizationTask


@pytest.fixture(scope="module")
def task():
    return ColorizationTask(image_size=(16, 24))


def picture(height=30, width=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def example(image):
    return {"image": image, "id": "0"}


def generator(seed=0):
    return np.random.default_rng(seed)


def evaluated(task, image):
    return task.preprocess(example(image), generator(), train=False)


def test_golden_planes_loss_and_prediction(golden, task):
    a = golden("tasks/colorization.npz")
    planes = np.stack([task.encode(labels) for labels in a["labels"]])
    assert planes.dtype == task.plane_dtype == np.float32
    planes = patchify(jnp.asarray(planes), (4, 4))
    np.testing.assert_array_equal(planes.swapaxes(-1, -2), a["x"])
    outputs = {"color": jnp.asarray(a["logits"])}
    loss = jax.jit(task.loss)(outputs, {"color": planes})["color"]
    np.testing.assert_allclose(loss, a["loss"].mean(axis=2), rtol=1e-6)
    # The public trainer takes the mean over everything, the three values included.
    np.testing.assert_allclose(loss.mean(), a["loss"].mean(), rtol=1e-6)
    prediction = jax.jit(task.decode)(outputs)["color"]
    assert np.abs(a["logits"]).max() > 4, "some must be clipped"
    np.testing.assert_array_equal(
        unpatchify(prediction, (4, 6), (4, 4)), a["predict_color"]
    )


@pytest.mark.parametrize("name", ["0_32", "0_48", "1_48", "2_48"])
def test_golden_evaluation_pictures(golden, name):
    """Landscape, portrait, and one that must grow; the same to the last bit."""
    a = golden("eval/coltran_pp.npz")
    number, size = name.split("_")
    task = ColorizationTask(image_size=(int(size), int(size)))
    frame = example(a[f"{number}/image"])
    found = evaluated(task, frame["image"])
    expected = a[f"{number}/normalize_{size}"]
    np.testing.assert_array_equal(found["target"], expected)
    np.testing.assert_array_equal(task.reference(frame)["color"], expected)
    np.testing.assert_array_equal(found["image"], to_gray(expected))


def test_golden_training_values(golden):
    """Grey and both scalings, where nothing is cropped or resized."""
    a = golden("pp/values.npz")
    task = ColorizationTask((64, 64), flip=False, crop_area=(1.0, 1.0))
    found = task.preprocess(example(a["rgb"]), generator(), train=True)
    np.testing.assert_array_equal(found["image"], a["rgb_gray"])
    scaled = scale_image(jnp.asarray(found["image"][None]))[0]
    np.testing.assert_allclose(scaled, a["rgb_gray_value_range"], atol=1e-6)
    values = np.repeat(a["u8_all"], 3, axis=-1)
    task = ColorizationTask((16, 16), flip=False, crop_area=(1.0, 1.0))
    found = task.preprocess(example(values), generator(), train=True)["target"]
    expected = np.repeat(a["value_range(-1,1)"], 3, axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_evaluation_by_hand():
    """7 x 4: rows 1 to 5 are kept; each output is the mean of 2 x 2, rounded half to even."""
    image = np.zeros((7, 4, 3), np.uint8)
    image[0] = image[5:] = 255
    image[1:3, :2, 0] = [[10, 11], [10, 11]]
    image[1:3, 2:, 1] = [[12, 13], [13, 13]]
    image[3:5, :2, 2] = [[0, 2], [0, 0]]
    found = evaluated(ColorizationTask((2, 2)), image)
    expected = np.array([[[10, 0, 0], [0, 13, 0]], [[0, 0, 0], [0, 0, 0]]]) / 128 - 1
    np.testing.assert_array_equal(found["target"], expected.astype(np.float32))
    grey = expected @ [0.2989, 0.587, 0.114]
    assert found["image"].dtype == np.float32
    np.testing.assert_allclose(found["image"], np.stack([grey] * 3, -1), atol=1e-6)
    turned = evaluated(ColorizationTask((2, 2)), image.swapaxes(0, 1))
    np.testing.assert_array_equal(turned["target"], found["target"].swapaxes(0, 1))


def test_the_evaluated_part_has_the_aspect_of_the_model():
    rows, columns = np.mgrid[:90, :120].astype(np.uint8)
    image = np.stack([rows, columns, rows * 0], axis=-1)
    for size, height, width in (((30, 30), 90, 90), ((30, 60), 60, 120)):
        color = evaluated(ColorizationTask(size), image)["target"]
        shown = (color[..., :2] + 1) * 128
        for axis, length, whole in ((0, height, 90), (1, width, 120)):
            middle = shown[..., axis].mean()
            assert middle == pytest.approx((whole - 1) / 2, abs=0.6)
            step = np.diff(shown[..., axis].mean(axis=1 - axis)).mean()
            assert step == pytest.approx(length / size[axis], rel=0.02)


def test_reference_agrees_with_what_is_predicted(task):
    frame = {**example(picture()), "size": (30, 40)}
    found = evaluated(task, frame["image"])
    reference = task.reference(frame)
    np.testing.assert_array_equal(reference["color"], found["target"])
    assert reference["size"] == (16, 24) and reference["id"] == "0"
    assert reference["image"].dtype == np.uint8
    shown = reference["image"] / 128 - 1
    np.testing.assert_allclose(shown, found["image"], atol=1 / 128)
    assert "color" not in frame and frame["image"].shape == (30, 40, 3)
    restored = task.restore({"color": found["target"]}, reference["size"])
    np.testing.assert_array_equal(restored, reference["color"])


def test_image_and_target_are_augmented_together():
    """The image is the grey of the target, whatever was cropped and mirrored."""
    task = ColorizationTask(image_size=(20, 20))
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    frame = example(np.stack([rows * 2, columns * 2, rows * 0], axis=-1))
    seen = set()
    for seed in range(30):
        found = task.preprocess(frame, generator(seed), train=True)
        assert found["image"].dtype == np.uint8
        assert found["target"].dtype == np.float32
        pixels = np.rint((found["target"] + 1) * 127.5).astype(np.uint8)
        np.testing.assert_array_equal(found["image"], to_gray(pixels))
        green = pixels[..., 1].astype(int)
        seen.add((green[0, 0] > green[0, -1], green.min() > 20))
    assert len(seen) == 4, "mirrored and not, cropped and not"


def test_crops_keep_at_least_the_given_area():
    rows, columns = np.mgrid[:80, :80].astype(np.uint8)
    frame = example(np.stack([rows * 2, columns * 2, rows * 0], axis=-1))
    task = ColorizationTask((20, 20), crop_area=(0.7, 0.8))
    for seed in range(10):
        target = task.preprocess(frame, generator(seed), train=True)["target"]
        height, width = (np.ptp(target[..., i]) * 127.5 / 2 / 80 for i in (0, 1))
        # The outermost pixel centres lie half an output pixel inside the crop.
        assert 0.68 < height * width * (20 / 19) ** 2 < 0.82


def test_preprocessing_is_a_function_of_the_generator(task):
    first, again, other = (
        task.preprocess(example(picture()), generator(seed), train=True)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first["target"], again["target"])
    assert not np.array_equal(first["target"], other["target"])


def test_without_augmentation_training_sees_what_is_evaluated():
    """The same part, though scaled and rounded otherwise."""
    task = ColorizationTask((20, 20), flip=False, crop_area=(1.0, 1.0))
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    image = np.stack([rows * 2, columns * 2, rows * 0], axis=-1)
    expected = (evaluated(task, image)["target"] + 1) * 128
    for seed in range(5):
        trained = task.preprocess(example(image), generator(seed), train=True)["target"]
        np.testing.assert_allclose((trained + 1) * 127.5, expected, atol=1.5)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_loss_and_decode_take_any_chunk_of_tokens(task, shape):
    outputs = {"color": jax.ShapeDtypeStruct((*shape, 3, 7), jnp.bfloat16)}
    planes = {"color": jax.ShapeDtypeStruct((*shape, 7, 3), jnp.float32)}
    loss = jax.eval_shape(task.loss, outputs, planes)["color"]
    assert loss.shape == (*shape, 7) and loss.dtype == jnp.float32
    color = jax.eval_shape(task.decode, outputs)["color"]
    assert color.shape == (*shape, 7, 3) and color.dtype == jnp.float32


def test_grey_pictures_are_used_like_all_others(task):
    grey = np.repeat(picture()[..., :1], 3, axis=-1)
    for train in (True, False):
        found = task.preprocess(example(grey), generator(), train)
        assert (found["target"] == found["target"][..., :1]).all()
        scaled = scale_image(jnp.asarray(found["image"][None]))[0]
        np.testing.assert_allclose(found["target"], scaled, atol=1 / 127)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 1), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9, 3), np.uint16),
    ],
    ids=lambda image: f"{image.dtype}-{image.shape}",
)
def test_other_arrays_are_refused(task, wrong):
    tries = [
        functools.partial(task.preprocess, example(wrong), generator(), True),
        functools.partial(task.preprocess, example(wrong), generator(), False),
        functools.partial(task.reference, example(wrong)),
        functools.partial(task.prepare_image, wrong),
    ]
    for attempt in tries:
        with pytest.raises(TaskError, match=rf"found {wrong.dtype}.*to_rgb_uint8"):
            attempt()


def test_empty_pictures_are_refused(task):
    with pytest.raises(TaskError, match="found 0 x 4"):
        task.prepare_image(np.zeros((0, 4, 3), np.uint8))


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"image_size": (0, 5)}, "positive image_size"),
        ({"crop_area": (0.5, 1.5)}, "crop_area"),
        ({"crop_area": (0.0, 1.0)}, "crop_area"),
        ({"crop_area": (0.9, 0.5)}, "crop_area"),
    ],
    ids=str,
)
def test_settings_are_checked_at_construction(wrong, expected):
    with pytest.raises(ValueError, match=expected):
        ColorizationTask(**wrong)
