"""Configuration files by path and by name."""

from pathlib import Path

import pytest

import configs
from configs.depth import get_config
from uvim_fsq.cli.config_file import load_config
from uvim_fsq.config import ConfigError

DEPTH = str(Path(configs.__path__[0]) / "depth.py")


@pytest.mark.parametrize("name", ["depth", "configs/depth.py", DEPTH])
def test_the_same_configuration_by_name_and_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(name) == (get_config(), "depth-fsq-quickstart")
    config, run = load_config(name, "vq", "tiny")
    assert (config, run) == (get_config("vq", "tiny"), "depth-vq-tiny")


def test_a_file_of_ones_own_with_its_own_defaults(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from configs import depth\n"
        "from uvim_fsq.config import replace\n"
        "def get_config(variant='vq', preset='tiny'):\n"
        "    return replace(depth.get_config(variant, preset), seed=7)\n"
    )
    config, name = load_config(str(tmp_path / "mine.py"))
    assert config.seed == 7 and config.quantizer.kind == "vq"
    assert name == "mine-vq-tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "lacks a function get_config"),
        ("def get_config(): ...", "lacks a function get_config"),
        (
            "def get_config(variant, preset='a'): ...",
            "no default variant: add --variant",
        ),
        ("def get_config(variant='a', preset='b'): return 3", "RunConfig, found int"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(tmp_path / "mine.py"))


@pytest.mark.parametrize(
    "name", ["dept", "configs/dept.py", "elsewhere/depth.py", "-x"]
)
def test_names_that_are_not_there(name):
    with pytest.raises(
        ConfigError, match=r"no configuration .*\(colorization, depth, panoptic\)"
    ):
        load_config(name)


def test_misspelt_variant_and_preset():
    with pytest.raises(ConfigError, match="no variant 'vqq': did you mean vq?"):
        load_config("depth", "vqq")
    with pytest.raises(ConfigError, match="no preset 'papper': did you mean paper?"):
        load_config("depth", "fsq", "papper")
