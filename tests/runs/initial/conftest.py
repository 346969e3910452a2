"""Given models whose weights are random numbers, and what a stage makes of them."""

import functools
import json

import jax
import numpy as np
import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.initial import initial_weights
from uvim_fsq.runs.initial_plan import flatten
from uvim_fsq.runs.open import expected_variables
from uvim_fsq.settings import replace
from uvim_fsq.share.bundle import write_model


@pytest.fixture
def config():
    return get_config("vq", "tiny")


@functools.cache
def _variables(config, number, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(x.dtype),
        expected_variables(config, f"stage{number}"),
    )


@pytest.fixture
def variables():
    """`variables(config, number, seed)` of a stage, as no other seed gives; compiles nothing."""
    return _variables


@pytest.fixture
def give(tmp_path):
    """`give(config, *stages)` writes a bundle, `tmp_path / "given"`; both stages by default."""

    def write(config, *numbers):
        stages = {f"stage{n}": _variables(config, n, n) for n in numbers or (1, 2)}
        details = {"steps": {"stage1": 7, "stage2": 8}}
        write_model(tmp_path / "given", config, stages, details)
        return tmp_path / "given"

    return write


@pytest.fixture
def start(tmp_path):
    """`start(there, here, number)`: a stage that starts from `give(there)`.

    Returns the given, fresh and first arrays by path, and the record.
    """

    def begin(there, here, number):
        here = replace(here, init_from=str(tmp_path / "given"))
        run = RunDirectory(tmp_path / "run")
        directory = run.stage1 if number == 1 else run.stage2(0)
        initial = initial_weights(here, run, (number,), 0)[number]
        assert not run.path.exists()
        directory.path.mkdir(parents=True)
        fresh = _variables(here, number, 10)
        result = flatten(initial(fresh, directory))
        record = json.loads((directory.path / "initial.json").read_text())
        given = flatten(_variables(there, number, number))
        return given, flatten(fresh), result, record

    return begin
