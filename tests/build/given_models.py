"""Given models whose weights are random numbers, and what a stage makes of them."""

import functools
import json
from pathlib import Path

import jax
import numpy as np

from uvim_fsq.build.bundles import write_model
from uvim_fsq.build.initial import initial_weights
from uvim_fsq.build.initial_plan import flatten
from uvim_fsq.build.run_directory import RunDirectory
from uvim_fsq.build.trained import expected_variables
from uvim_fsq.config import RunConfig, replace


@functools.cache
def variables(config: RunConfig, number: int, seed: int):
    """Variables of a stage that no other seed gives, and that nothing needs compiling for."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: rng.normal(size=x.shape).astype(x.dtype),
        expected_variables(config, f"stage{number}"),
    )


def give(folder: Path, config: RunConfig, *numbers: int) -> Path:
    """A bundle in `folder / "given"` with these stages, by default both."""
    stages = {f"stage{n}": variables(config, n, n) for n in numbers or (1, 2)}
    details = {"steps": {"stage1": 7, "stage2": 8}}
    write_model(folder / "given", config, stages, details)
    return folder / "given"


def start(folder: Path, there: RunConfig, here: RunConfig, number: int):
    """The given, fresh and first arrays of a stage, by path, and what is recorded of them."""
    here = replace(here, init_from=str(folder / "given"))
    run = RunDirectory(folder / "run")
    directory = run.stage1 if number == 1 else run.stage2(0)
    initial = initial_weights(here, run, (number,), 0)[number]
    assert not run.path.exists()
    directory.path.mkdir(parents=True)
    fresh = variables(here, number, 10)
    result = flatten(initial(fresh, directory))
    record = json.loads((directory.path / "initial.json").read_text())
    return flatten(variables(there, number, number)), flatten(fresh), result, record
