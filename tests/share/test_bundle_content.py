"""What a bundle says, and what is said of one that cannot be used; none is trained here."""

import json
import math
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

import uvim_fsq
from uvim_fsq.configs import depth
from uvim_fsq.errors import WeightsError
from uvim_fsq.runs.held import hold
from uvim_fsq.runs.open import expected_variables, open_trained
from uvim_fsq.settings import (
    ConfigError,
    FolderConfig,
    RunConfig,
    TfdsConfig,
    VQConfig,
    as_json,
    replace,
)
from uvim_fsq.share.bundle import save_bundle, shareable, write_model
from uvim_fsq.weights import bundle

CONFIG = depth.get_config("fsq", "tiny")


def variables(config):
    """Of both stages, all 0."""
    return {
        name: jax.tree.map(
            lambda x: np.zeros(x.shape, x.dtype), expected_variables(config, name)
        )
        for name in ("stage1", "stage2")
    }


@pytest.fixture(scope="module")
def depth_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "depth"
    details = {"steps": {"stage1": 3, "stage2": 4}}
    write_model(folder, CONFIG, variables(CONFIG), details)
    return folder


def card(folder):
    return (folder / "README.md").read_text(encoding="utf-8")


def test_nothing_is_overwritten(depth_bundle, tmp_path):
    with pytest.raises(WeightsError, match="is there already"):
        save_bundle("no/model/at/all", depth_bundle)
    model = uvim_fsq.load(depth_bundle)
    with pytest.raises(WeightsError, match="is there already"):
        model.save(depth_bundle)


PRIVATE = "/home/jane/secret"


@pytest.mark.parametrize(
    "data, kept",
    [
        (FolderConfig(f"{PRIVATE}/frames/", "../secret/test"), ("frames", "test")),
        (FolderConfig(".", "C:\\secret\\test"), ("", "test")),
        (
            TfdsConfig("coco", f"{PRIVATE}/tfds", categories=f"{PRIVATE}/a.json"),
            ("tfds", "a.json"),
        ),
    ],
)
def test_settings_lose_places(data, kept):
    config = replace(
        RunConfig(data=data),
        output__directory=f"{PRIVATE}/run",
        evaluation__list="secret/list.txt",
        evaluation__inception=f"{PRIVATE}/inception",
        evaluation__reference_folder="secret/reference",
        evaluation__reference_list="secret/reference.txt",
        init_from="secret/run",
        stage2__pretrained_encoder=f"{PRIVATE}/vit.npz",
        loader_threads=11,
    )
    clean = shareable(config)
    text = as_json.dumps(clean)
    assert "secret" not in text and clean.loader_threads == 0
    assert (clean.evaluation.list, clean.evaluation.inception) == ("list.txt", "")
    assert (clean.init_from, clean.stage2.pretrained_encoder) == ("run", "vit.npz")
    if isinstance(data, TfdsConfig):
        assert isinstance(clean.data, TfdsConfig)
        assert (clean.data.data_dir, clean.data.categories) == kept
    else:
        assert isinstance(clean.data, FolderConfig)
        assert (clean.data.path, clean.data.evaluation_path) == kept
    assert shareable(clean) == clean


@pytest.mark.parametrize("address", ["hf://owner/name", "gs://vit_models/a/b.npz"])
def test_public_addresses_stay(address):
    config = replace(RunConfig(), init_from=address, stage2__pretrained_encoder=address)
    assert shareable(config) == config


def test_no_file_names_a_place(depth_bundle, tmp_path):
    held = hold(open_trained(depth_bundle))
    details = dict(held.details())
    details["source"] = f"From {PRIVATE}/stage1.npz and gs://public/stage2.npz."
    evaluation = {"list": f"{PRIVATE}/list.txt", "inception": f"{PRIVATE}/inception"}
    environment = {"jax": "0.1", "devices": ["secret"]}
    details["scores"] = {"environment": environment, "evaluation": evaluation}
    details["stage1_data"] = {"kind": "folder", "path": f"{PRIVATE}/frames"}
    config = replace(held.config, output__directory=PRIVATE)
    stages = {name: stage.variables for name, stage in held.held.items()}
    write_model(tmp_path / "model", config, stages, details)
    for file in (tmp_path / "model").iterdir():
        assert b"secret" not in file.read_bytes(), file.name
    found = open_trained(tmp_path / "model").details()
    assert found["source"] == "From stage1.npz and gs://public/stage2.npz."
    assert found["scores"]["evaluation"] == {"list": "list.txt", "inception": ""}
    assert "called `frames`" in card(tmp_path / "model")


def test_weights_that_do_not_fit_are_not_written(depth_bundle, tmp_path):
    held = hold(open_trained(depth_bundle))
    stages = {name: stage.variables for name, stage in held.held.items()}
    config = replace(held.config, quantizer__levels=(5, 4))
    with pytest.raises(WeightsError, match=r"stage2.*token_embedding"):
        write_model(tmp_path / "model", config, stages, {})
    assert not (tmp_path / "model").exists()


def changed(folder, tmp_path, **changes):
    """A copy of a bundle with other settings than its weights."""
    shutil.copytree(folder, tmp_path / "changed")
    config = replace(open_trained(folder).config, **changes)
    as_json.save(config, tmp_path / "changed" / "config.json")
    return open_trained(tmp_path / "changed")


def test_settings_of_another_model(depth_bundle, tmp_path):
    trained = changed(depth_bundle, tmp_path, stage1__model__width=48)
    with pytest.raises(WeightsError, match=r"stage1: .*48.*take both files from one"):
        trained.stage1()


def test_another_vocabulary(depth_bundle, tmp_path):
    trained = changed(depth_bundle, tmp_path, quantizer__levels=(5, 4))
    trained.stage1()
    with pytest.raises(WeightsError, match=r"token_embedding.*21, 32.*found \(26, 32"):
        trained.stage2()


def test_another_quantizer(depth_bundle, tmp_path):
    trained = changed(depth_bundle, tmp_path, quantizer=VQConfig(16, 2))
    with pytest.raises(WeightsError, match=r"codebook/quantizer/\w+: .*found none"):
        trained.stage1()


def test_incomplete_and_newer_bundles(depth_bundle, tmp_path):
    copies = {}
    for name in ("no_config", "no_weights", "newer", "odd"):
        copies[name] = tmp_path / name
        shutil.copytree(depth_bundle, copies[name])
    (copies["no_config"] / "config.json").unlink()
    with pytest.raises(WeightsError, match="holds model.safetensors and no config"):
        uvim_fsq.load(copies["no_config"])
    (copies["no_weights"] / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="a bundle without its model.safetensors"):
        uvim_fsq.load(copies["no_weights"])
    settings = json.loads((copies["newer"] / "config.json").read_text())
    newer = {**settings, "format": as_json.FORMAT + 1}
    (copies["newer"] / "config.json").write_text(json.dumps(newer))
    with pytest.raises(ConfigError, match=r"format \d, from a newer version of uvim"):
        uvim_fsq.load(copies["newer"])
    (copies["odd"] / "config.json").write_text(json.dumps({**settings, "widht": 2}))
    with pytest.raises(ConfigError, match="'widht' is not a setting"):
        uvim_fsq.load(copies["odd"])


def test_paths_that_are_no_model(depth_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "depth-fsq").mkdir(parents=True)
    (tmp_path / "published.npz").touch()
    for path, hint in (
        ("runs/depth-fqs", r"did you mean runs/depth-fsq\?\).*hf://runs/depth-fqs"),
        ("./runs/depth-fqs", r"nothing there \(did you mean runs/depth-fsq\?"),
        ("runs/depth-fsq", "a folder without config.json or model.safetensors"),
        (depth_bundle / "model.safetensors", f"name its folder, {depth_bundle}"),
        ("published.npz", "a .npz file: make a bundle of it first"),
    ):
        with pytest.raises(ConfigError, match=hint):
            open_trained(path)


def test_names(depth_bundle, tmp_path):
    """A model of the Hub is called what its repository is, not what its revision is."""
    cached = tmp_path / "models--owner--indoor" / "snapshots" / "0123"
    shutil.copytree(depth_bundle, cached)
    assert open_trained(cached).name == "indoor"
    assert open_trained(depth_bundle).name == "depth"


def test_a_folder_that_cannot_be_written_to(depth_bundle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        save_bundle(depth_bundle, tmp_path / "file" / "model")


def test_scores_of_an_older_bundle_may_be_numbers_that_json_lacks(tmp_path):
    """Such a bundle could not be saved anew."""
    scores = {"greedy/rmse": 1.0, "greedy/psnr": math.inf}
    about = {"version": 1, "details": {"scores": {"scores": scores}}}
    arrays = {"stage1/params/a": np.zeros(1, np.float32)}
    save_file(arrays, tmp_path / bundle.WEIGHTS, {"uvim_fsq_bundle": json.dumps(about)})
    as_json.save(CONFIG, tmp_path / bundle.SETTINGS)
    details = open_trained(tmp_path).details()
    assert details == {"scores": {"scores": {"greedy/rmse": 1.0}}}
