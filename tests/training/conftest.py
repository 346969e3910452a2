"""The toy run, as a module and as a program."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

_TOY = Path(__file__).parent / "toy_run.py"


@pytest.fixture(scope="session")
def toy():
    """The module `toy_run`."""
    spec = importlib.util.spec_from_file_location("toy_run", _TOY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start_program():
    """`start_program(*arguments)`: a Python process, its output as text lines."""

    def start(*arguments, **changes):
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
        }
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment | changes,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="session")
def start_toy(start_program):
    """`start_toy(directory, "--steps", 8)`: the toy run in its own process."""
    return lambda *arguments: start_program(_TOY, *arguments)
