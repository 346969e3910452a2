"""Configuration files by path and by name."""

import json
import sys
from pathlib import Path

import pytest

from uvim_fsq import configs
from uvim_fsq.cli.main import main
from uvim_fsq.configs.depth import get_config
from uvim_fsq.settings import ConfigError, FolderConfig, as_json, replace
from uvim_fsq.settings.find import load_config
from uvim_fsq.weights import hub

DEPTH = str(Path(configs.__path__[0]) / "depth.py")


@pytest.mark.parametrize("name", ["depth", "configs/depth.py", DEPTH])
def test_the_same_configuration_by_name_and_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(name) == (get_config(), "depth-fsq-quickstart")
    config, run = load_config(name, "vq", "tiny")
    assert (config, run) == (get_config("vq", "tiny"), "depth-vq-tiny")


# The second is where the settings were in version 0.1.
@pytest.mark.parametrize("settings", ["uvim_fsq.settings", "uvim_fsq.config"])
def test_a_file_of_ones_own_with_its_own_defaults(tmp_path, settings):
    (tmp_path / "mine.py").write_text(
        "from uvim_fsq.configs import depth\n"
        f"from {settings} import replace\n"
        "def get_config(variant='vq', preset='tiny'):\n"
        "    return replace(depth.get_config(variant, preset), seed=7)\n"
    )
    config, name = load_config(str(tmp_path / "mine.py"))
    assert config.seed == 7 and config.quantizer.kind == "vq"
    assert name == "mine-vq-tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from configs import base", "Since version 0.2 it is uvim_fsq.configs."),
        ("x = 1", "lacks a function get_config"),
        ("def get_config(): ...", "lacks a function get_config"),
        (
            "def get_config(variant, preset='a'): ...",
            "no default variant: add --variant",
        ),
        ("def get_config(variant='a', preset='b'): return 3", "RunConfig, found int"),
    ],
)
def test_files_that_are_no_configuration(tmp_path, monkeypatch, text, message):
    monkeypatch.setitem(sys.modules, "configs", None)  # Nobody's is installed.
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("name", ["dept", "configs/dept.py", "elsewhere/depth.py"])
def test_names_that_are_nearly_there(name):
    with pytest.raises(ConfigError, match=f"no configuration {name}: did you mean dep"):
        load_config(name)


@pytest.mark.parametrize("name", ["-x", "", "zzz.py"])
def test_names_that_are_not_there(name):
    with pytest.raises(
        ConfigError, match=r"no configuration .*\(colorization, depth, panoptic\), a"
    ):
        load_config(name)


def test_misspelt_variant_and_preset():
    with pytest.raises(ConfigError, match="no variant 'vqq': did you mean vq?"):
        load_config("depth", "vqq")
    with pytest.raises(ConfigError, match="no preset 'papper': did you mean paper?"):
        load_config("depth", "fsq", "papper")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A trained model, as far as its settings go: the folder `depth`, and where it was written."""
    monkeypatch.chdir(tmp_path)
    config = replace(
        get_config("vq", "tiny"),
        data=FolderConfig(path="old", evaluation_path="old_test"),
        output__directory="runs/depth",
    )
    (tmp_path / "depth").mkdir()
    as_json.save(config, tmp_path / "depth" / "config.json")
    return config


@pytest.mark.parametrize("name", ["./depth", "{}/depth", "depth/config.json"])
def test_the_settings_of_a_trained_model(model, tmp_path, name):
    """All but the place of its run, which a new one must not be."""
    config, run = load_config(name.format(tmp_path))
    assert config == replace(model, output__directory="")
    assert run == "from-depth"


def test_a_configuration_that_comes_along_goes_before_a_folder(model, tmp_path):
    assert load_config("depth")[0] == get_config()
    (tmp_path / "depth").rename(tmp_path / "mine")
    assert load_config("mine") == (replace(model, output__directory=""), "from-mine")
    assert load_config("./depth")[0] == get_config()


def test_a_file_of_settings(model, tmp_path, capsys):
    """What `config` prints can be given back."""
    assert main(["config", "depth", "--preset", "tiny", "--seed", "9"]) == 0
    (tmp_path / "nine.json").write_text(capsys.readouterr().out)
    config, run = load_config("nine.json")
    assert config == replace(get_config("fsq", "tiny"), seed=9) and run == "nine"


def test_a_folder_that_is_no_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is no configuration empty"):
        load_config("empty")
    (tmp_path / "other.json").write_text('{"width": 3}')
    with pytest.raises(ConfigError, match=r"other\.json is not a file of settings"):
        load_config("other.json")


@pytest.mark.parametrize("option", ["--variant", "--preset"])
def test_a_model_has_no_variants(model, option, capsys):
    assert main(["config", "./depth", option, "tiny"]) == 2
    error = capsys.readouterr().err
    assert f"{option} belongs to configuration files, and ./depth has settings" in error


def settled(words, capsys):
    assert main(["config", "./depth", *words]) == 0
    return as_json.from_dict(
        {k: v for k, v in json.loads(capsys.readouterr().out).items() if k != "format"}
    )


def test_other_data_is_not_scored_where_the_old_data_was(model, capsys):
    data = settled([], capsys).data
    assert (data.path, data.evaluation_path) == ("old", "old_test")
    data = settled(["--source", "folder", "--data.path", "new"], capsys).data
    assert (data.path, data.evaluation_path) == ("new", "")
    words = ["--data.path", "new", "--data.evaluation-path", "test"]
    assert settled(words, capsys).data.evaluation_path == "test"
    assert settled(["--source", "scenes"], capsys).data.size == (16, 16)


def test_single_settings_of_a_model_change(model, capsys):
    words = ["--codebook-size", "9", "--stage1.steps", "3", "--init-from", "depth"]
    config = settled(words, capsys)
    assert (config.quantizer.codebook_size, config.stage1.steps) == (9, 3)
    assert config.init_from == "depth"


def test_what_a_model_started_from_is_not_asked_for_again(tmp_path):
    tuned = replace(get_config(preset="tiny"), init_from="gone")
    (tmp_path / "tuned").mkdir()
    as_json.save(tuned, tmp_path / "tuned" / "config.json")
    assert load_config(str(tmp_path / "tuned"))[0] == replace(tuned, init_from="")


def test_a_name_on_the_hub(monkeypatch, tmp_path, model):
    """Only where nothing here has that name."""
    monkeypatch.setattr(hub, "snapshot", lambda name: tmp_path / "depth")
    assert load_config("someone/nyu@v1")[1] == "from-nyu"
    with pytest.raises(ConfigError, match="no configuration depth/nyu"):
        load_config("depth/nyu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nx = = 2\n", "line 2: SyntaxError: invalid syntax"),
        ("import nothing_of_the_kind\n", "line 1: ModuleNotFoundError: No module"),
        (
            "def get_config(variant='a', preset='b'):\n    return {}[preset]\n",
            "line 2: KeyError: 'b'",
        ),
    ],
)
def test_a_file_that_fails_is_one_sentence(tmp_path, text, message):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(str(file))
    assert f"{file}, {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
