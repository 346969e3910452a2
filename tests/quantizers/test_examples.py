"""The examples in the docstrings print what they say."""

import doctest
import importlib

import pytest

MODULES = ["fsq", "usage", "vq"]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(f"uvim_fsq.quantizers.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0
