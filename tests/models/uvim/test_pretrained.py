"""Stage II that starts from a ViT."""

import json
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.errors import WeightsError
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.pretrained import check_pretrained, with_pretrained_encoder
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.nn.patches import grid_size
from uvim_fsq.settings import replace
from uvim_fsq.weights.big_vision.names import STAGE2_NAMES, find

SIDE = 3  # Of the file's grid.


def flatten(tree) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(tree, sep="/")


def fresh(model):
    return jax.eval_shape(lambda key: build.init_stage2(model, key), jax.random.key(0))


@pytest.fixture
def config():
    return get_config("fsq", "tiny")


@pytest.fixture
def save(tmp_path, config):
    """Writes a ViT of the tiny model's sizes in the names of AugReg."""

    def write(side=SIDE, **changes):
        model = replace(config.stage2.model, **changes)
        width, heads = model.width, (model.num_heads, model.width // model.num_heads)
        shapes = {
            "embedding/kernel": (*model.patch_size, 3, width),
            "embedding/bias": (width,),
            "cls": (1, 1, width),
            "head/kernel": (width, 5),
            "Transformer/posembed_input/pos_embedding": (1, side**2 + 1, width),
            "Transformer/encoder_norm/scale": (width,),
            "Transformer/encoder_norm/bias": (width,),
        }
        for i in range(model.encoder_depth):
            block = f"Transformer/encoderblock_{i}"
            attention = f"{block}/MultiHeadDotProductAttention_1"
            for name in ("query", "key", "value"):
                shapes[f"{attention}/{name}/kernel"] = (width, *heads)
                shapes[f"{attention}/{name}/bias"] = heads
            shapes |= {
                f"{attention}/out/kernel": (*heads, width),
                f"{attention}/out/bias": (width,),
                f"{block}/LayerNorm_0/scale": (width,),
                f"{block}/LayerNorm_0/bias": (width,),
                f"{block}/LayerNorm_2/scale": (width,),
                f"{block}/LayerNorm_2/bias": (width,),
                f"{block}/MlpBlock_3/Dense_0/kernel": (width, model.mlp_width),
                f"{block}/MlpBlock_3/Dense_0/bias": (model.mlp_width,),
                f"{block}/MlpBlock_3/Dense_1/kernel": (model.mlp_width, width),
                f"{block}/MlpBlock_3/Dense_1/bias": (width,),
            }
        random = np.random.default_rng(0)
        arrays = {
            name: random.normal(0, 0.5, size).astype(np.float32)
            for name, size in shapes.items()
        }
        path = tmp_path / "vit.npz"
        np.savez(path, allow_pickle=False, **arrays)
        return str(path), arrays

    return write


@pytest.mark.parametrize(
    "case", ["augreg_same_grid", "augreg_resample", "linen_resample"]
)
def test_parameters_of_the_public_code(golden, golden_path, case):
    settings = json.loads(golden_path("vit_init/configs.json").read_text())[case]
    sizes = settings["model"]
    model = Stage2Model(
        codebook_size=sizes["vocab_size"] - 1,
        code_length=sizes["seq_len"],
        image_size=tuple(sizes["input_size"]),
        patch_size=tuple(sizes["patches"]["size"]),
        width=sizes["emb_dim"],
        encoder_depth=sizes["num_layers"],
        decoder_depth=sizes["num_layers"],
        mlp_width=sizes["mlp_dim"],
        num_heads=sizes["num_heads"],
    )
    before = fresh(model)["params"]
    after, _ = with_pretrained_encoder(
        before, model, str(golden_path(f"vit_init/{case}_vit.npz"))
    )
    before, after = flatten(before), flatten(after)
    assert before.keys() == after.keys()
    taken = {f"params/{n}" for n, leaf in after.items() if leaf is not before[n]}
    names = [f"params/{name}" for name in settings["params_from_vit"]]
    assert taken == find(names, STAGE2_NAMES).keys()
    loaded = golden(f"vit_init/{case}.npz")
    for ours, by_layer in find(names, STAGE2_NAMES).items():
        array = after[ours.removeprefix("params/")]
        assert (array.shape, array.dtype) == (
            before[ours.removeprefix("params/")].shape,
            jnp.float32,
        )
        for layer, name in by_layer.items():
            part = array if layer is None else array[layer]
            expected = loaded[name.replace("params/", "loaded/", 1)]
            # All is copied but positions, which are interpolated.
            tolerance = 1e-6 if "pos_embedding" in name else 0
            np.testing.assert_allclose(
                part, expected.reshape(part.shape), rtol=0, atol=tolerance, err_msg=name
            )


def test_training_starts_from_the_vit(config, save):
    # The picture is not square, so that rows and columns of positions cannot be mixed up.
    config = replace(config, task__image_size=(16, 40))
    path, arrays = save()
    model = build.build_stage2(config)
    random = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: random.normal(0, 0.5, leaf.shape).astype(np.float32),
        fresh(model)["params"],
    )
    before = flatten(params)
    started, lines = with_pretrained_encoder(params, model, path)
    assert lines == [
        "image encoder: 1 layer, patches and positions (resampled 3 x 3 -> 2 x 5) from "
        f"{path}; left out: class token, head"
    ]
    # By hand: rows of the 3 x 3 grid at 0 and 2, columns at 0, 0.5, 1, 1.5 and 2.
    grid = arrays["Transformer/posembed_input/pos_embedding"][0, 1:]
    grid = grid.reshape(3, 3, -1)[[0, 2]]
    halves = (grid[:, :2] + grid[:, 1:]) / 2
    columns = grid[:, 0], halves[:, 0], grid[:, 1], halves[:, 1], grid[:, 2]
    positions = np.stack(columns, axis=1).reshape(10, -1)
    block = "Transformer/encoderblock_0"
    attention = {
        name: {
            part: arrays[f"{block}/MultiHeadDotProductAttention_1/{name}/{part}"][None]
            for part in ("kernel", "bias")
        }
        for name in ("query", "key", "value", "out")
    }

    def pair(name, *parts, layer=False):
        return {
            part: arrays[f"{name}/{part}"][None if layer else ...] for part in parts
        }

    dense, norm = ("kernel", "bias"), ("scale", "bias")
    mlp = f"{block}/MlpBlock_3/Dense_"
    by_hand = {
        **params,
        "patches": pair("embedding", *dense),
        "encoder_positions": {"embedding": positions},
        "encoder": {
            "norm": pair("Transformer/encoder_norm", *norm),
            "layers": {
                "attention_norm": pair(f"{block}/LayerNorm_0", *norm, layer=True),
                "attention": attention,
                "mlp_norm": pair(f"{block}/LayerNorm_2", *norm, layer=True),
                "mlp": {
                    "expand": pair(f"{mlp}0", *dense, layer=True),
                    "contract": pair(f"{mlp}1", *dense, layer=True),
                },
            },
        },
    }
    image = jax.random.uniform(jax.random.key(1), (2, 16, 40, 3), minval=-1)
    encode = jax.jit(lambda p: model.apply({"params": p}, image, method="encode"))
    np.testing.assert_allclose(encode(started), encode(by_hand), rtol=0, atol=1e-5)
    assert np.abs(encode(started) - encode(params)).max() > 0.1
    # What was given stays as it was, and so does all that is not the encoder's.
    assert all(leaf is before[name] for name, leaf in flatten(params).items())
    kept = {n for n, leaf in flatten(started).items() if leaf is before[n]}
    assert kept == {
        name
        for name in before
        if not name.startswith(("patches/", "encoder/", "encoder_positions/"))
    }


def test_the_grid_of_the_model_needs_no_resampling(config, save):
    model = build.build_stage2(config)
    side = grid_size(model.image_size, model.patch_size)[0]
    path, arrays = save(side)
    params, lines = with_pretrained_encoder(fresh(model)["params"], model, path)
    np.testing.assert_array_equal(
        params["encoder_positions"]["embedding"],
        arrays["Transformer/posembed_input/pos_embedding"][0, 1:],
    )
    assert "patches and positions from" in lines[0]


def test_a_model_with_fixed_positions_leaves_those_of_the_file_out(config, save):
    model = build.build_stage2(replace(config, stage2__model__positions="sincos2d"))
    path, _ = save()
    params, lines = with_pretrained_encoder(fresh(model)["params"], model, path)
    assert "encoder_positions" not in params
    assert lines == [
        f"image encoder: 1 layer, patches from {path}; left out: class token, head, "
        "positions (the model's are sines and cosines)"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(width=48), "expected width 32, found 48: .* --stage2.model.width 48$"),
        (
            dict(patch_size=(16, 8)),
            "patch_size 8 x 8, found 16 x 8: .*patch-size 16 8$",
        ),
        (dict(encoder_depth=2), "encoder_depth 1, found 2: .*encoder-depth 2$"),
        (dict(num_heads=4), "num_heads 2, found 4: .*--stage2.model.num-heads 4$"),
        (dict(mlp_width=64), "mlp_width 128, found 64: .*--stage2.model.mlp-width 64$"),
        (dict(width=64, mlp_width=256), "--stage2.model.width 64 --stage2.model.mlp-w"),
    ],
)
def test_a_vit_of_other_sizes(config, save, changes, message):
    path, _ = save(**changes)
    config = replace(config, stage2__pretrained_encoder=path)
    with pytest.raises(WeightsError, match=message):
        check_pretrained(config)
    model = build.build_stage2(config)
    with pytest.raises(WeightsError, match=message):
        with_pretrained_encoder(fresh(model)["params"], model, path)


def test_the_settings_that_a_refusal_names_help(config, save):
    path, _ = save(width=48, mlp_width=96, num_heads=3, encoder_depth=3)
    sizes = dict(width=48, mlp_width=96, num_heads=3, encoder_depth=3)
    model = replace(config.stage2.model, **sizes)
    check_pretrained(
        replace(config, stage2__model=model, stage2__pretrained_encoder=path)
    )


def test_a_vit_without_learned_positions(config, save, tmp_path):
    path, arrays = save()
    del arrays["Transformer/posembed_input/pos_embedding"]
    np.savez(path, allow_pickle=False, **arrays)
    config = replace(config, stage2__pretrained_encoder=path)
    with pytest.raises(WeightsError, match="no position embeddings.*sincos2d"):
        check_pretrained(config)
    check_pretrained(replace(config, stage2__model__positions="sincos2d"))


def test_check_reads_no_arrays_and_asks_for_no_file_without_the_setting(config, save):
    check_pretrained(config)
    config = replace(config, stage2__pretrained_encoder="gone.npz")
    with pytest.raises(WeightsError, match="gone.npz is no file"):
        check_pretrained(config)
