"""A stage II that starts from a ViT, alone or beside a given model."""

import json

import numpy as np
import pytest

from uvim_fsq.errors import WeightsError
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.initial import initial_weights
from uvim_fsq.runs.initial_plan import flatten
from uvim_fsq.settings import replace


def write_vit(path, model):
    """A ViT of the model's sizes, one layer deep, in the names of AugReg."""
    width, mlp = model.width, model.mlp_width
    heads = (model.num_heads, width // model.num_heads)
    shapes = {
        "embedding": {"kernel": (*model.patch_size, 3, width), "bias": (width,)},
        "Transformer/posembed_input": {"pos_embedding": (1, 4, width)},
        "Transformer/encoder_norm": {"scale": (width,), "bias": (width,)},
    }
    block = "Transformer/encoderblock_0"
    for name in ("LayerNorm_0", "LayerNorm_2"):
        shapes[f"{block}/{name}"] = {"scale": (width,), "bias": (width,)}
    for name, sizes in {
        "MlpBlock_3/Dense_0": {"kernel": (width, mlp), "bias": (mlp,)},
        "MlpBlock_3/Dense_1": {"kernel": (mlp, width), "bias": (width,)},
        "MultiHeadDotProductAttention_1/out": {
            "kernel": (*heads, width),
            "bias": (width,),
        },
        **{
            f"MultiHeadDotProductAttention_1/{part}": {
                "kernel": (width, *heads),
                "bias": heads,
            }
            for part in ("query", "key", "value")
        },
    }.items():
        shapes[f"{block}/{name}"] = sizes
    arrays = {
        f"{module}/{name}": np.full(shape, 0.25, np.float32)
        for module, inside in shapes.items()
        for name, shape in inside.items()
    }
    np.savez(path, allow_pickle=False, **arrays)
    return path


def test_the_given_model_goes_before_the_vit(config, give, start, tmp_path, capsys):
    """Patches of another size are the ViT's, and all else of the encoder the given model's."""
    there = replace(config, stage2__model__patch_size=(4, 4))
    give(there)
    vit = write_vit(tmp_path / "vit.npz", config.stage2.model)
    here = replace(config, stage2__pretrained_encoder=str(vit))
    given, fresh, result, record = start(there, here, 2)
    assert (np.asarray(result["params/patches/kernel"]) == 0.25).all()
    for path in given:
        if path.startswith(("params/encoder/", "params/decoder")):
            np.testing.assert_array_equal(result[path], given[path], err_msg=path)
    (told,) = record["pretrained_encoder"]
    assert told in capsys.readouterr().out
    assert record["resampled"] == ["encoder_positions (1 array: 4 x 4 to 2 x 2)"]
    assert record["new"] == [
        "patches (2 arrays: 4 x 4 x 3 x 32 there, 8 x 8 x 3 x 32 here)"
    ]


def test_a_vit_alone(config, variables, tmp_path):
    vit = write_vit(tmp_path / "vit.npz", config.stage2.model)
    here = replace(config, stage2__pretrained_encoder=str(vit))
    run = RunDirectory(tmp_path / "run")
    initial = initial_weights(here, run, (2,), 0)[2]
    run.stage2(0).path.mkdir(parents=True)
    result = flatten(initial(variables(here, 2, 10), run.stage2(0)))
    assert (np.asarray(result["params/patches/kernel"]) == 0.25).all()
    record = json.loads((run.stage2(0).path / "initial.json").read_text())
    assert list(record) == ["pretrained_encoder"]


def test_a_vit_is_not_needed_where_the_image_encoder_comes_from_the_given_model(
    config, give, start
):
    give(config)
    here = replace(config, stage2__pretrained_encoder="gone.npz")
    *_, record = start(config, here, 2)
    assert "pretrained_encoder" not in record
    other = replace(here, stage2__model__patch_size=(4, 4))
    with pytest.raises(WeightsError, match=r"gone\.npz"):
        start(config, other, 2)
