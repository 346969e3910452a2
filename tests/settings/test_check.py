"""Checks of settings before anything is built."""

import dataclasses

import pytest

from uvim_fsq.configs import colorization, depth, panoptic
from uvim_fsq.configs.depth import PRESETS, VARIANTS, get_config
from uvim_fsq.data.registry import SOURCES
from uvim_fsq.settings import (
    CocoConfig,
    ConfigError,
    IdentityConfig,
    PicturesConfig,
    RecordsConfig,
    TfdsConfig,
    VQConfig,
    replace,
)
from uvim_fsq.settings.check import check


@pytest.mark.parametrize("module", [depth, panoptic, colorization])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_configuration_passes(module, variant, preset):
    config = module.get_config(variant, preset)
    if preset == "folder":
        with pytest.raises(ConfigError, match="data.path must name a folder"):
            check(config)
        config = replace(config, data__path="frames")
    check(config)


@pytest.mark.parametrize(
    ("module", "changes", "message"),
    [
        (panoptic, dict(task__instances=1), "task.instances must be at least 2"),
        (panoptic, dict(task__classes=1), "at least 2, since one is void, found 1"),
        (panoptic, dict(task__min_fraction=1.0), "task.min_fraction .* found 1.0"),
        (panoptic, dict(data=PicturesConfig("x")), "'pictures': add --source .* coco"),
        (depth, dict(data=CocoConfig("x")), "the depth task cannot learn .* 'coco'"),
        (panoptic, dict(data=CocoConfig()), "pictures with panoptic labels .* none"),
        (colorization, dict(data=RecordsConfig()), "prepare_data.py pack"),
        (colorization, dict(data=TfdsConfig()), "data.name must name a TFDS dataset"),
        (
            colorization,
            dict(evaluation__reference_folder="x"),
            "which needs evaluation.inception",
        ),
        (
            colorization,
            dict(data=PicturesConfig("x", validation_fraction=1.0)),
            "validation_fraction must lie between 0 and 1",
        ),
    ],
)
def test_settings_of_other_tasks_and_sources(module, changes, message):
    with pytest.raises(ConfigError, match=message):
        check(replace(module.get_config("fsq", "tiny"), **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(task__image_size=(30, 32)),
            "rows of stage1.model.patch_size .* 4 and 30",
        ),
        (dict(task__image_size=(0, 32)), "task.image_size must be at least 1"),
        (dict(task__bins=1), "task.bins must be at least 2, found 1"),
        (dict(task__min_depth=10.0), "less than task.max_depth, found 10.0 and 10.0"),
        (dict(task__crop_area=(0.5, 1.5)), "task.crop_area must be .* found 0.5 1.5"),
        (dict(task__crop_area=(0.0, 1.0)), "task.crop_area"),
        (dict(data__train_count=0), "data.train_count must be at least 1"),
        (dict(data__size=(4, 4)), "data.size must be at least 8"),
        (dict(quantizer__levels=(8, 1)), "at least 2, one per channel.* found 8 1"),
        (dict(quantizer__levels=()), "at least 2, one per channel.* found none"),
        (dict(quantizer__levels=(2**16, 2**16)), "make 4,294,967,296 codewords"),
        (dict(quantizer__bound="tanh"), "one of tan, atanh, found 'tanh'"),
        (dict(quantizer__bound="atanh", quantizer__levels=(2, 5)), "no value for 2"),
        (dict(quantizer=VQConfig(codebook_size=1)), "codebook_size must be at least 2"),
        (dict(quantizer=VQConfig(code_dim=1)), "code_dim must be at least 2, found 1"),
        (dict(quantizer=VQConfig(decay=1.0)), "quantizer.decay"),
        (dict(quantizer=VQConfig(decay=0.0)), "quantizer.decay must be above 0"),
        (dict(task__bins=40000), "task.bins must be at most 32,767, found 40,000"),
        (dict(stage1__model__width=2**31), "stage1.model.width must be at most 2,147"),
        (dict(task__max_depth=1e38), "task.max_depth must be at most 1e.15"),
        (
            dict(
                stage1__model__positions="sincos2d",
                stage1__model__width=4,
                stage1__model__num_heads=4,
            ),
            "stage1.model.width must be above 4 for sincos2d positions, found 4",
        ),
        (
            dict(
                stage2__model__attention="cudnn",
                stage2__model__dtype="bfloat16",
                stage2__model__num_heads=8,
            ),
            "heads with a multiple of 8 channels, found 12",
        ),
        (dict(quantizer=VQConfig(min_count=0.0)), "quantizer.min_count must be above"),
        (dict(stage1__batch_size=0), "stage1.batch_size must be at least 1, found 0"),
        (dict(stage1__micro_batches=3), "stage1.micro_batches must divide .* 3 and 32"),
        (dict(stage1__steps=None), "either stage1.steps or stage1.epochs"),
        (dict(stage2__epochs=2.0), "either stage2.steps or stage2.epochs, found 2500"),
        (dict(stage2__steps=None, stage2__epochs=0.0), "stage2.epochs must be above 0"),
        (dict(stage2__warmup_steps=2500), "must be less than stage2.steps"),
        (dict(stage2__optimizer__learning_rate=0.0), "learning_rate must be above 0"),
        (dict(stage1__optimizer__clip_norm=-1.0), "clip_norm must be at least 0"),
        (dict(stage2__optimizer__multipliers=(("(", 0.1),)), "regular expressions"),
        (dict(stage2__optimizer__multipliers=((".*", -0.1),)), "at least 0, found -0"),
        (dict(stage1__model__num_heads=7), "num_heads must divide .* found 7 and 96"),
        (dict(stage1__model__encoder_depth=0), "encoder_depth must be at least 1"),
        (dict(stage2__model__patch_size=(8, 5)), "columns of stage2.model.patch_size"),
        (dict(stage2__model__attention="cudnn"), "cudnn needs .* bfloat16"),
        (dict(stage1__model__code_length=17), "square number .* 17: take 16 or 25"),
        (dict(evaluation__batch_size=0), "evaluation.batch_size must be at least 1"),
        (dict(evaluation__examples=0), "evaluation.examples must be at least 1"),
        (dict(evaluation__temperature=-0.5), "evaluation.temperature"),
        (dict(evaluation__top_k=-1), "evaluation.top_k"),
        (dict(evaluation__top_p=0.0), "evaluation.top_p must be above 0"),
        (dict(evaluation__samples=0), "evaluation.samples"),
        (dict(output__pictures=-1), "output.pictures"),
        (dict(seed=-1), "^seed must be .* from 0 to 4,294,967,295, found -1"),
        (dict(seed=2**32), "^seed must be .* found 4294967296"),
        (dict(evaluation__seed=-1), "evaluation.seed must be .* found -1"),
        (dict(data__seed=2**32), "data.seed must be .* found 4294967296"),
        (dict(loader_threads=-1), "loader_threads must be at least 0"),
    ],
)
def test_what_cannot_be_used(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check(replace(get_config(), **changes))
    assert str(caught.value).endswith(".")


def test_sincos_positions_need_four_parts():
    config = replace(
        get_config(),
        stage2__model__positions="sincos2d",
        stage2__model__width=90,
        stage2__model__num_heads=3,
    )
    with pytest.raises(ConfigError, match="4 and 90"):
        check(config)


def test_folder_fractions_and_units():
    config = replace(get_config(preset="folder"), data__path="frames")
    with pytest.raises(ConfigError, match="validation_fraction must lie between"):
        check(replace(config, data__validation_fraction=1.0))
    with pytest.raises(ConfigError, match="units_per_metre must be above 0"):
        check(replace(config, data__units_per_metre=0.0))
    with pytest.raises(ConfigError, match="units_per_metre must be at least 1e-06"):
        check(replace(config, data__units_per_metre=1e-300))


def test_any_code_length_with_learned_resizing():
    config = replace(get_config(), stage1__model__code_length=17)
    check(replace(config, stage1__model__resize="learned"))


def test_identity_is_for_stage_one_alone():
    config = replace(get_config(), quantizer=IdentityConfig())
    check(config, stages=(1,))
    with pytest.raises(ConfigError, match="--stage 1"):
        check(config)


def test_values_of_a_wrong_type_are_found():
    config = get_config()
    model = dataclasses.replace(config.stage1.model)
    object.__setattr__(model, "width", "96")
    with pytest.raises(ConfigError, match="stage1.model.width must be a whole number"):
        check(replace(config, stage1__model=model))


@pytest.mark.parametrize("kind", SOURCES)
def test_a_part_that_no_data_has(kind):
    with pytest.raises(ValueError, match="train, validation, test, not 'val'"):
        SOURCES[kind]().open("val")
