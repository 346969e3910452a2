"""Every configuration, built at full size without memory, and trained for a step when tiny."""

import jax
import numpy as np
import pytest

from configs import colorization, depth, panoptic
from configs.depth import PRESETS, VARIANTS, get_config
from uvim_fsq.build import objects
from uvim_fsq.build.tasks import build_task
from uvim_fsq.build.train import train
from uvim_fsq.config import ConfigError, replace


def _shapes(function, *arguments):
    return jax.eval_shape(lambda key: function(*arguments, key), jax.random.key(0))


def _count(tree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def _stage1(config):
    task = build_task(config.task)
    return _shapes(objects.init_stage1, objects.build_stage1(config, task), task)


def _stage2(config):
    return _shapes(objects.init_stage2, objects.build_stage2(config))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_stage1_builds(variant, preset):
    config = get_config(variant, preset)
    variables = _stage1(config)
    optimizer, rate = objects.build_optimizer(config.stage1, 10_000)
    jax.eval_shape(optimizer.init, variables["params"])
    assert rate(config.stage1.warmup_steps) == config.stage1.optimizer.learning_rate
    assert ("codebook" in variables) == variant.startswith("vq")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", ["fsq", "vq"])
def test_stage2_builds(variant, preset):
    config = get_config(variant, preset)
    params = _stage2(config)["params"]
    optimizer, _ = objects.build_optimizer(config.stage2, 10_000)
    # Raises if a multiplier's pattern matches no parameter.
    jax.eval_shape(optimizer.init, params)
    vocabulary = objects.build_quantizer(config.quantizer).codebook_size + 1
    assert params["logits"]["kernel"].shape[-1] == vocabulary


@pytest.mark.parametrize("module", [panoptic, colorization])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_other_tasks_build(module, preset):
    config = module.get_config("fsq", preset)
    if preset == "folder" and module is panoptic:
        with pytest.raises(ConfigError, match="give --task.classes"):
            _stage1(config)
        config = replace(config, task__classes=134)
    assert _count(_stage1(config)) > 0 and _count(_stage2(config)) > 0


def test_parameter_counts_of_the_published_models():
    """The same as the public code has; the VQ codebook is no parameter there either."""
    vq_panoptic = panoptic.get_config("vq", "paper")
    assert _count(_stage1(vq_panoptic)["params"]) == 223_593_984
    vq_colorization = colorization.get_config("vq", "paper")
    assert _count(_stage1(vq_colorization)["params"]) == 132_701_184
    assert _count(_stage1(get_config("vq", "paper"))["params"]) == 232_249_600
    assert _count(_stage1(get_config("fsq", "paper"))["params"]) == 231_076_869
    assert _count(_stage2(get_config("vq", "paper"))["params"]) == 715_729_921


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "variant"),
    [
        *((depth, name) for name in ("vq_no_split", "fsq_no_context", "vq_no_context")),
        *((panoptic, name) for name in ("vq", "fsq_no_context")),
        *((colorization, name) for name in ("vq_no_split", "vq_no_context")),
    ],
)
def test_other_variants_take_a_step(module, variant, tmp_path):
    """FSQ, and VQ of depth, which the tests of training use, apart."""
    config = replace(
        module.get_config(variant, "tiny"),
        stage1__steps=1,
        stage2__steps=1,
        stage1__warmup_steps=0,
        stage2__warmup_steps=0,
    )
    train(config, tmp_path / "run")
    assert (tmp_path / "run" / "stage1" / "done.json").exists()
    assert (tmp_path / "run" / "stage2" / "seed_0" / "done.json").exists()
