"""What every task keeps to. A new one joins by adding a line to TASKS."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.tasks.base import Task
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category

CATEGORIES = (
    Category(5, "wall", False, (190, 120, 60)),
    Category(2, "chair", True, (0, 160, 90)),
    Category(9, "floor", False, (80, 80, 230)),
)


def depth_example(rng):
    depth = rng.uniform(0.0, 11.0, (37, 52)).astype(np.float32)
    image = rng.integers(0, 256, (37, 52, 3), dtype=np.uint8)
    return {"id": "a", "image": image, "depth": np.where(depth < 0.5, 0, depth)}


def picture_example(rng):
    return {"id": "a", "image": rng.integers(0, 256, (37, 52, 3), dtype=np.uint8)}


def panoptic_example(rng):
    blocks = rng.permutation(np.array([0, 17, 300, 4, 90000, 23, 0, 8]))
    panoptic = blocks.reshape(2, 4).repeat(19, 0).repeat(13, 1)[:37].astype(np.int32)
    segments = [
        {
            "id": int(i),
            "category_id": CATEGORIES[n % 3].id,
            "iscrowd": int(n == 1),
            "area": int((panoptic == i).sum()),
        }
        for n, i in enumerate(np.unique(panoptic[panoptic > 0]))
    ]
    return {**picture_example(rng), "panoptic": panoptic, "segments": segments}


TASKS = {
    "colorization": (ColorizationTask(image_size=(16, 24)), picture_example),
    "depth": (DepthTask(image_size=(16, 24), bins=20, crop="none"), depth_example),
    "panoptic": (
        PanopticTask(CATEGORIES, image_size=(16, 24), instances=8),
        panoptic_example,
    ),
}


@pytest.fixture(params=TASKS, ids=str)
def case(request):
    task, make_example = TASKS[request.param]
    return task, make_example(np.random.default_rng(0))


def preprocessed(case, train=False, seed=0):
    task, example = case
    return task.preprocess(example, np.random.default_rng(seed), train)


def perfect_outputs(task, planes):
    """Outputs (h v w), every row a token, that say exactly what the planes say."""
    if np.issubdtype(planes.dtype, np.floating):
        (name,) = task.channels
        return {name: jnp.asarray(planes).swapaxes(-1, -2)}
    return {
        name: 30.0 * jax.nn.one_hot(planes[..., i].astype(np.int32), classes, axis=-2)
        for i, (name, classes) in enumerate(task.channels.items())
    }


def split(task, planes):
    if np.issubdtype(planes.dtype, np.floating):
        (name,) = task.channels
        return {name: jnp.asarray(planes)}
    return {name: jnp.asarray(planes[..., i]) for i, name in enumerate(task.channels)}


def test_follows_the_protocol(case):
    assert isinstance(case[0], Task)


@pytest.mark.parametrize("train", [False, True])
def test_planes_fit_the_channels(case, train):
    task, _ = case
    found = preprocessed(case, train)
    assert found["image"].shape == (*task.image_size, 3)
    assert found["image"].dtype in (np.uint8, np.float32)
    planes = task.encode(found["target"])
    if np.issubdtype(planes.dtype, np.floating):
        assert planes.shape == (*task.image_size, *task.channels.values())
    else:
        assert planes.shape == (*task.image_size, len(task.channels))
        assert planes.dtype in (np.uint8, np.int16)
        assert (planes.max(axis=(0, 1)) < list(task.channels.values())).all()


def test_perfect_outputs_have_a_small_loss(case):
    task, _ = case
    planes = task.encode(preprocessed(case)["target"])
    outputs = perfect_outputs(task, planes)
    good = task.loss(outputs, split(task, planes))
    assert set(good) == set(task.channels)
    assert sum(float(loss.mean()) for loss in good.values()) < 1e-6
    worse = {name: jnp.roll(output, 1, axis=-1) for name, output in outputs.items()}
    bad = task.loss(worse, split(task, planes))
    assert sum(float(loss.mean()) for loss in bad.values()) > 1e-2


def test_decode_restore_and_visualize_fit_together(case):
    task, example = case
    found = preprocessed(case)
    outputs = perfect_outputs(task, task.encode(found["target"]))
    whole = {name: output[None] for name, output in outputs.items()}
    prediction = {k: np.asarray(v[0]) for k, v in jax.jit(task.decode)(whole).items()}
    reference = task.reference(example)
    restored = task.restore(prediction, reference["size"])
    if isinstance(restored, dict):
        assert restored["panoptic"].shape == reference["size"]
    else:
        assert restored.shape[:2] == reference["size"]
    for shown in (restored, found["target"]):
        size = task.image_size if shown is found["target"] else reference["size"]
        picture = task.visualize(np.full((*size, 3), 99, np.uint8), shown)
        assert picture.shape == (*size, 3) and picture.dtype == np.uint8
        assert picture.std() > 5


def test_ignored_pixels_have_no_loss_and_give_no_gradient(case):
    task, _ = case
    planes = task.encode(preprocessed(case)["target"])
    if np.issubdtype(planes.dtype, np.floating):
        pytest.skip("every pixel has a colour")
    ignored = [(-1, -3)]
    planes[-1, -3] = np.iinfo(planes.dtype).max
    if planes.dtype.kind == "i":
        ignored.append((0, 5))
        planes[0, 5] = -1
    keys = jax.random.split(jax.random.key(0), len(task.channels))
    outputs = {
        name: jax.random.normal(key, output.shape)
        for key, (name, output) in zip(
            keys, perfect_outputs(task, planes).items(), strict=True
        )
    }

    def total(outputs):
        return sum(
            loss.sum() for loss in task.loss(outputs, split(task, planes)).values()
        )

    loss = task.loss(outputs, split(task, planes))
    gradient = jax.grad(total)(outputs)
    for name in task.channels:
        for y, x in ignored:
            assert loss[name][y, x] == 0
            np.testing.assert_array_equal(gradient[name][y, :, x], 0)
        seen = np.abs(gradient[name]).sum(1) > 0
        assert seen.mean() > 0.5 and (np.asarray(loss[name]) > 0).mean() > 0.5


def test_training_examples_vary_and_evaluation_examples_do_not(case):
    trained, evaluated = (
        [preprocessed(case, train, seed)["image"] for seed in range(6)]
        for train in (True, False)
    )
    assert len(np.unique(trained, axis=0)) == 6
    assert len(np.unique(evaluated, axis=0)) == 1


def test_half_of_the_training_examples_are_mirrored():
    """Whole pictures, mirrored or not: 200 of 400, give or take four deviations."""
    for name, (task, make_example) in TASKS.items():
        example = make_example(np.random.default_rng(0))
        settings = dict(image_size=(4, 6), crop_area=(1.0, 1.0))
        if name == "depth":
            settings["crop"] = "none"
        if name == "panoptic":
            settings["categories"] = CATEGORIES
        task = type(task)(**settings)
        seen = [
            task.preprocess(example, np.random.default_rng(seed), True)["image"]
            for seed in range(400)
        ]
        kinds, counts = np.unique(seen, axis=0, return_counts=True)
        assert len(kinds) == 2 and abs(counts[0] - 200) < 40, name
        np.testing.assert_array_equal(kinds[0], kinds[1][:, ::-1])


def test_prepared_pictures_have_the_size_of_the_model(case):
    task, _ = case
    for size in ((7, 5), (90, 200)):
        prepared = task.prepare_image(np.full((*size, 3), 200, np.uint8))
        assert prepared.shape == (*task.image_size, 3) and prepared.dtype == np.uint8
        assert (prepared == 200).all()


def test_default_temperature_is_not_negative(case):
    assert case[0].default_temperature >= 0
