"""A run that was really trained: tiny, both stages, FSQ, on built-in scenes."""

from pathlib import Path

import pytest

from configs.depth import get_config
from uvim_fsq.build.train import train
from uvim_fsq.config import replace


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
