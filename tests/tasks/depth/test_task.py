"""The depth task: parity with the public code, masking, crops and pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.tasks.depth.task import DepthTask


@pytest.fixture(scope="module")
def task():
    return DepthTask(image_size=(16, 24), bins=12)


def example(height=30, width=40, seed=0):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 9.0, (height, width)).astype(np.float32)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return {"image": image, "depth": depth, "id": "0"}


def generator(seed=0):
    return np.random.default_rng(seed)


def test_golden_bins(golden):
    a = golden("tasks/depth_bins256.npz")
    task = DepthTask()
    planes = task.encode(a["depth"].reshape(64, 64))
    assert planes.dtype == np.uint8 and planes.shape == (64, 64, 1)
    np.testing.assert_array_equal(planes.ravel(), a["bin_index"])
    outputs = {"depth": jnp.eye(256)}
    np.testing.assert_allclose(
        task.decode(outputs)["depth"], a["center_of_bin"], rtol=1e-6
    )


def patches(plane):
    """(b 16 24) to (b 24 16): patches of 4 x 4 pixels."""
    blocks = plane.reshape(-1, 4, 4, 6, 4).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(-1, 24, 16)


def test_golden_labels_loss_and_prediction(golden, task):
    a = golden("tasks/depth.npz")
    planes = np.stack([task.encode(labels[..., 0])[..., 0] for labels in a["labels"]])
    planes = patches(planes)
    np.testing.assert_array_equal(planes, a["bin_index"])
    outputs = {"depth": jnp.asarray(a["logits"])}
    loss = jax.jit(task.loss)(outputs, {"depth": jnp.asarray(planes)})["depth"]
    np.testing.assert_allclose(loss, a["loss"], rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(
        jax.jit(task.decode)(outputs)["depth"], patches(a["predict_depth"]), rtol=1e-6
    )


def test_golden_evaluation_input(golden):
    a = golden("pp/nyu.npz")
    size = (int(a["pp_pred_size"]),) * 2
    task = DepthTask(image_size=size, crop="uvim")
    frame = {"image": a["image"], "depth": a["depth"]}
    found = task.preprocess(frame, generator(), train=False)
    np.testing.assert_array_equal(found["target"], a["pp_pred_labels"][..., 0])
    # The public pipeline truncates what we round: one grey level at most.
    difference = found["image"] - (a["pp_pred_image"] + 1) * 127.5
    assert -0.01 < difference.min() and difference.max() < 1.01
    reference = task.reference(frame)
    np.testing.assert_array_equal(reference["depth"], a["crop_labels"][..., 0])
    assert reference["size"] == (426, 560)


def test_decoding_perfect_outputs_returns_the_target():
    task = DepthTask(min_depth=0.5, max_depth=8.0, bins=64)
    target = generator().uniform(0.5, 8.0, (20, 30)).astype(np.float32)
    planes = jnp.asarray(task.encode(target))[..., 0]
    outputs = {"depth": jax.nn.one_hot(planes, 64, axis=-2)}
    half_a_bin = 7.5 / 64 / 2
    error = np.abs(task.decode(outputs)["depth"] - target)
    assert 0.9 * half_a_bin < error.max() < half_a_bin + 1e-5


def test_missing_and_excessive_depth(task):
    target = np.array([[0.0, np.nan, np.inf, -np.inf, -3.0, 10.0, 50.0]], np.float32)
    np.testing.assert_array_equal(task.encode(target)[0, :, 0], [0, 0, 0, 0, 0, 11, 11])
    assert DepthTask(bins=1000).encode(target).dtype == np.int16


def test_ignored_pixels_have_no_loss_and_give_no_gradient(task):
    labels = jnp.array([0, 1, 11, 12, -1, 5], jnp.int16)
    logits = jax.random.normal(jax.random.key(0), (12, 6))
    ignored = np.array([True, False, False, True, True, False])

    def loss(logits):
        return task.loss({"depth": logits}, {"depth": labels})["depth"]

    np.testing.assert_array_equal(loss(logits) == 0, ignored)
    gradient = jax.grad(lambda logits: loss(logits).sum())(logits)
    np.testing.assert_array_equal((gradient == 0).all(axis=0), ignored)
    expected = -jax.nn.log_softmax(logits, axis=0)[5, 5]
    np.testing.assert_allclose(loss(logits)[5], expected, rtol=1e-6)
    huge = jnp.full((12, 6), 1e4).at[5].set(-1e4)
    assert np.isfinite(loss(huge)).all()


@pytest.mark.parametrize("shape", [(), (3,), (2, 5)])
def test_loss_and_decode_take_any_chunk_of_tokens(task, shape):
    logits = jax.ShapeDtypeStruct((*shape, 12, 7), jnp.bfloat16)
    labels = jax.ShapeDtypeStruct((*shape, 7), jnp.uint8)
    loss = jax.eval_shape(task.loss, {"depth": logits}, {"depth": labels})["depth"]
    assert loss.shape == (*shape, 7) and loss.dtype == jnp.float32
    assert jax.eval_shape(task.decode, {"depth": logits})["depth"].shape == (*shape, 7)


def test_image_and_target_are_augmented_together():
    """The image shows the depth: it must still do so after crop, flip and resize."""
    task = DepthTask(image_size=(20, 20), crop="none")
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    depth = 1 + columns / 16 + rows / 100
    image = np.stack([rows * 2, columns * 2, rows * 0], axis=-1).astype(np.uint8)
    seen = set()
    for seed in range(30):
        found = task.preprocess(
            {"image": image, "depth": depth}, generator(seed), train=True
        )
        shown = found["image"].astype(np.float32)
        expected = 1 + shown[..., 1] / 32 + shown[..., 0] / 200
        assert np.abs(found["target"] - expected)[2:-2, 2:-2].max() < 0.2
        seen.add((shown[0, 0, 1] > shown[0, -1, 1], shown[..., 1].min() > 20))
    assert len(seen) == 4, "flipped and not, cropped and not"


def test_preprocessing_is_a_function_of_the_generator():
    task = DepthTask(image_size=(16, 16), crop="none")
    first, again, other = (
        task.preprocess(example(), generator(seed), train=True) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first["target"], again["target"])
    np.testing.assert_array_equal(first["image"], again["image"])
    assert not np.array_equal(first["target"], other["target"])
    assert first["image"].dtype == np.uint8 and first["target"].dtype == np.float32


def test_without_augmentation_training_sees_what_is_evaluated():
    task = DepthTask(image_size=(24, 32), crop="uvim", flip=False, crop_area=(1.0, 1.0))
    frame = example(240, 320)
    trained = task.preprocess(frame, generator(), train=True)
    evaluated = task.preprocess(frame, generator(), train=False)
    np.testing.assert_array_equal(trained["image"], evaluated["image"])
    np.testing.assert_array_equal(trained["target"], evaluated["target"])


@pytest.mark.parametrize(
    "crop, size, rows, columns",
    [
        ("uvim", (480, 640), (54, 480), (41, 601)),
        ("eigen", (480, 640), (45, 471), (41, 601)),
        ("none", (480, 640), (0, 480), (0, 640)),
        ("none", (37, 91), (0, 37), (0, 91)),
        ("uvim", (240, 320), (27, 240), (20, 300)),
        ("eigen", (960, 1280), (90, 942), (82, 1202)),
    ],
)
def test_evaluated_part(crop, size, rows, columns):
    frame = np.arange(size[0] * size[1], dtype=np.float32).reshape(size)
    image = np.zeros((*size, 3), np.uint8)
    reference = DepthTask(crop=crop).reference(
        {"image": image, "depth": frame, "id": "a"}
    )
    np.testing.assert_array_equal(
        reference["depth"], frame[rows[0] : rows[1], columns[0] : columns[1]]
    )
    assert reference["size"] == reference["depth"].shape and reference["id"] == "a"
    assert reference["image"].shape == (*reference["size"], 3)


@pytest.mark.parametrize(
    ("bins", "kind"), [(2, "u1"), (256, "u1"), (257, "i2"), (32767, "i2")]
)
def test_planes_hold_every_bin(bins, kind):
    task = DepthTask(min_depth=0.0, max_depth=float(bins), bins=bins)
    assert task.plane_dtype == np.dtype(kind)
    planes = task.encode(np.array([[0.5, bins - 0.5, 2.0 * bins]], np.float32))
    np.testing.assert_array_equal(planes[..., 0], [[0, bins - 1, bins - 1]])


def test_an_aspect_may_be_a_pixel_off():
    task = DepthTask(crop="uvim")
    for width in (319, 321):
        frame = np.ones((240, width), np.float32)
        image = np.zeros((240, width, 3), np.uint8)
        assert task.reference({"depth": frame, "image": image})["size"] == (213, 280)
    for width in (318, 322):
        with pytest.raises(ValueError, match=f"found 240 x {width}"):
            task.reference({"depth": np.ones((240, width), np.float32)})


def test_nyu_crops_refuse_frames_of_another_aspect():
    with pytest.raises(ValueError, match='found 480 x 480: use crop="none"'):
        DepthTask(crop="uvim").reference({"depth": np.ones((480, 480), np.float32)})


def test_restore_reaches_any_size_by_nearest_neighbour(golden, task):
    a = golden("eval/resize_nearest.npz")
    for name in ("16x16", "32x20"):
        restored = task.restore({"depth": a[f"in_{name}"]}, (45, 61))
        np.testing.assert_array_equal(restored, a[f"out_{name}"])


def test_training_and_evaluation_each_pick_the_nearest_as_their_public_code_does():
    """Row 30 of 61 lies at 25 of 50: 25 to TensorFlow's preprocessing, 24 to JAX's resize."""
    task = DepthTask((61, 61), crop="none")
    frame = np.broadcast_to(np.arange(1, 51, dtype=np.float32)[:, None], (50, 50))
    image = np.zeros((50, 50, 3), np.uint8)
    target = task.preprocess(
        {"image": image, "depth": frame}, np.random.default_rng(0), train=False
    )["target"]
    restored = task.restore({"depth": frame}, (61, 61))
    assert (target[30, 0], restored[30, 0]) == (26, 25)
    assert (np.delete(target, 30, 0) == np.delete(restored, 30, 0)).all()


def test_prepare_image_shows_the_whole_picture(task):
    image = example(100, 90)["image"]
    image[:, 45:] = 255
    image[:, :45] = 0
    prepared = task.prepare_image(image)
    assert prepared.shape == (16, 24, 3)
    assert (prepared[:, :11] == 0).all() and (prepared[:, 13:] == 255).all()


def test_image_and_depth_of_different_sizes_are_refused(task):
    frame = example() | {"depth": np.ones((30, 41), np.float32)}
    with pytest.raises(ValueError, match=r"\(30, 40\) and \(30, 41\)"):
        task.preprocess(frame, generator(), train=True)


def test_pictures_are_comparable_and_missing_depth_is_black(task):
    image = np.zeros((1, 6, 3), np.uint8)
    depth = np.array([[0.5, 1.0, 3.0, 10.0, 0.0, np.nan]])
    picture = task.visualize(image, depth).astype(int)
    assert picture.shape == (1, 6, 3)
    assert (picture[0, 4:] == 0).all() and (picture[0, :4].sum(-1) > 0).all()
    assert picture[0, 0, 0] > picture[0, 0, 2], "near is red"
    assert picture[0, 3, 0] <= picture[0, 3, 2], "far is blue"
    alone = task.visualize(image[:, :1], depth[:, 1:2])
    np.testing.assert_array_equal(alone[0, 0], picture[0, 1])
    beyond = task.visualize(image[:, :2], np.array([[0.01, 80.0]]))
    np.testing.assert_array_equal(beyond[0], picture[0, [0, 3]])


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"image_size": (0, 5)}, "positive image_size"),
        ({"min_depth": 10.0}, "min_depth < max_depth"),
        ({"min_depth": -1.0}, "min_depth < max_depth"),
        ({"bins": 1}, "2 to 32767"),
        ({"bins": 40000}, "2 to 32767"),
        ({"crop": "garg"}, "none, uvim, eigen"),
        ({"crop_area": (0.5, 1.5)}, "crop_area"),
        ({"crop_area": (0.0, 1.0)}, "crop_area"),
    ],
    ids=str,
)
def test_settings_are_checked_at_construction(wrong, expected):
    with pytest.raises(ValueError, match=expected):
        DepthTask(**wrong)
