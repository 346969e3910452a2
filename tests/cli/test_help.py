"""`--help` of every command."""

import argparse
import re
import runpy
import sys
from pathlib import Path

import pytest

from uvim_fsq.cli.main import command_parser, main
from uvim_fsq.configs import depth, variants
from uvim_fsq.configs.base import ABOUT
from uvim_fsq.data.registry import SOURCES
from uvim_fsq.experiment.study import study_names
from uvim_fsq.settings.find import built_in_names

WITH_CONFIG = ("train", "config", "describe", "experiment")


def _commands(parser: argparse.ArgumentParser) -> list[str]:
    (action,) = (
        a for a in parser._actions if isinstance(a, argparse._SubParsersAction)
    )
    return list(action.choices)


COMMANDS = _commands(command_parser())


def _help(capsys, program, *words) -> str:
    with pytest.raises(SystemExit) as leaving:
        program([*words, "--help"])
    said = capsys.readouterr()
    assert (leaving.value.code or 0, said.err) == (0, "")
    return said.out


def test_all_commands_are_named(capsys):
    text = _help(capsys, main)
    assert {*WITH_CONFIG, "predict", "score-panoptic"} <= set(COMMANDS)
    assert all(f"\n    {command}" in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_of_a_command(capsys, command):
    assert f"usage: uvim-fsq {command}" in _help(capsys, main, command)


@pytest.mark.parametrize("command", WITH_CONFIG)
def test_what_a_configuration_is_named(capsys, command):
    text = _help(capsys, main, command)
    names = [*built_in_names(), *depth.PRESETS, *SOURCES]
    if command == "experiment":
        names += study_names()
    else:
        names += variants.VARIANTS
    for name in names:  # Each on a line of its own, with a phrase.
        assert re.search(rf"^  {name}  +\S+ \S+", text, re.MULTILINE), name


def test_every_preset_and_variant_has_its_phrase():
    assert list(ABOUT) == list(depth.PRESETS)
    assert list(variants.ABOUT) == list(variants.VARIANTS)


def test_a_file_of_ones_own_has_its_own_presets(capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from uvim_fsq.configs.depth import get_config\n"
        "PRESETS, VARIANTS = {'short': 1, 'tiny': 2}, {'fsq': 1}\n"
    )
    text = _help(capsys, main, "train", str(file))
    assert "\n  short\n  tiny\n" in text and "vq_no_split " not in text


SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize(
    "words",
    [
        *([path.name] for path in SCRIPTS if "__main__" in path.read_text()),
        *(
            ["prepare_data.py", name]
            for name in ("scenes", "tfds", "imagenet2012-lists", "pack")
        ),
    ],
    ids=" ".join,
)
def test_of_a_script(capsys, monkeypatch, words):
    def program(words):
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.syspath_prepend(SCRIPTS[0].parent)
        runpy.run_path(str(SCRIPTS[0].parent / words[0]), run_name="__main__")

    assert f"usage: {' '.join(words)}" in _help(capsys, program, *words)
