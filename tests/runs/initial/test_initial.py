"""What a stage starts from: which arrays of a given model are taken, and what is said of it."""

import re

import numpy as np
import pytest

from uvim_fsq.configs import panoptic
from uvim_fsq.configs.depth import get_config
from uvim_fsq.errors import WeightsError
from uvim_fsq.runs.train import train
from uvim_fsq.settings import CategoryConfig, ConfigError, FSQConfig, replace


def fresh_and_loaded(given, fresh, result):
    """Parts of the model that stayed fresh, and that were taken, each as a whole."""
    parts = {}
    for path, array in result.items():
        part = parts.setdefault(
            "/".join(path.split("/")[:2]).split("params/")[-1], set()
        )
        part.add("fresh" if np.array_equal(array, fresh[path]) else "other")
        if path in given and np.array_equal(array, given[path]):
            part.discard("other")
            part.add("given")
    assert all(len(found) == 1 for found in parts.values()), parts
    return [
        {name for name, found in parts.items() if found == {kind}}
        for kind in ("fresh", "given")
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_the_same_settings_take_everything(config, give, start, number, capsys):
    """The codebook too: it is no parameter, and a decoder is nothing without it."""
    folder = give(config)
    given, fresh, result, record = start(config, config, number)
    assert set(result) == set(given) == set(fresh)
    for path, array in result.items():
        np.testing.assert_array_equal(array, given[path], err_msg=path)
    assert record["init_from"] == str(folder) and len(record["hash"]) == 16
    assert record["step"] == 6 + number
    assert record["new"] == record["unused"] == record["resampled"] == []
    assert "encoder (18 arrays)" in record["loaded"]
    printed = capsys.readouterr().out
    assert f"stage {'I' * number} starts from\n  {folder}, step {6 + number}" in printed
    assert "  loaded: " in printed and "new:" not in printed
    assert max(map(len, printed.splitlines())) <= max(100, len(str(folder)) + 12)


def test_positions_of_another_grid_are_resampled(config, give, start):
    """From 16 px to 24: corners on corners, the new middle between the old four."""
    give(config)
    here = replace(config, task__image_size=(24, 24))
    given, fresh, result, record = start(config, here, 1)
    for name in ("encoder_positions", "decoder_positions"):
        old = given[f"params/{name}/embedding"].reshape(2, 2, -1)
        new = np.asarray(result[f"params/{name}/embedding"]).reshape(3, 3, -1)
        np.testing.assert_allclose(new[::2, ::2], old, atol=1e-6)
        np.testing.assert_allclose(new[1, 1], old.mean((0, 1)), atol=1e-6)
        np.testing.assert_allclose(new[0, 1], old[0].mean(0), atol=1e-6)
    resampled = "encoder_positions (1 array: 2 x 2 to 3 x 3)"
    assert resampled in record["resampled"]
    positions = [name for name in result if "positions" in name]
    for path in result.keys() - positions:
        np.testing.assert_array_equal(result[path], given[path], err_msg=path)


def test_as_many_positions_of_another_grid_are_resampled_too(config, give, start):
    there = replace(config, task__image_size=(16, 24))
    give(there)
    here = replace(config, task__image_size=(24, 16))
    given, fresh, result, record = start(there, here, 2)
    old = given["params/encoder_positions/embedding"].reshape(2, 3, -1)
    new = np.asarray(result["params/encoder_positions/embedding"]).reshape(3, 2, -1)
    np.testing.assert_allclose(new[::2], old[:, ::2], atol=1e-6)
    assert record["resampled"] == ["encoder_positions (1 array: 2 x 3 to 3 x 2)"]


@pytest.mark.parametrize("resize", ["linear", "learned"])
def test_code_positions_have_a_grid_only_where_resizing_is_linear(
    config, give, start, resize
):
    there = replace(config, stage1__model__resize=resize)
    give(there)
    here = replace(there, stage1__model__code_length=9)
    given, fresh, result, record = start(there, here, 2)
    path = "params/decoder_positions/embedding"
    if resize == "learned":
        np.testing.assert_array_equal(result[path], fresh[path])
        assert record["new"] == [
            "decoder_positions (1 array: 4 x 32 there, 9 x 32 here)"
        ]
    else:
        np.testing.assert_allclose(result[path][4], given[path].mean(0), atol=1e-6)


def test_other_bins_make_heads_and_label_embeddings_afresh(config, give, start):
    """Their biases too, whose shape may agree: half a layer is none."""
    give(config)
    here = replace(config, task__bins=20)
    *trees, record = start(config, here, 1)
    fresh, given = fresh_and_loaded(*trees)
    assert fresh == {"embedding_depth", "head_depth"}
    assert {"encoder", "decoder", "codebook/quantizer", "to_code"} <= given
    assert record["new"] == [
        "embedding_depth (2 arrays: 16 x 64 x 32 there, 20 x 64 x 32 here)",
        "head_depth (2 arrays: 32 x 16 x 64 there, 32 x 20 x 64 here)",
    ]


def test_a_codebook_of_another_size_starts_afresh_as_a_whole(config, give, start):
    give(config)
    here = replace(config, quantizer__codebook_size=20)
    fresh, given = fresh_and_loaded(*start(config, here, 1)[:3])
    assert fresh == {"codebook/quantizer"} and {"to_code", "from_code"} <= given


@pytest.mark.parametrize("number", [1, 2])
def test_from_fsq_to_vq_the_bottleneck_and_its_tokens_start_afresh(give, start, number):
    """Even where all shapes agree."""
    there = get_config("fsq", "tiny")
    there = replace(there, quantizer=FSQConfig((2,) * 5))
    here = replace(get_config("vq", "tiny"), quantizer__codebook_size=32)
    here = replace(here, quantizer__code_dim=5)
    give(there)
    *trees, record = start(there, here, number)
    fresh, given = fresh_and_loaded(*trees)
    if number == 1:
        assert fresh == {"to_code", "from_code", "codebook/quantizer"}
        assert "to_code (2 arrays: fsq there, vq here)" in record["new"]
    else:
        assert fresh == {"token_embedding", "logits"}
        assert "logits (2 arrays: other codewords)" in record["new"]
    assert {"encoder", "encoder_positions"} <= given


def test_indices_of_other_levels_are_other_codewords(give, start):
    there = replace(get_config("fsq", "tiny"), quantizer__levels=(8, 5))
    give(there)
    here = replace(there, quantizer__levels=(5, 8))
    fresh, _ = fresh_and_loaded(*start(there, here, 2)[:3])
    assert fresh == {"token_embedding", "logits"}


def test_other_categories_make_the_classes_afresh(give, start):
    """As many, but they mean something else."""

    def named(*names):
        categories = [
            CategoryConfig(i, n, True, (0, 0, 0)) for i, n in enumerate(names, start=1)
        ]
        task = dict(task__categories=tuple(categories), task__classes=3)
        return replace(panoptic.get_config("fsq", "tiny"), **task)

    there = named("cup", "dog")
    give(there)
    *trees, record = start(there, named("cup", "cat"), 1)
    fresh, given = fresh_and_loaded(*trees)
    assert fresh == {"embedding_semantics", "head_semantics"}
    assert {"embedding_instances", "head_instances", "encoder"} <= given
    assert "head_semantics (2 arrays: other categories)" in record["new"]


def test_what_only_one_of_the_models_has(config, give, start):
    there = replace(config, stage1__model__encoder_context=False)
    give(there)
    here = replace(config, stage1__model__decoder_context=False)
    *_, record = start(there, here, 1)
    assert record["new"] == ["encoder_image (2 arrays: not in the given model)"]
    assert record["unused"] == ["decoder_image (2 arrays)"]


def test_a_deeper_model_takes_what_is_not_in_layers(config, give, start):
    give(config)
    here = replace(config, stage1__model__decoder_depth=2)
    *_, record = start(config, here, 1)
    (new,) = record["new"]
    assert new.startswith("decoder/layers (16 arrays: 1 x 32 x 2 x 16 there, 2 x")
    assert "decoder/norm (2 arrays)" in record["loaded"]


def test_a_model_without_stage2_leaves_stage2_afresh(config, give, start, capsys):
    give(config, 1)
    _, fresh, result, record = start(config, config, 2)
    for path, array in result.items():
        np.testing.assert_array_equal(array, fresh[path])
    assert record["new"] == ["everything"]
    assert "which holds no stage II" in capsys.readouterr().out


def test_nothing_fits(config, give, start, tmp_path):
    give(config)
    here = replace(config, stage1__model__width=48, stage1__model__mlp_width=96)
    with pytest.raises(ConfigError, match=r"nothing of stage I of .*width is 32 there"):
        start(config, here, 1)
    here = replace(here, init_from=str(tmp_path / "given"))
    with pytest.raises(ConfigError, match="nothing of stage I"):
        train(here, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_given_model_that_cannot_be_used_is_found_before_anything_is_written(
    config, give, tmp_path
):
    run = tmp_path / "run"
    folder = give(config)
    with pytest.raises(ConfigError, match="no trained model"):
        train(replace(config, init_from=str(tmp_path / "nowhere")), run)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    here = replace(config, init_from=str(folder))
    newer = re.sub(rb'(version\\+": *)1', rb"\g<1>9", content)
    assert newer != content
    weights.write_bytes(newer)
    with pytest.raises(WeightsError, match="version 9"):
        train(here, run)
    # Stage I is whole, and stage II, which would be read much later, is not.
    weights.write_bytes(content[:-100])
    with pytest.raises(WeightsError, match="cannot be read"):
        train(here, run)
    assert not run.exists()


def test_a_bundle_is_no_place_for_a_run(config, give):
    folder = give(config)
    with pytest.raises(ConfigError, match="is a bundle, which stays as it is"):
        train(config, folder)
