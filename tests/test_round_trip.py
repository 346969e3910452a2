"""Ground truth through the whole path: source, task, perfect outputs, evaluator.

What is lost here, no model can win back.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.data.coco.source import CocoPanopticFolder
from uvim_fsq.data.folders.pictures import PictureFolder
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.evaluators.color import PsnrEvaluator
from uvim_fsq.evaluators.depth import DepthEvaluator
from uvim_fsq.evaluators.panoptic import PanopticEvaluator
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.panoptic.task import PanopticTask

GENERATOR = np.random.default_rng(0)  # Nothing is drawn from it in evaluation.


def through(task, example):
    """The restored prediction of outputs that say exactly what the planes say, and its reference."""
    target = task.preprocess(example, GENERATOR, train=False)["target"]
    planes = decode(task, task.encode(target))
    reference = task.reference(example)
    return task.restore(planes, reference["size"]), reference


def decode(task, planes):
    """Every row of the picture is a token."""
    return {k: np.asarray(v[0]) for k, v in _decode(task, jnp.asarray(planes)).items()}


def _perfect(task, planes):
    if jnp.issubdtype(planes.dtype, jnp.floating):
        return {"color": planes.swapaxes(-1, -2)[None]}
    return {
        name: jax.nn.one_hot(planes[..., i], classes, axis=-2)[None]
        for i, (name, classes) in enumerate(task.channels.items())
    }


_decode = jax.jit(
    lambda task, planes: task.decode(_perfect(task, planes)), static_argnums=0
)


@pytest.mark.slow
def test_panoptic_maps_at_their_own_size_are_perfect(real_data):
    source = CocoPanopticFolder(real_data("coco_panoptic"), "all")
    evaluator = PanopticEvaluator(source.categories)
    # One size for all, so that decoding is compiled once; what is added is void.
    side, stats = 640, []
    wide = PanopticTask(source.categories, image_size=(side, side), instances=40)
    for i in range(len(source)):
        reference = source.reference(i)
        task = PanopticTask(
            source.categories, image_size=reference["size"], instances=40
        )
        target = task.preprocess(source[i], GENERATOR, train=False)["target"]
        height, width = reference["size"]
        planes = np.pad(
            task.encode(target), ((0, side - height), (0, side - width), (0, 0))
        )
        found = {k: v[:height, :width] for k, v in decode(wide, planes).items()}
        prediction = task.restore(found, reference["size"])
        stats.append(
            evaluator.update({"prediction": prediction, "reference": reference})
        )
        assert task.overflow.pictures == 0
    scores = evaluator.aggregate(stats)
    assert scores["pq"] == scores["pq_things"] == scores["pq_stuff"] == 100.0
    assert scores["images"] == 65 and scores["classes"] > 100


@pytest.mark.slow
def test_panoptic_maps_at_the_published_size(real_data):
    """512 x 512 and 100 slots: small segments suffer, and all have a slot."""
    source = CocoPanopticFolder(real_data("coco_panoptic"), "all")
    evaluator = PanopticEvaluator(source.categories)
    task = PanopticTask(source.categories, image_size=(512, 512), instances=100)
    stats = []
    for i in range(len(source)):
        prediction, reference = through(task, source.reference(i))
        stats.append(
            evaluator.update({"prediction": prediction, "reference": reference})
        )
    assert evaluator.aggregate(stats)["pq"] == pytest.approx(98.640, abs=2e-3)
    assert task.overflow.pictures == 0


def test_depth_is_exact_to_half_a_bin(real_data):
    source = RgbdFolder(real_data("nyu_labeled/test"), "all")
    task = DepthTask(image_size=(480, 640), crop="none")
    half = (task.max_depth - task.min_depth) / task.bins / 2
    evaluator = DepthEvaluator(task.min_depth, task.max_depth)
    for i in (0, 17, 39):
        prediction, reference = through(task, source.reference(i))
        truth = reference["depth"]
        valid = (truth > task.min_depth) & (truth < task.max_depth)
        assert np.abs(prediction - truth)[valid].max() <= half * 1.001
        scores = evaluator.update({"prediction": prediction, "reference": reference})
        assert scores["rmse"] <= half


def test_colours_are_exact(real_data):
    source = PictureFolder(real_data("photos/resized320"), "all")
    task = ColorizationTask(image_size=(128, 128))
    for i in (0, 100, 200):
        prediction, reference = through(task, source.reference(i))
        np.testing.assert_array_equal(prediction, reference["color"])
        stats = PsnrEvaluator().update(
            {"prediction": prediction, "reference": reference}
        )
        assert stats["psnr"] == np.inf
