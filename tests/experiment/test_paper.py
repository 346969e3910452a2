"""Whose numbers may stand beside the paper's."""

import pytest

from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.configs.variants import VARIANTS
from uvim_fsq.experiment.paper import is_papers_setting
from uvim_fsq.settings import CategoryConfig, RunConfig, ScenesConfig, replace

TASKS = (depth, panoptic, colorization)


@pytest.mark.parametrize("module", TASKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_published_settings_are_the_papers(module, variant):
    assert is_papers_setting(module.get_config(variant, "paper"))
    # The same training as one device does it.
    assert is_papers_setting(module.get_config(variant, "single_gpu"))
    for preset in set(module.PRESETS) - {"paper", "single_gpu"}:
        assert not is_papers_setting(module.get_config(variant, preset))


def test_places_and_seeds_are_free():
    config = replace(
        panoptic.get_config("vq", "paper"),
        seed=3,
        data__data_dir="/data",
        loader_threads=4,
        output__evaluate_every=7,
        evaluation__batch_size=2,
        stage1__micro_batches=64,
        stage2__pretrained_encoder="L_16-i21k-300ep-lr_0.001-aug_strong1-wd_0.1-do_0.0-sd_0.0.npz",
        task__categories=(CategoryConfig(1, "a", True, (0, 0, 0)),),
    )
    assert is_papers_setting(config)


@pytest.mark.parametrize(
    "change",
    [
        dict(stage1__steps=10, stage1__epochs=None),
        dict(stage2__epochs=49.0),
        dict(stage1__warmup_steps=0),
        dict(task__crop="eigen"),
        dict(task__crop_area=(0.5, 1.0)),
        dict(task__flip=False),
        dict(task__bins=128),
        dict(task__max_depth=8.0),
        dict(data__train_split="train[:100]"),
        dict(data__test_split="train"),
        dict(data=ScenesConfig()),
        dict(quantizer__levels=(8, 8, 8)),
        dict(stage1__model__encoder_depth=5),
        dict(stage1__model__code_dropout="none"),
        dict(stage2__model__decoder_depth=2),
        dict(stage1__optimizer__learning_rate=1e-4),
        dict(stage2__optimizer__name="adamw"),
        dict(stage1__average_decay=0.999),
        dict(stage2__pretrained_encoder=""),
        dict(init_from="runs/other"),
        dict(checkpoint="best"),
        dict(evaluation__examples=100),
        dict(evaluation__list="some.txt"),
    ],
)
def test_whatever_the_paper_fixes_counts(change):
    config = replace(depth.get_config("fsq", "paper"), **change)
    assert isinstance(config, RunConfig) and not is_papers_setting(config)
