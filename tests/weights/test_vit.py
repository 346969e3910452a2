"""ViT files: their names through the years, and files that are none."""

import re
import zipfile

import ml_dtypes
import numpy as np
import pytest

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights import vit

WIDTH, DEPTH, MLP, HEADS, PATCH, SIDE = 12, 2, 20, 3, (4, 2), 3


def linen(seed=0) -> dict[str, np.ndarray]:
    """A ViT in big_vision's present names, without `params/`, and its classifier."""
    random = np.random.default_rng(seed)
    heads = (HEADS, WIDTH // HEADS)
    shapes = {
        "embedding/kernel": (*PATCH, 3, WIDTH),
        "embedding/bias": (WIDTH,),
        "pos_embedding": (1, SIDE**2, WIDTH),
        "Transformer/encoder_norm/scale": (WIDTH,),
        "Transformer/encoder_norm/bias": (WIDTH,),
        "cls": (1, 1, WIDTH),
        "pre_logits/kernel": (WIDTH, WIDTH),
        "head/kernel": (WIDTH, 7),
        "head/bias": (7,),
    }
    layer = {
        "LayerNorm_0/scale": (WIDTH,),
        "LayerNorm_0/bias": (WIDTH,),
        "LayerNorm_1/scale": (WIDTH,),
        "LayerNorm_1/bias": (WIDTH,),
        "MlpBlock_0/Dense_0/kernel": (WIDTH, MLP),
        "MlpBlock_0/Dense_0/bias": (MLP,),
        "MlpBlock_0/Dense_1/kernel": (MLP, WIDTH),
        "MlpBlock_0/Dense_1/bias": (WIDTH,),
    }
    attention = "MultiHeadDotProductAttention_0"
    for name in ("query", "key", "value"):
        layer[f"{attention}/{name}/kernel"] = (WIDTH, *heads)
        layer[f"{attention}/{name}/bias"] = heads
    layer |= {f"{attention}/out/kernel": (*heads, WIDTH)}
    layer |= {f"{attention}/out/bias": (WIDTH,)}
    for i in range(DEPTH):
        shapes |= {
            f"Transformer/encoderblock_{i}/{name}": shape
            for name, shape in layer.items()
        }
    return {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def before_linen(arrays):
    """The same in the names of AugReg, the class token with a position."""
    renamed = {}
    for name, array in arrays.items():
        name = name.replace("LayerNorm_1", "LayerNorm_2")
        name = name.replace("Attention_0", "Attention_1")
        renamed[name.replace("MlpBlock_0", "MlpBlock_3")] = array
    positions = renamed.pop("pos_embedding")
    positions = np.concatenate([np.full((1, 1, WIDTH), 9, np.float32), positions], 1)
    return renamed | {"Transformer/posembed_input/pos_embedding": positions}


def scanned(arrays):
    """The same with all layers in one."""
    stacks, rest = {}, {}
    for name, array in arrays.items():
        if match := re.fullmatch(r"Transformer/encoderblock_(\d+)/(.+)", name):
            stacks.setdefault(match[2], []).append(array)
        else:
            rest[name] = array
    named = {f"Transformer/encoderblock/{n}": np.stack(s) for n, s in stacks.items()}
    return rest | named


def below(prefix, arrays):
    return {f"{prefix}{name}": array for name, array in arrays.items()}


@pytest.fixture
def save(tmp_path):
    def write(arrays, name="vit.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


SPELLINGS = {
    "linen": lambda arrays: arrays,
    "params": lambda arrays: below("params/", arrays) | {"opt/count": np.zeros(())},
    "optimizer target": lambda arrays: below("opt/target/", arrays),
    "before linen": before_linen,
    "positions in Transformer": lambda arrays: (
        {k: v for k, v in arrays.items() if k != "pos_embedding"}
        | {"Transformer/pos_embedding": arrays["pos_embedding"]}
    ),
    "scanned": lambda arrays: below("params/", scanned(arrays)),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_arrays(save, spelling):
    arrays = linen()
    path = save(SPELLINGS[spelling](arrays))
    layout = vit.layout(path)
    assert (layout.patch_size, layout.width, layout.encoder_depth) == (PATCH, WIDTH, 2)
    assert (layout.mlp_width, layout.num_heads, layout.grid) == (MLP, HEADS, (3, 3))
    assert layout.left_out == ("class token", "head", "pre-logits layer")
    read = vit.read(path, layout)
    expected = {
        "patches/kernel": arrays["embedding/kernel"],
        "encoder_positions/embedding": arrays["pos_embedding"][0],
        "encoder/norm/bias": arrays["Transformer/encoder_norm/bias"],
    }
    block = "Transformer/encoderblock_{}/"
    for theirs, ours in {
        "LayerNorm_0/scale": "attention_norm/scale",
        "LayerNorm_1/scale": "mlp_norm/scale",
        "MultiHeadDotProductAttention_0/key/bias": "attention/key/bias",
        "MultiHeadDotProductAttention_0/out/kernel": "attention/out/kernel",
        "MlpBlock_0/Dense_0/kernel": "mlp/expand/kernel",
        "MlpBlock_0/Dense_1/bias": "mlp/contract/bias",
    }.items():
        layers = [arrays[block.format(i) + theirs] for i in range(DEPTH)]
        expected[f"encoder/layers/{ours}"] = np.stack(layers)
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)
    assert len(read) == 21


def test_layers_are_in_the_order_of_their_numbers(save):
    arrays = linen()
    for i in range(2, 11):
        for name in [n for n in arrays if n.startswith("Transformer/encoderblock_0/")]:
            copy = name.replace("block_0", f"block_{i}")
            arrays[copy] = np.full_like(arrays[name], i)
    path = save(dict(sorted(arrays.items())))  # Block 10 comes before block 2.
    layout = vit.layout(path)
    assert layout.encoder_depth == 11
    bias = vit.read(path, layout)["encoder/layers/mlp/expand/bias"]
    np.testing.assert_array_equal(bias[2:, 0], np.arange(2, 11))


def test_a_single_layer_is_stacked_too(save):
    arrays = {k: v for k, v in linen().items() if "block_1" not in k}
    path = save(arrays)
    kernel = vit.read(path, vit.layout(path))["encoder/layers/mlp/expand/kernel"]
    assert kernel.shape == (1, WIDTH, MLP)


def test_bfloat16_and_float16_become_float32(save):
    arrays = linen()
    arrays["embedding/bias"] = arrays["embedding/bias"].astype(ml_dtypes.bfloat16)
    name = "Transformer/encoder_norm/scale"
    arrays[name] = arrays[name].astype(np.float16)
    path = save(arrays)
    read = vit.read(path, vit.layout(path))
    assert {array.dtype for array in read.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(
        read["patches/bias"], arrays["embedding/bias"].astype(np.float32)
    )


def test_without_learned_positions(save):
    arrays = linen()
    del arrays["pos_embedding"]
    path = save(arrays)
    layout = vit.layout(path)
    assert layout.grid is None
    assert "encoder_positions/embedding" not in vit.read(path, layout)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MAPHead_0/probe", "pooling"),
        ("probe", "pooling"),
        ("MlpBlock_0/Dense_0/kernel", "pooling"),
        ("t", "t"),
        ("teacher/head/kernel", "teacher"),
    ],
)
def test_what_is_left_out_is_named(save, name, words):
    assert words in vit.layout(save(linen() | {name: np.zeros(3)})).left_out


def without(name):
    return lambda arrays: {k: v for k, v in arrays.items() if k != name}


def replaced(name, shape):
    return lambda arrays: arrays | {name: np.zeros(shape, np.float32)}


QUERY = "Transformer/encoderblock_{}/MultiHeadDotProductAttention_0/query/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: {
                "params/embedding_depth/kernel": np.zeros((4, 4, 2)),
                "params/Encoder/encoderblock_0/LayerNorm_0/bias": np.zeros(2),
                "state/dictionary": np.zeros((3, 2)),
            },
            "holds no ViT: expected .*embedding/kernel.*, found params/embedding_depth/kernel",
        ),
        (lambda arrays: {}, "holds no ViT"),
        (without("embedding/kernel"), "holds no ViT"),
        (without(QUERY.format(1)), "no array for .*query/kernel of layer 1, expected"),
        (without("Transformer/encoder_norm/bias"), "no array for encoder/norm/bias,"),
        (replaced(QUERY.format(1), (12, 4, 3)), r"block_1/.*has shape \(12, 4, 3\)"),
        (replaced("embedding/kernel", (1, 1, 64, 12)), r"\(1, 1, 64, 12\).*\(1, 1, 3,"),
        (replaced("embedding/kernel", (12, 12)), r"4 axes .* found \(12, 12\)"),
        (replaced(QUERY.format(0), (12, 12)), r"3 for queries .* \(12, 12\)"),
        (replaced("pos_embedding", (1, 12, 12)), "12 position embeddings: .* square"),
        (replaced("Transformer/encoderblock_1/ls1/gamma", (12,)), "no place .*ls1/gam"),
        (
            lambda arrays: arrays | {"embedding/bias": np.zeros(WIDTH, np.int32)},
            "embedding/bias .* holds int32: expected float",
        ),
        (
            replaced("Transformer/encoderblock_1/LayerNorm_0/gamma", (12,)),
            "no place for Transformer/encoderblock_1/LayerNorm_0/gamma",
        ),
    ],
)
def test_files_that_hold_no_whole_plain_vit(save, change, message):
    with pytest.raises(WeightsError, match=message) as error:
        vit.layout(save(change(linen())))
    assert "\n" not in str(error.value)


def test_a_scanned_file_with_another_number_of_layers_somewhere(save):
    arrays = scanned(linen())
    name = "Transformer/encoderblock/LayerNorm_0/bias"
    arrays[name] = arrays[name][:1]
    with pytest.raises(WeightsError, match=r"has shape \(1, 12\), .* has \(2, 12\)"):
        vit.layout(save(arrays))


def test_broken_files(save, tmp_path):
    path = save(linen())
    whole = path.read_bytes()
    with pytest.raises(WeightsError, match="gone.npz: expected .* found nothing"):
        vit.layout(tmp_path / "gone.npz")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="cannot be read.*truncated"):
        vit.layout(path)
    path.write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="cannot be read.*another format"):
        vit.layout(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(WeightsError, match="holds no ViT.*found no arrays"):
        vit.layout(path)
    path = save(linen() | {"cls": np.array([{}], object)})
    with pytest.raises(WeightsError, match="cls .*pickled.*never loaded"):
        vit.layout(path)


def test_an_array_that_is_damaged_inside(save):
    path = save(linen())
    layout = vit.layout(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"embedding/kernel.npy") + 300
    content[start : start + 40] = bytes(40)
    path.write_bytes(bytes(content))
    with pytest.raises(WeightsError, match="cannot be read"):
        vit.read(path, layout)


def test_headers_of_compressed_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "vit.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in linen().items():
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, array)
    assert vit.layout(tmp_path / "vit.npz").encoder_depth == DEPTH
