"""Settings and fixtures that every test shares."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

_ROOT = Path(__file__).resolve().parent.parent
_CACHE = Path(os.environ.get("UVIM_FSQ_TEST_CACHE", _ROOT / ".cache" / "tests"))

# Rendered scenes, scans and compiled programs of the tests stay out of the user's cache.
os.environ["UVIM_FSQ_CACHE"] = str(_CACHE)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(_CACHE / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def pytest_addoption(parser):
    parser.addoption("--run-slow", action="store_true", help="run slow tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--run-slow"):
        return
    skip = pytest.mark.skip(reason="slow: pass --run-slow to run it")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


def _golden_file(name: str) -> Path:
    roots = [Path(__file__).parent / "golden"]
    if os.environ.get("UVIM_FSQ_GOLDEN"):
        roots.append(Path(os.environ["UVIM_FSQ_GOLDEN"]))
    for root in roots:
        if (root / name).exists():
            return root / name
    pytest.skip(
        f"reference file {name} is neither in tests/golden nor below UVIM_FSQ_GOLDEN"
    )


@pytest.fixture(scope="session")
def golden_path():
    """`golden_path("stage1/panoptic.npz")`: the path of a reference file, or a skip."""
    return _golden_file


@pytest.fixture(scope="session")
def golden():
    """`golden("fsq/fsq.npz")`: the arrays of a reference file as a dict, or a skip."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(_golden_file(name), allow_pickle=False) as arrays:
            return dict(arrays)

    return load


@pytest.fixture(scope="session")
def real_data():
    """`real_data("nyu_labeled/train")`: a folder of real pictures, or a skip."""

    def folder(name: str) -> Path:
        root = os.environ.get("UVIM_FSQ_REAL_DATA")
        if not root:
            pytest.skip("UVIM_FSQ_REAL_DATA is unset: no real pictures to test with")
        path = Path(root) / name
        if not path.exists():
            pytest.skip(f"{path} does not exist")
        return path

    return folder


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)


@pytest.fixture(scope="session")
def equations():
    """`equations(function, *arguments)`: all of its traced program, those of loops and calls too."""

    def trace(function, *arguments):
        return list(_equations(jax.make_jaxpr(function)(*arguments).jaxpr))

    return trace


@pytest.fixture(scope="session")
def largest_array(equations):
    """`largest_array(function, *arguments)`: bytes of the largest that the program makes."""

    def trace(function, *arguments):
        made = [v.aval for e in equations(function, *arguments) for v in e.outvars]
        return max(a.size * a.dtype.itemsize for a in made)

    return trace


@pytest.fixture(scope="session")
def scan_lengths(equations):
    """`scan_lengths(function, *arguments)`: how often each scan of the program goes round."""

    def trace(function, *arguments):
        program = equations(function, *arguments)
        return [e.params["length"] for e in program if e.primitive.name == "scan"]

    return trace


# Runs that were really trained, once a worker: tiny, both stages, FSQ, on built-in scenes. The suite
# is imported inside, since its annotations are checked only where it is imported after this file.


@pytest.fixture(scope="session")
def tiny_config():
    from uvim_fsq.configs import depth
    from uvim_fsq.settings import replace

    return replace(
        depth.get_config("fsq", "tiny"), output__log_every=1, evaluation__samples=2
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config) -> Path:
    from uvim_fsq.runs.train import train

    run = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_config, run)
    return run


@pytest.fixture(scope="session")
def panoptic_run(tmp_path_factory) -> Path:
    from uvim_fsq.configs import panoptic

    return _train(panoptic, tmp_path_factory.mktemp("runs") / "panoptic")


@pytest.fixture(scope="session")
def color_run(tmp_path_factory) -> Path:
    from uvim_fsq.configs import colorization

    return _train(colorization, tmp_path_factory.mktemp("runs") / "colorization")


def _train(module, folder):
    from uvim_fsq.runs.train import train
    from uvim_fsq.settings import replace
    from uvim_fsq.settings.check import check

    config = replace(module.get_config("fsq", "tiny"), evaluation__samples=2)
    check(config)
    train(config, folder)
    return folder
