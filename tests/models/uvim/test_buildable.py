"""What only the models, the machine or the data can tell is refused before anything is written."""

import logging

import jax
import pytest

from uvim_fsq.configs import panoptic
from uvim_fsq.configs.depth import get_config
from uvim_fsq.models.uvim.buildable import (
    check_buildable,
    check_length,
    on_this_machine,
)
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, replace
from uvim_fsq.settings.check import check


def _config(**changes):
    config = replace(get_config("fsq", "tiny"), **changes)
    check(config)
    return config


def _cudnn(stage):
    sizes = dict(model__attention="cudnn", model__dtype="bfloat16")
    return _config(**{f"{stage}__{name}": value for name, value in sizes.items()})


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="cuDNN may be there")
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (_cudnn("stage1"), "stage1.model.attention cudnn cannot be used, because it "),
        (_cudnn("stage2"), "take --stage2.model.attention xla"),
        (
            _config(stage1__optimizer__multipliers=(("nothing", 0.5),)),
            "stage1.optimizer.multipliers: .* 'nothing' matches no parameter",
        ),
        (
            _config(stage2__optimizer__multipliers=((".*", 0.0),)),
            "stage2.optimizer.multipliers freeze every parameter",
        ),
        (
            _config(stage2__steps=None, stage2__epochs=0.25, stage2__warmup_steps=1),
            "stage2.warmup_steps must be less than the 1 steps that 0.25 epochs of 16",
        ),
    ],
)
def test_training_refuses_before_it_writes(config, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_only_stages_that_are_trained_are_asked():
    config = _cudnn("stage2")
    check_buildable(config, (1,))
    with pytest.raises(ConfigError, match="stage2.model.attention"):
        check_buildable(config, (2,))


def test_patterns_are_looked_up_where_classes_are_not_known_yet():
    config = replace(panoptic.get_config("fsq", "tiny"), task__classes=0)
    fits = replace(config, stage1__optimizer__multipliers=(("head_semantics/.*", 0.1),))
    check_buildable(fits, (1,))
    with pytest.raises(ConfigError, match="matches no parameter"):
        check_buildable(
            replace(fits, stage1__optimizer__multipliers=(("head/.*", 0.1),)), (1,)
        )


def test_too_many_epochs():
    stage = _config(stage1__steps=None, stage1__epochs=1e12).stage1
    with pytest.raises(ConfigError, match="stage1.epochs 1e.12 over 16 examples are"):
        check_length("stage1", stage, 16)


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="cuDNN may be there")
def test_a_model_from_elsewhere_takes_the_attention_that_is_here(caplog):
    config = get_config("fsq", "tiny")
    assert on_this_machine(config) is config
    with caplog.at_level(logging.WARNING):
        assert on_this_machine(_cudnn("stage1")).stage1.model.attention == "xla"
    assert "stage1 uses attention xla instead of cudnn" in caplog.text
