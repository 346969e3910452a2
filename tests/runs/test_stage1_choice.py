"""Whose stage I counts, in each combination, and that it never changes without a word."""

import json
import shutil

import pytest

from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.open import open_trained
from uvim_fsq.runs.stage1_choice import choose_stage1
from uvim_fsq.runs.train import train
from uvim_fsq.settings import ConfigError, replace


@pytest.fixture(scope="module")
def other(tiny_config, tmp_path_factory):
    """A run with another stage I."""
    run = tmp_path_factory.mktemp("runs") / "other"
    train(replace(tiny_config, seed=5), run, (1,))
    return run


@pytest.fixture
def run(tiny_run, tmp_path):
    """A run with both stages."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def state(run):
    """Everything below a folder that a refusal must leave as it is."""
    return {
        path: path.stat().st_mtime_ns
        for path in run.path.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_another_stage1_is_refused_where_stage2_has_its_own(run, other, tiny_config):
    before = state(run)
    with pytest.raises(
        ConfigError, match=r"\(seed 0\) trained on the stage I of its own"
    ):
        train(tiny_config, run.path, (2,), stage1_run=other)
    # A stage II of another seed is lost too.
    with pytest.raises(ConfigError, match=r"remove .*run/stage2 first"):
        train(tiny_config, run.path, (2,), stage1_run=other, stage2_seed=4)
    assert state(run) == before


@pytest.mark.parametrize("stages", [(1,), (1, 2)])
def test_a_stage1_of_its_own_is_refused_where_stage2_has_anothers(
    run, tiny_run, tiny_config, stages
):
    shutil.rmtree(run.stage1.path)
    run.link_stage1(tiny_run)
    before = state(run)
    with pytest.raises(ConfigError, match=f"the stage I of {tiny_run.resolve()}"):
        train(tiny_config, run.path, stages)
    assert state(run) == before


@pytest.mark.parametrize("stages", [(1,), (1, 2)])
def test_a_stage1_of_its_own_counts_once_it_is_trained(
    run, other, tiny_config, stages, capsys
):
    run.link_stage1(other)
    shutil.rmtree(run.path / "stage2")
    train(tiny_config, run.path, (1,))  # It is done already, and counts.
    choice = choose_stage1(run, stages, None)
    choice.check(None)
    choice.keep()
    assert run.stage1_link() is None
    said = capsys.readouterr().out
    assert said.count("is its own, no longer that of") == 1
    assert open_trained(run.path).stage1().record != open_trained(other).stage1().record


def test_another_stage1_is_said_every_time(run, other, capsys):
    shutil.rmtree(run.path / "stage2")
    for given, more in ((other, ", no longer its own"), (other, ""), (None, "")):
        choice = choose_stage1(run, (2,), given)
        assert choice.given is not None
        record = open_trained(run.path).stage1().record if given is None else None
        assert record is None or choice.given.stage1().record == record
        choice.check({})
        choice.keep()
        line = f"stage I of {run.path} is that of {other.resolve()}{more}\n"
        assert capsys.readouterr().out == line
    assert json.loads((run.path / "stage1.json").read_text())["run"] == str(other)


def test_naming_the_run_itself_means_its_own(run, other):
    run.link_stage1(other)
    own = open_trained(run.path).stage1().record
    choice = choose_stage1(run, (2,), run.path)
    assert choice.given is not None and choice.link is None
    record = choice.given.stage1().record
    assert record != own
    choice.check(record)  # The stage II there was trained on it.
    choice.keep()
    assert open_trained(run.path).stage1().record == record


def test_the_same_stage1_at_another_place_is_no_other(run, tiny_run):
    choice = choose_stage1(run, (2,), tiny_run)
    assert choice.given is not None
    choice.check(choice.given.stage1().record)
