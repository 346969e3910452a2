"""Runs that were really trained: tiny, both stages, FSQ, on built-in scenes."""

from pathlib import Path

import pytest

from configs import colorization, panoptic
from configs.depth import get_config
from uvim_fsq.build.train import train
from uvim_fsq.config import replace
from uvim_fsq.config_check import check


@pytest.fixture(scope="session")
def tiny_config():
    return replace(
        get_config("fsq", "tiny"), output__log_every=1, evaluation__samples=2
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config, run)
    return run


@pytest.fixture(scope="session")
def panoptic_run(tmp_path_factory) -> Path:
    return _train(panoptic, tmp_path_factory.mktemp("runs") / "panoptic")


@pytest.fixture(scope="session")
def color_run(tmp_path_factory) -> Path:
    return _train(colorization, tmp_path_factory.mktemp("runs") / "colorization")


def _train(module, folder):
    config = replace(module.get_config("fsq", "tiny"), evaluation__samples=2)
    check(config)
    train(config, folder)
    return folder
