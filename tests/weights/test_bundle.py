"""The files of a bundle: what is written is read, and what cannot be read is told."""

import json
import os
import pickle
import stat
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights import bundle

DETAILS = {"steps": {"stage1": 3, "stage2": 4}, "source": "Größe"}


def variables(seed):
    generator = np.random.default_rng(seed)
    return {
        "params": {
            "head": {"kernel": generator.normal(size=(4, 3)).astype(np.float32)},
            "bias": generator.normal(size=3).astype(np.float32),
        }
    }


STAGES = {
    "stage1": {
        **variables(0),
        "codebook": {"quantizer": {"counts": np.ones(5, np.float32)}},
    },
    "stage2": variables(1),
}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / "model"
    bundle.write(path, bundle.Bundle(STAGES, DETAILS), "{}\n", "# Größe\n")
    return path


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def test_what_was_written_is_read(folder):
    assert bundle.is_bundle(folder) and not bundle.is_bundle(folder.parent)
    header = bundle.read_header(folder)
    assert header.stages == ("stage1", "stage2") and header.details == DETAILS
    for name, stage in STAGES.items():
        found = bundle.read_stage(folder, name, shapes(stage))
        jax.tree.map(np.testing.assert_array_equal, found, stage)
    assert (folder / "config.json").read_text() == "{}\n"
    assert (folder / "README.md").read_text(encoding="utf-8") == "# Größe\n"


def test_the_same_model_is_the_same_file(folder, tmp_path):
    details = dict(reversed(DETAILS.items()))
    bundle.write(tmp_path / "again", bundle.Bundle(STAGES, details), "{}\n", "")
    again = (tmp_path / "again" / bundle.WEIGHTS).read_bytes()
    assert again == (folder / bundle.WEIGHTS).read_bytes()


def test_others_may_read_it(tmp_path):
    before = os.umask(0o077)
    try:
        bundle.write(tmp_path / "model", bundle.Bundle(STAGES, {}), "{}", "")
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "model", *(tmp_path / "model").iterdir()]
    }
    assert modes.pop("model") == 0o755
    assert len(modes) == 3 and set(modes.values()) == {0o644}


def test_only_the_arrays_asked_for_are_read(folder, monkeypatch):
    """A large model is not read to learn its details, nor stage II to use stage I."""
    read = []
    safe_open = safetensors.safe_open

    @contextmanager
    def watched(*arguments, **options):
        with safe_open(*arguments, **options) as file:

            def get_tensor(name):
                read.append(name)
                return file.get_tensor(name)

            yield SimpleNamespace(
                metadata=file.metadata,
                keys=file.keys,
                get_slice=file.get_slice,
                get_tensor=get_tensor,
            )

    monkeypatch.setattr(safetensors, "safe_open", watched)
    bundle.read_header(folder)
    assert read == []
    bundle.read_stage(folder, "stage2", shapes(STAGES["stage2"]))
    assert sorted(read) == ["stage2/params/bias", "stage2/params/head/kernel"]
    read.clear()
    with pytest.raises(WeightsError):
        bundle.read_stage(folder, "stage1", shapes(STAGES["stage2"]))
    assert read == [], "the fit is checked before anything is read"


def test_nothing_is_overwritten(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(WeightsError, match=r"model is there already: name another"):
        bundle.write(folder, bundle.Bundle({}, {}), "", "")
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        bundle.write(tmp_path / "model", bundle.Bundle(STAGES, {"a": {1}}), "", "")
    with pytest.raises(TypeError):
        bundle.write(tmp_path / "model", bundle.Bundle(STAGES, {}), None, "")  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def rewrite(folder, **metadata):
    arrays = load_file(folder / bundle.WEIGHTS)
    save_file(arrays, folder / bundle.WEIGHTS, metadata or None)


def test_versions(folder):
    rewrite(folder, uvim_fsq_bundle='{"version": 2, "details": []}')
    with pytest.raises(WeightsError, match=r"has version 2, from a newer uvim-fsq"):
        bundle.read_header(folder)
    with pytest.raises(WeightsError, match=r"has version 2, from a newer uvim-fsq"):
        bundle.read_stage(folder, "stage1", shapes(STAGES["stage1"]))
    rewrite(folder, uvim_fsq_bundle='{"version": 1}')
    assert bundle.read_header(folder).details == {}


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}])
def test_weights_of_another_program(folder, metadata):
    rewrite(folder, **metadata)
    with pytest.raises(WeightsError, match="holds no model of uvim-fsq"):
        bundle.read_header(folder)


@pytest.mark.parametrize(
    "about",
    [
        "{",
        "[1]",
        "{}",
        '{"version": 0}',
        '{"version": "1"}',
        '{"version": true}',
        '{"version": 1, "details": [1]}',
    ],
)
def test_a_broken_header(folder, about):
    rewrite(folder, uvim_fsq_bundle=about)
    with pytest.raises(WeightsError, match="cannot be read"):
        bundle.read_header(folder)


@pytest.mark.parametrize("kept", [0, 5, 8, 100, -1])
def test_truncated(folder, kept):
    file = folder / bundle.WEIGHTS
    file.write_bytes(file.read_bytes()[:kept])
    for read in (
        lambda: bundle.read_header(folder),
        lambda: bundle.read_stage(folder, "stage1", shapes(STAGES["stage1"])),
    ):
        with pytest.raises(WeightsError, match=r"truncated.*download it again"):
            read()


def test_a_pointer_in_place_of_the_file(folder):
    (folder / bundle.WEIGHTS).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5043568\n"
    )
    with pytest.raises(WeightsError, match=r"pointer of Git LFS.*`git lfs pull`"):
        bundle.read_header(folder)


def test_a_missing_file(folder):
    (folder / bundle.WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"expected model.safetensors in it"):
        bundle.read_header(folder)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_pickles_are_not_opened(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / bundle.WEIGHTS).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="cannot be read"):
        bundle.read_header(folder)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(WeightsError, match="another format"):
        bundle.read_stage(folder, "stage1", {})


def test_arrays_that_do_not_fit_are_named(folder):
    expected = shapes(STAGES["stage2"])
    expected["params"]["bias"] = jax.ShapeDtypeStruct((7,), np.float32)
    expected["params"]["new"] = jax.ShapeDtypeStruct((2, 2), np.float32)
    expected["params"]["head"] = {"weight": jax.ShapeDtypeStruct((1,), np.float32)}
    with pytest.raises(WeightsError) as error:
        bundle.read_stage(folder, "stage2", expected)
    text = str(error.value)
    assert "does not fit its config.json (stage2: " in text
    assert "params/bias: expected (7,) float32, found (3,) float32" in text
    assert "params/new: expected (2, 2) float32, found none" in text
    assert "params/head/kernel: not expected" in text
    assert "take both files from one bundle" in text


def test_a_dtype_that_does_not_fit_is_named(folder):
    arrays = load_file(folder / bundle.WEIGHTS)
    name = "stage2/params/bias"
    arrays[name] = arrays[name].astype(np.float16)
    save_file(arrays, folder / bundle.WEIGHTS, {"uvim_fsq_bundle": '{"version": 1}'})
    with pytest.raises(WeightsError, match=r"bias: expected \(3,\) float32, found.*16"):
        bundle.read_stage(folder, "stage2", shapes(STAGES["stage2"]))


def test_many_faults_are_counted():
    expected = {f"a{i}": np.zeros(1, np.float32) for i in range(9)}
    with pytest.raises(WeightsError, match=r"a4: .*; and 4 more\)"):
        bundle.fitted(Path("x"), "stage1", {}, expected)


def test_the_header_is_plain(folder):
    """Other programs can read it: JSON of text values, arrays by plain names."""
    raw = (folder / bundle.WEIGHTS).read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    metadata = header.pop("__metadata__")
    about = json.loads(metadata.pop("uvim_fsq_bundle"))
    assert about == {"version": 1, "details": DETAILS} and not metadata
    assert sorted(header) == [
        "stage1/codebook/quantizer/counts",
        "stage1/params/bias",
        "stage1/params/head/kernel",
        "stage2/params/bias",
        "stage2/params/head/kernel",
    ]
