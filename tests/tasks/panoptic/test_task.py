"""The panoptic task: parity with the public code, slots, crops, sizes and wrong input."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.tasks.base import TaskError
from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category

CATEGORIES = (
    Category(7, "person", True, (220, 20, 60)),
    Category(200, "grass", False, (60, 180, 60)),
    Category(3, "dog", True, (120, 60, 20)),
    Category(92, "sky", False, (70, 130, 180)),
)


def generator(seed=0):
    return np.random.default_rng(seed)


def columns(number):
    return tuple(
        Category(n, f"column {n}", True, (0, 0, 0)) for n in range(1, 1 + number)
    )


def example(ids, category_ids, crowd=(), name="a"):
    ids = np.asarray(ids, np.int32)
    segments = [
        {
            "id": i,
            "category_id": category,
            "iscrowd": int(i in crowd),
            "area": int((ids == i).sum()),
        }
        for i, category in category_ids.items()
    ]
    image = np.zeros((*ids.shape, 3), np.uint8)
    return {"id": name, "image": image, "panoptic": ids, "segments": segments}


def random_example(seed, size=(36, 44)):
    """Scattered blocks: two persons, two dogs, two pieces of one stuff segment, void."""
    rng = generator(seed)
    ids = np.array([0, 40, 1000, 2**23, 5, 70000])
    blocks = rng.choice(ids, (size[0] // 4, size[1] // 4))
    return example(
        blocks.repeat(4, 0).repeat(4, 1),
        {40: 7, 1000: 7, 2**23: 3, 5: 200, 70000: 3},
        crowd=(1000,),
    )


def test_training_and_evaluation_each_pick_the_nearest_as_their_public_code_does():
    """Row 30 of 61 lies at 25 of 50: 25 to TensorFlow's preprocessing, 24 to JAX's resize."""
    task = PanopticTask(CATEGORIES, (61, 61))
    ids = np.full((50, 50), 5, np.int32)
    ids[25:] = 9
    target = task.preprocess(example(ids, {5: 200, 9: 92}), generator(), train=False)
    semantics = target["target"]["semantics"]
    assert semantics[:, 0].tolist() == [2] * 30 + [4] * 31
    low = {"semantics": np.where(ids == 5, 2, 4), "instances": np.ones_like(ids)}
    restored = task.restore(low, (61, 61))
    assert restored["panoptic"][:, 0].tolist() == [1] * 31 + [2] * 30


def patches(plane, size=4):
    """(b h w) to (b p x): patches of 4 x 4 pixels."""
    b, h, w = plane.shape
    blocks = plane.reshape(b, h // size, size, w // size, size).swapaxes(2, 3)
    return blocks.reshape(b, -1, size * size)


def perfect_outputs(task, target, patch=4):
    planes = task.encode(target)
    return {
        name: 9.0
        * jax.nn.one_hot(patches(planes[None, ..., i], patch), classes, axis=-2)
        for i, (name, classes) in enumerate(task.channels.items())
    }


def unpatch(plane, size, patch=4):
    h, w = size
    blocks = np.asarray(plane).reshape(h // patch, w // patch, patch, patch)
    return blocks.swapaxes(1, 2).reshape(h, w)


def predicted(task, outputs, patch=4):
    """Planes (h w) of one picture."""
    decoded = jax.jit(task.decode)(outputs)
    return {
        name: unpatch(plane[0], task.image_size, patch)
        for name, plane in decoded.items()
    }


def assert_same_partition(found, expected):
    """The same pixels are together, with the same category and area; ids may be others."""
    expected_area = {
        s["id"]: (s["category_id"], s["area"]) for s in expected["segments"]
    }
    found_area = {s["id"]: (s["category_id"], s["area"]) for s in found["segments"]}
    together = found["panoptic"].astype(np.int64) << 32 | expected["panoptic"]
    pairs = [(int(i >> 32), int(i & 0xFFFFFFFF)) for i in np.unique(together)]
    partner = dict(pairs)
    assert len(partner) == len(pairs) == len(set(partner.values()))
    assert partner.pop(0, 0) == 0
    assert set(partner) == set(found_area)
    for mine, theirs in partner.items():
        assert found_area[mine] == expected_area[theirs]
    assert all(s["iscrowd"] == 0 for s in found["segments"])


# Parity


def test_golden_loss(golden):
    a = golden("tasks/panoptic.npz")
    task = PanopticTask(columns(5), image_size=(16, 24), instances=5)
    planes = np.stack(
        [
            task.encode({"semantics": labels[..., 0], "instances": labels[..., 1]})
            for labels in a["labels"]
        ]
    )
    assert planes.dtype == np.int16
    planes = {
        name: jnp.asarray(patches(planes[..., i]))
        for i, name in enumerate(task.channels)
    }
    outputs = {name: jnp.asarray(a[f"logits_{name}"]) for name in task.channels}
    losses = jax.jit(task.loss)(outputs, planes)
    for name, loss in losses.items():
        np.testing.assert_allclose(loss, a[f"loss_{name}"], rtol=2e-6, atol=2e-6)
        ignored = a[f"onehot_{name}"].sum(-2) == 0
        np.testing.assert_array_equal(loss == 0, ignored)
        assert 0.05 < ignored.mean() < 0.5
    np.testing.assert_allclose(sum(losses.values()), a["loss"], rtol=2e-6, atol=4e-6)


def golden_example(a, case):
    ids = a[f"{case}/panoptic_image"].astype(np.int32) @ np.array(
        [1, 256, 65536], np.int32
    )
    labels = dict(
        zip(a[f"{case}/ids"].tolist(), a[f"{case}/labels"].tolist(), strict=True)
    )
    return example(ids, {i: 10 * (label + 1) for i, label in labels.items()}, name=case)


def prepared(frame, size, **settings):
    """Target (h w 2) at a size, with the 133 classes of the reference files."""
    categories = [Category(10 * n, str(n), True, (0, 0, 0)) for n in range(1, 134)]
    task = PanopticTask(categories, size, **settings)
    return task.encode(task.preprocess(frame, generator(), train=False)["target"])


@pytest.mark.parametrize("case", ["case0", "case1", "case2", "case3"])
def test_golden_targets(golden, case):
    a = golden("pp/coco_panoptic.npz")
    frame = golden_example(a, case)
    np.testing.assert_array_equal(
        prepared(frame, frame["panoptic"].shape), a[f"{case}/canonical_y"]
    )
    np.testing.assert_array_equal(
        prepared(frame, (20, 28)), a[f"{case}/resized_20x28_canonical"]
    )


def test_golden_targets_of_real_pictures(golden):
    a = golden("pp/coco_panoptic_real.npz")
    for case in {name.split("/")[0] for name in a}:
        frame = golden_example(a, case)
        full = prepared(frame, frame["panoptic"].shape)
        np.testing.assert_array_equal(full, a[f"{case}/canonical_full"])
        for size in (128, 512):
            np.testing.assert_array_equal(
                prepared(frame, (size, size)), a[f"{case}/resized_{size}_canonical"]
            )


# From labels to planes and back


@pytest.mark.parametrize("seed", range(5))
def test_ground_truth_comes_back_through_perfect_outputs(seed):
    frame = random_example(seed)
    size = frame["panoptic"].shape
    task = PanopticTask(CATEGORIES, size, instances=6)
    target = task.preprocess(frame, generator(), train=False)["target"]
    planes = predicted(task, perfect_outputs(task, target))
    for name, plane in planes.items():
        np.testing.assert_array_equal(plane, target[name])
    assert_same_partition(task.restore(planes, size), frame)


@pytest.mark.parametrize("seed", range(3))
def test_restoring_at_twice_the_size_quadruples_the_areas(seed):
    frame = random_example(seed)
    task = PanopticTask(CATEGORIES, frame["panoptic"].shape)
    target = task.preprocess(frame, generator(), train=False)["target"]
    size = tuple(2 * side for side in task.image_size)
    doubled = {
        "panoptic": frame["panoptic"].repeat(2, 0).repeat(2, 1),
        "segments": [s | {"area": 4 * s["area"]} for s in frame["segments"]],
    }
    assert_same_partition(task.restore(target, size), doubled)


def real_examples(folder):
    index = json.loads((folder / "panoptic.json").read_text())
    categories = tuple(
        Category(c["id"], c["name"], bool(c["isthing"]), tuple(c["color"]))
        for c in index["categories"]
    )

    def load(annotation):
        png = cv2.imread(str(folder / "panoptic" / annotation["file_name"]))
        ids = png[..., ::-1].astype(np.int32) @ np.array([1, 256, 65536], np.int32)
        return {
            "id": annotation["image_id"],
            "image": np.zeros_like(png),
            "panoptic": ids,
            "segments": annotation["segments_info"],
        }

    return categories, [load(a) for a in index["annotations"]]


def test_real_pictures_come_back(real_data):
    """Partition, classes and areas of every picture; through the decoder too for some."""
    categories, frames = real_examples(real_data("coco_panoptic"))
    crowded = 0
    for frame in frames:
        size = frame["panoptic"].shape
        task = PanopticTask(categories, size, instances=100)
        target = task.preprocess(frame, generator(), train=False)["target"]
        assert_same_partition(task.restore(target, size), frame)
        assert task.overflow.pictures == 0
        crowd = any(s["iscrowd"] for s in frame["segments"])
        crowded += crowd
        if crowd and crowded <= 2:
            size = tuple(side // 16 * 16 for side in size)
            frame = {k: v[: size[0], : size[1]] if k in ("image", "panoptic") else v
                     for k, v in frame.items()}  # fmt: skip
            task = PanopticTask(categories, size, instances=60)
            target = task.preprocess(frame, generator(), train=False)["target"]
            planes = predicted(task, perfect_outputs(task, target, 16), 16)
            for name, plane in planes.items():
                np.testing.assert_array_equal(plane, target[name])
    assert len(frames) > 50 and crowded > 5


def test_negative_ids_are_ignored_and_then_void():
    frame = example([[40, 40, -3, -3], [40, 40, 0, -9]], {40: 7})
    task = PanopticTask(CATEGORIES, (2, 4))
    target = task.preprocess(frame, generator(), train=False)["target"]
    np.testing.assert_array_equal(target["semantics"], [[1, 1, -1, -1], [1, 1, 0, -1]])
    np.testing.assert_array_equal(target["instances"], target["semantics"])
    np.testing.assert_array_equal(task.encode(target)[..., 1], target["instances"])
    restored = task.restore(target, (2, 4))
    np.testing.assert_array_equal(restored["panoptic"], [[1, 1, 0, 0], [1, 1, 0, 0]])


def test_values_that_fit_no_channel_are_ignored_and_do_not_wrap_around():
    task = PanopticTask(CATEGORIES, instances=6)
    wild = np.array([[0, 4, 5, 6, -1, -2, -70000, 65537, 2**31 - 1]], np.int32)
    planes = task.encode({"semantics": wild, "instances": wild})
    np.testing.assert_array_equal(planes[0, :, 0], [0, 4, *7 * [-1]])
    np.testing.assert_array_equal(planes[0, :, 1], [0, 4, 5, *6 * [-1]])


# Slots


def slot_example(areas):
    """Columns of persons with these areas, in an image of one row, and one pixel of void."""
    ids = np.repeat(np.arange(1, len(areas) + 1), areas)
    return example(np.append(ids, 0)[None], {i: 7 for i in range(1, len(areas) + 1)})


def test_more_segments_than_slots_keeps_the_largest(caplog):
    frame = slot_example([2, 5, 1, 4, 4, 4])
    task = PanopticTask(CATEGORIES, (1, 21), instances=4)
    with caplog.at_level(logging.WARNING):
        target = task.preprocess(frame, generator(), train=False)["target"]
        task.preprocess(frame, generator(), train=False)
    expected = np.repeat([0, 1, 0, 2, 3, 0, 0], [2, 5, 1, 4, 4, 4, 1])
    np.testing.assert_array_equal(target["instances"][0], expected)
    np.testing.assert_array_equal(target["semantics"][0], np.minimum(expected, 1))
    assert (task.overflow.pictures, task.overflow.segments) == (2, 6)
    (record,) = caplog.records
    assert "6 segments, and 3 fit" in record.message
    assert "Set instances to 7 or more" in record.message


def test_as_many_segments_as_fit_are_no_overflow():
    areas = [1 + i % 3 for i in range(99)]
    task = PanopticTask(CATEGORIES, (1, sum(areas) + 1), instances=100)
    target = task.preprocess(slot_example(areas), generator(), train=False)["target"]
    np.testing.assert_array_equal(
        target["instances"][0], np.append(np.repeat(np.arange(1, 100), areas), 0)
    )
    assert task.overflow.pictures == task.overflow.segments == 0


def test_overflow_is_counted_across_threads(caplog):
    task = PanopticTask(CATEGORIES, (1, 8), instances=3)
    frame = slot_example([1, 2, 1, 1, 2])
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(8) as pool:
        done = pool.map(
            lambda seed: task.preprocess(frame, generator(seed), train=False),
            range(400),
        )
        assert len(list(done)) == 400
    assert (task.overflow.pictures, task.overflow.segments) == (400, 1200)
    assert len(caplog.records) == 1


# Restoring


def test_stuff_of_one_class_merges_and_things_do_not():
    task = PanopticTask(CATEGORIES, (1, 8), instances=9, classes=7)
    planes = {
        "semantics": np.array([[1, 1, 2, 2, 0, 6, 4, 2]]),
        "instances": np.array([[0, 1, 3, 4, 5, 6, 7, 0]]),
    }
    restored = task.restore(planes, (1, 8))
    np.testing.assert_array_equal(restored["panoptic"], [[1, 2, 3, 3, 0, 0, 4, 3]])
    assert restored["panoptic"].dtype == np.int32
    found = [(s["id"], s["category_id"], s["area"]) for s in restored["segments"]]
    assert found == [(1, 7, 1), (2, 7, 1), (3, 200, 3), (4, 92, 1)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(9, 50), (3, 2), (16, 24)])
def test_segments_describe_the_map_at_the_final_size(seed, size):
    rng = generator(seed)
    task = PanopticTask(CATEGORIES, (16, 24), instances=8, classes=6)
    planes = {
        "semantics": rng.integers(0, 6, (16, 24)),
        "instances": rng.integers(0, 8, (16, 24)),
    }
    restored = task.restore(planes, size)
    assert restored["panoptic"].shape == size
    areas = {s["id"]: s["area"] for s in restored["segments"]}
    ids, counts = np.unique(restored["panoptic"], return_counts=True)
    found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    found.pop(0, None)
    assert areas == found and list(areas) == list(range(1, len(areas) + 1))
    stuff = [
        s["category_id"] for s in restored["segments"] if s["category_id"] in (200, 92)
    ]
    assert len(stuff) == len(set(stuff))


def test_a_prediction_of_void_alone():
    task = PanopticTask(CATEGORIES, (4, 4))
    nothing = {name: np.zeros((4, 4), int) for name in task.channels}
    restored = task.restore(nothing, (6, 5))
    assert restored["segments"] == [] and (restored["panoptic"] == 0).all()
    full = {name: np.ones((4, 4), int) for name in task.channels}
    assert (task.restore(full, (6, 5))["panoptic"] == 1).all()


# Augmentation and the parts of the protocol


def test_image_and_target_are_augmented_together():
    """The image shows its columns, and so do the classes, after crop, flip and resize."""
    task = PanopticTask(columns(8), (20, 20))
    rows, places = np.mgrid[:60, :80]
    frame = example(1 + places // 10, {n: n for n in range(1, 9)})
    frame["image"][..., 0], frame["image"][..., 1] = 2 * rows, 2 * places
    seen = set()
    for seed in range(30):
        found = task.preprocess(frame, generator(seed), train=True)
        target, shown = found["target"], found["image"].astype(int)
        expected = 1 + shown[..., 1] // 2 // 10
        assert (target["semantics"] == expected).mean() > 0.9
        order = target["semantics"][0]
        numbers = target["instances"][0]
        flipped = order[0] > order[-1]
        # Numbered from left to right after the flip, without gaps.
        ranks = np.unique(order, return_inverse=True)[1] + 1
        np.testing.assert_array_equal(
            numbers, ranks.max() + 1 - ranks if flipped else ranks
        )
        seen.add((flipped, order.min() > 2))
    assert len(seen) == 4, "flipped and not, cropped and not"


def test_whole_pictures_are_evaluated_and_without_augmentation_trained_on():
    plain = PanopticTask(CATEGORIES, (18, 22), flip=False, crop_area=(1.0, 1.0))
    augmenting = PanopticTask(CATEGORIES, (18, 22))
    frame = random_example(2)
    whole = augmenting.preprocess(frame, generator(), train=False)["target"]
    for seed in range(8):
        trained = plain.preprocess(frame, generator(seed), train=True)["target"]
        evaluated = augmenting.preprocess(frame, generator(seed), train=False)["target"]
        for name in plain.channels:
            np.testing.assert_array_equal(trained[name], whole[name])
            np.testing.assert_array_equal(evaluated[name], whole[name])


def test_the_reference_is_whole_and_unchanged():
    frame = random_example(0)
    reference = PanopticTask(CATEGORIES, (8, 8)).reference(frame)
    assert reference["size"] == (36, 44)
    for name in ("image", "panoptic", "segments"):
        assert reference[name] is frame[name]


def test_classes_may_be_more_than_the_categories():
    assert PanopticTask(CATEGORIES).channels == {"semantics": 5, "instances": 100}
    task = PanopticTask(CATEGORIES, classes=9, instances=3)
    assert task.channels == {"semantics": 9, "instances": 3}


# Wrong input


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"category": {40: 8}}, "segment 40 of picture 'p7' has category 8"),
        ({"category": {41: 7}}, "picture 'p7' has pixels with id 40"),
        (
            {"image": np.zeros((2, 3, 3), np.uint8)},
            r"\(2, 3\) and \(2, 2\) for picture 'p7'",
        ),
    ],
)
def test_wrong_labels_are_named(wrong, expected):
    frame = example([[40, 40], [0, 40]], wrong.pop("category", {40: 7}), name="p7")
    task = PanopticTask(CATEGORIES, (4, 4))
    with pytest.raises(TaskError, match=expected):
        task.preprocess({**frame, **wrong}, generator(), train=True)
    if "image" in wrong:
        with pytest.raises(TaskError, match=expected):
            task.reference({**frame, **wrong})


@pytest.mark.parametrize(
    "wrong, expected",
    [
        ({"categories": ()}, "categories of the data"),
        ({"categories": (*CATEGORIES, CATEGORIES[1])}, r"\[200\] repeatedly"),
        ({"categories": (Category(-1, "a", True, (0, 0, 0)),)}, "at least 0"),
        ({"image_size": (0, 5)}, "positive image_size"),
        ({"classes": 4}, r"from 5 \(void and the 4 categories\) to 32767, found 4"),
        ({"classes": 40000}, "32767"),
        ({"instances": 1}, "2 to 32767"),
        ({"instances": 40000}, "2 to 32767"),
        ({"min_fraction": -0.1}, "min_fraction"),
        ({"min_fraction": 1.0}, "min_fraction"),
        ({"crop_area": (0.5, 1.5)}, "crop_area"),
        ({"crop_area": (0.0, 1.0)}, "crop_area"),
    ],
    ids=str,
)
def test_settings_are_checked_at_construction(wrong, expected):
    with pytest.raises(TaskError, match=expected):
        PanopticTask(**{"categories": CATEGORIES, **wrong})
