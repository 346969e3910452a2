"""A run that was really trained: tiny, both stages, FSQ, on built-in scenes."""

import os
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


@pytest.fixture(scope="session", autouse=True)
def caches_apart(tmp_path_factory):
    """Rendered scenes and compiled programs of the tests stay out of the user's cache."""
    os.environ.setdefault(
        "UVIM_FSQ_CACHE", str(tmp_path_factory.getbasetemp() / "cache")
    )
