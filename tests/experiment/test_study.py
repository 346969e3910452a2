"""Studies: the rows that come along, and files of one's own."""

import math

import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.experiment.study import load_study, study_names, study_rows
from uvim_fsq.settings import ConfigError, FSQConfig, RunConfig, VQConfig
from uvim_fsq.settings.check import check


def tiny(variant: str) -> RunConfig:
    return get_config(variant, "tiny")


def rows(name: str) -> dict[str, RunConfig]:
    return study_rows(load_study(name), tiny)


@pytest.mark.parametrize("name", study_names())
def test_rows_can_be_trained_and_differ(name):
    found = rows(name)
    for config in found.values():
        check(config)
    assert len(set(map(repr, found.values()))) == len(found)


def test_the_papers_table():
    found = rows("variants")
    assert list(found) == [
        "fsq",
        "vq",
        "vq_no_split",
        "fsq_no_context",
        "vq_no_context",
    ]


def test_codebook_sizes_are_what_their_names_say():
    for name, config in rows("codebook_size").items():
        wanted = 2 ** int(name.rpartition("^")[2])
        quantizer = config.quantizer
        if isinstance(quantizer, VQConfig):
            assert quantizer.codebook_size == wanted
            assert quantizer.splitting == ("no_split" not in name)
        else:
            assert isinstance(quantizer, FSQConfig)
            assert abs(math.log2(math.prod(quantizer.levels) / wanted)) < 0.1


def test_levels_make_codebooks_of_about_one_size():
    for config in rows("levels").values():
        assert isinstance(config.quantizer, FSQConfig)
        assert 240 <= math.prod(config.quantizer.levels) <= 256


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        'TITLE = "mine"\ndef get_rows(get_config):\n    return {"a": get_config("vq")}\n'
    )
    assert study_rows(load_study(str(path)), tiny) == {"a": tiny("vq")}


def test_what_is_no_study_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no study 'variant'.*did you mean variants"):
        load_study("variant")
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    with pytest.raises(ConfigError, match="lacks TITLE or a function get_rows"):
        load_study(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "must return rows by name"),
        ("{'a': 1}", "must be a RunConfig, found int"),
        ("{'a/b': get_config('fsq')}", "'a/b'.*leave out slashes"),
        ("{'..': get_config('fsq')}", "leave out slashes"),
    ],
)
def test_bad_rows_are_refused(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(f"TITLE = ''\ndef get_rows(get_config):\n    return {text}\n")
    with pytest.raises(ConfigError, match=message):
        study_rows(load_study(str(path)), tiny)
