"""Settings as JSON: round trips, strictness, fingerprints, files."""

import json
import os
import stat
import subprocess
import sys

import pytest

from uvim_fsq.configs.depth import PRESETS, VARIANTS, get_config
from uvim_fsq.settings import (
    ConfigError,
    FolderConfig,
    IdentityConfig,
    TfdsConfig,
    replace,
)
from uvim_fsq.settings.as_json import (
    FORMAT,
    fingerprint,
    from_dict,
    load,
    save,
    to_dict,
)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_through_json(variant, preset):
    config = get_config(variant, preset)
    again = from_dict(json.loads(json.dumps(to_dict(config))))
    assert again == config
    assert type(again.quantizer) is type(config.quantizer)


def test_kinds_come_back():
    config = replace(get_config(), quantizer=IdentityConfig(3), data=FolderConfig("x"))
    assert from_dict(to_dict(config)) == config


def test_settings_that_are_missing_take_their_default():
    data = to_dict(get_config())
    del data["loader_threads"], data["stage1"]["optimizer"]["clip_norm"]
    assert from_dict(data) == get_config()


def _changed(*path, value):
    data = to_dict(get_config())
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("stage1", "model", "widht"), 3, r"'stage1.model.widht' is not a .* width"),
        (
            ("stage1", "model", "width"),
            1.5,
            "stage1.model.width must be a whole number",
        ),
        (("stage1", "model", "width"), True, "must be a whole number, found True"),
        (("stage1", "model", "width"), "96", "must be a whole number, found '96'"),
        (("stage1", "model", "dtype"), "half", "must be one of 'float32', 'bfloat16'"),
        (("stage1", "steps"), "many", "stage1.steps must be a whole number"),
        (("stage1", "optimizer", "learning_rate"), float("nan"), "finite number"),
        (("task", "image_size"), [32], "task.image_size must be a list of 2 values"),
        (("task", "flip"), 1, "task.flip must be true or false"),
        (("quantizer", "levels"), [8, 5.5], r"quantizer.levels\[1\] must be a whole"),
        (("quantizer", "levels"), 8, "quantizer.levels must be a list"),
        (("quantizer", "kind"), "vqq", "quantizer.kind must be one of 'fsq', 'vq'"),
        (("task", "kind"), "panoptik", "task.kind must be one of 'depth'"),
        (("stage2",), None, "stage2 must be an object with settings"),
        (("stage2", "optimizer", "multipliers"), [["a"]], r"multipliers\[0\] must be"),
    ],
)
def test_wrong_values_are_named(path, value, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(_changed(*path, value=value))


def test_settings_of_another_kind_are_refused():
    data = to_dict(get_config("vq"))
    data["quantizer"]["levels"] = [8, 5]
    with pytest.raises(ConfigError, match="'quantizer.levels' is not a setting"):
        from_dict(data)


def test_fingerprint_follows_the_settings():
    config = get_config()
    assert fingerprint(config) == fingerprint(get_config())
    assert fingerprint(config.task, 3) != fingerprint(config.task, 4)
    assert fingerprint(config) != fingerprint(replace(config, stage1__steps=1))
    assert fingerprint(config) != fingerprint(get_config("vq"))


def test_fingerprint_takes_a_whole_number_for_a_float():
    whole = replace(get_config(), stage1__optimizer=replace(
        get_config().stage1.optimizer, clip_norm=2.0
    ))  # fmt: skip
    data = to_dict(whole)
    data["stage1"]["optimizer"]["clip_norm"] = 2
    assert fingerprint(from_dict(data)) == fingerprint(whole)


def test_fingerprint_is_the_same_in_another_process():
    code = (
        "from uvim_fsq.configs.depth import get_config; from uvim_fsq.settings.as_json import fingerprint;"
        "print(fingerprint(get_config()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.stdout.strip() == fingerprint(get_config())


def test_file_round_trip(tmp_path):
    path = tmp_path / "config.json"
    save(get_config("vq"), path)
    assert load(path) == get_config("vq")
    assert json.loads(path.read_text())["format"] == FORMAT
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failing_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    save(get_config(), path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(get_config("vq"), path)
    assert load(path) == get_config()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[]", 'no whole number named "format"'),
        ("{}", 'no whole number named "format"'),
        (json.dumps({"format": FORMAT + 1}), "newer version"),
        (json.dumps({"format": FORMAT, "sead": 1}), "'sead' is not a setting.* seed"),
        ("\udcff", "is not a JSON file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ConfigError, match="there are no settings at"):
        load(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("kind", [FolderConfig, TfdsConfig])
def test_files_of_format_1_mean_what_they_meant(tmp_path, kind):
    """Units were of whole numbers alone, and frames were held out one by one."""
    data = to_dict(replace(get_config(), data=kind()))
    data["data"].pop("split_by", None)
    data["data"]["units_per_metre"] = 1000.0
    for version, units in ((1, None), (2, 1000.0)):
        text = json.dumps({"format": version, **data})
        (tmp_path / "config.json").write_text(text)
        config = load(tmp_path / "config.json")
        assert config.data.units_per_metre == units
        if kind is FolderConfig:
            assert config.data.split_by == ("file" if version == 1 else "folder")
