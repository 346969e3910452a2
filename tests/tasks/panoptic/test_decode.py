"""From logits to one class per instance: parity with the public code, the rule, and memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category


def columns(number):
    return tuple(
        Category(n, f"column {n}", True, (0, 0, 0)) for n in range(1, 1 + number)
    )


def patches(plane):
    """(b 16 24) to (b 24 16): patches of 4 x 4 pixels."""
    blocks = plane.reshape(-1, 4, 4, 6, 4).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(-1, 24, 16)


@pytest.mark.parametrize("case", [*range(6), "random_logits"])
def test_golden_predictions(golden, case):
    a = golden("tasks/panoptic.npz")
    prefix, fraction = (
        ("logits", 0.0)
        if isinstance(case, str)
        else (
            "predict_in",
            float(a["min_fraction"][case]),
        )
    )
    task = PanopticTask(
        columns(5), image_size=(16, 24), instances=5, min_fraction=fraction
    )
    outputs = {name: jnp.asarray(a[f"{prefix}_{name}"]) for name in task.channels}
    found = jax.jit(task.decode)(outputs)
    expected = a[f"predict_{case}"]
    for i, name in enumerate(task.channels):
        assert found[name].dtype == jnp.int32
        np.testing.assert_array_equal(found[name], patches(expected[..., i]))


def slow_decode(semantics, instances, min_fraction):
    """The rule, pixel by pixel, of one picture (p v x)."""
    chosen = instances.argmax(1)
    result = np.zeros((2, *chosen.shape), np.int32)
    for slot in range(instances.shape[1]):
        mask = chosen == slot
        if mask.sum() / mask.size > min_fraction:
            votes = semantics.swapaxes(1, 2)[mask].astype(np.float64).sum(0)
            result[:, mask] = [[votes.argmax()], [slot]]
    return result


@pytest.mark.parametrize("min_fraction", [0.0, 0.13, 0.16])
def test_decode_agrees_with_the_rule_pixel_by_pixel(min_fraction):
    task = PanopticTask(columns(10), instances=7, min_fraction=min_fraction)
    rng = np.random.default_rng(1)
    outputs = {
        name: rng.normal(size=(3, 6, classes, 20)).astype(np.float32)
        for name, classes in task.channels.items()
    }
    found = jax.jit(task.decode)(jax.tree.map(jnp.asarray, outputs))
    expected = np.stack(
        [
            slow_decode(*pair, min_fraction)
            for pair in zip(*outputs.values(), strict=True)
        ],
        axis=1,
    )
    np.testing.assert_array_equal(found["semantics"], expected[0])
    np.testing.assert_array_equal(found["instances"], expected[1])
    removed = expected[1] != outputs["instances"].argmax(2)
    assert removed.any() == (min_fraction > 0) and not removed.all()
    for i in range(3):
        alone = jax.jit(task.decode)(
            {name: jnp.asarray(x[i : i + 1]) for name, x in outputs.items()}
        )
        for name, plane in alone.items():
            np.testing.assert_array_equal(plane[0], found[name][i])


def test_a_class_is_voted_over_the_whole_picture_and_not_over_a_patch():
    task = PanopticTask(columns(3), instances=2)
    semantics = jnp.zeros((1, 2, 4, 3)).at[0, 0, 1].set(1.0).at[0, 1, 2].set(0.9)
    semantics = semantics.at[0, 1, 3, 0].set(2.9)
    instances = jnp.zeros((1, 2, 2, 3)).at[:, :, 1].set(1.0)
    found = task.decode({"semantics": semantics, "instances": instances})
    # Sums: class 1 has 3.0, class 2 has 2.7, class 3 has 2.9 from a single pixel.
    np.testing.assert_array_equal(found["semantics"], np.full((1, 2, 3), 1))


def test_slot_0_is_a_slot_as_any_other():
    task = PanopticTask(columns(4), (1, 4), instances=3)
    instances = jax.nn.one_hot(jnp.array([[[0, 0, 2, 2]]]), 3, axis=-2)
    semantics = jax.nn.one_hot(jnp.array([[[1, 1, 0, 0]]]), 5, axis=-2)
    planes = task.decode({"semantics": semantics, "instances": instances})
    planes = {name: np.asarray(plane[0]) for name, plane in planes.items()}
    np.testing.assert_array_equal(planes["instances"], [[0, 0, 2, 2]])
    restored = task.restore(planes, (1, 4))
    np.testing.assert_array_equal(restored["panoptic"], [[1, 1, 0, 0]])
    assert restored["segments"] == [
        {"id": 1, "category_id": 1, "iscrowd": 0, "area": 2}
    ]


@pytest.mark.parametrize(
    "pixels, area", [(384, 2), (100, 29), (30, 3), (4096, 999), (6, 5)]
)
def test_min_fraction_is_a_strict_bound(pixels, area):
    """Also where the share is no short binary fraction, and compiled."""
    slots = jnp.arange(pixels)[None, None] < area
    outputs = {
        "instances": jax.nn.one_hot(slots.astype(int), 2, axis=-2),
        "semantics": jax.nn.one_hot(1 + slots.astype(int), 3, axis=-2),
    }
    share = area / pixels
    fractions = {share: 0, np.nextafter(share, 0).item(): area, share * 0.99: area}
    for fraction, kept in fractions.items():
        task = PanopticTask(columns(2), instances=2, min_fraction=fraction)
        found = jax.jit(task.decode)(outputs)
        assert int((found["instances"] == 1).sum()) == kept
        assert int((found["semantics"] == 2).sum()) == kept


def test_decode_holds_nothing_in_proportion_to_pixels_times_slots():
    task = PanopticTask(columns(133), (128, 128), instances=100)
    outputs = {
        name: jax.ShapeDtypeStruct((2, 64, classes, 256), jnp.float32)
        for name, classes in task.channels.items()
    }
    compiled = jax.jit(task.decode).lower(outputs).compile()
    memory = compiled.memory_analysis()
    if memory is None:
        pytest.skip("this backend does not tell")
    assert memory.temp_size_in_bytes < 0.2 * 4 * 2 * 128 * 128 * 100


def test_votes_are_of_full_precision_on_every_platform(equations):
    task = PanopticTask(columns(2), instances=2)
    outputs = {name: jnp.ones((1, 2, n, 8)) for name, n in task.channels.items()}
    products = [
        equation.params["precision"]
        for equation in equations(task.decode, outputs)
        if equation.primitive.name == "dot_general"
    ]
    assert products == [(jax.lax.Precision.HIGHEST,) * 2]


def test_votes_are_summed_in_float32():
    task = PanopticTask(columns(2), instances=2)
    rng = np.random.default_rng(4)
    outputs = {
        name: jnp.asarray(rng.normal(size=(1, 8, classes, 4096)), jnp.bfloat16)
        for name, classes in task.channels.items()
    }
    outputs["semantics"] += jnp.array([0.0, 100.0, 100.0], jnp.bfloat16)[
        None, None, :, None
    ]
    half = jax.jit(task.decode)(outputs)
    full = jax.jit(task.decode)(jax.tree.map(lambda x: x.astype(jnp.float32), outputs))
    expected = slow_decode(
        *(np.asarray(x[0], np.float32) for x in outputs.values()), 0.0
    )
    for found in (half, full):
        np.testing.assert_array_equal(found["semantics"][0], expected[0])
