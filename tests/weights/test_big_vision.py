"""Published names in both directions, archives that cannot be read, sizes told from shapes."""

import pickle
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights.big_vision.names import (
    STAGE1_NAMES,
    STAGE2_NAMES,
    find,
    publish,
    published_name,
    translate,
)
from uvim_fsq.weights.big_vision.shapes import stage1_shape, stage2_shape, stage_of
from uvim_fsq.weights.npz import open_archive, read_headers, read_npz

KERNEL = "params/encoder/encoderblock_{}/MlpBlock_0/Dense_0/kernel"
MLP = {
    KERNEL.format(i): np.full((2, 3), i, np.float32) for i in (1, 0)
}  # Not in order.
EXPECTED = {
    "params": {
        "encoder": {"layers": {"mlp": {"expand": {"kernel": np.empty((2, 2, 3))}}}}
    }
}


@pytest.mark.parametrize("rules", [STAGE1_NAMES, STAGE2_NAMES])
def test_every_name_goes_back_and_forth(rules):
    for theirs, ours in rules:
        published = theirs.replace("#", "12").replace("*", "some/kernel")
        own = ours.replace("*", "some/kernel")
        layer = 12 if "#" in theirs else None
        assert find([published], rules) == {own: {layer: published}}
        assert published_name(own, rules, layer) == published


@pytest.mark.parametrize(
    "spelling",
    [
        "params/Encoder/encoderblock_3/LayerNorm_1/scale",
        "params/encoder/encoderblock_3/LayerNorm_2/scale",
        "opt/target/encoder/encoderblock_3/LayerNorm_1/scale",
        "encoder/encoderblock_3/LayerNorm_1/scale",
        "Encoder/encoderblock_3/LayerNorm_2/scale",
    ],
)
def test_other_spellings_are_read(spelling):
    beside = ["opt/state/step"] if spelling.startswith("opt/") else []
    assert find([spelling, *beside, "state/counts"], STAGE1_NAMES) == {
        "params/encoder/layers/mlp_norm/scale": {3: spelling},
        "codebook/quantizer/counts": {None: "state/counts"},
    }


def test_what_is_beside_the_parameters_is_not_taken_for_them():
    names = ["params/to/kernel", "opt/params/encoder_head/kernel", "chrono/steps"]
    assert find([*names, "encoder_head/kernel"], STAGE1_NAMES) == {}


def test_layers_are_stacked_in_order_and_published_one_by_one():
    tree = translate(MLP, STAGE1_NAMES, EXPECTED)
    stacked = tree["params"]["encoder"]["layers"]["mlp"]["expand"]["kernel"]
    assert stacked.dtype == np.float32
    np.testing.assert_array_equal(stacked[:, 0, 0], [0, 1])
    published = dict(publish(tree, STAGE1_NAMES))
    assert published.keys() == MLP.keys()
    for name, array in published.items():
        np.testing.assert_array_equal(array, MLP[name])


def test_positions_have_a_leading_axis_of_one():
    positions = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    expected = {"params": {"decoder_positions": {"embedding": np.empty((3, 2))}}}
    arrays = {"params/pos_embedding_decoder": positions}
    tree = translate(arrays, STAGE2_NAMES, expected)
    assert tree["params"]["decoder_positions"]["embedding"].shape == (3, 2)
    ((name, array),) = publish(tree, STAGE2_NAMES)
    assert name == "params/pos_embedding_decoder"
    np.testing.assert_array_equal(array, positions)


@pytest.mark.parametrize(
    "arrays, says",
    [
        ({KERNEL.format(0): MLP[KERNEL.format(0)]}, "lacks"),
        ({**MLP, KERNEL.format(1): np.zeros((2, 4), np.float32)}, r"\(2, 4\)"),
        ({**MLP, KERNEL.format(1): np.zeros((2, 3), np.int32)}, "int32"),
    ],
)
def test_an_array_that_does_not_fit_is_named_in_both_spellings(arrays, says):
    with pytest.raises(WeightsError, match=says) as error:
        translate(arrays, STAGE1_NAMES, EXPECTED, "one.npz")
    for name in (KERNEL.format(1), "params/encoder/layers/mlp/expand/kernel", "one"):
        assert name in str(error.value)


def test_more_layers_than_the_model_has_are_refused():
    with pytest.raises(WeightsError, match="only 2 layers"):
        arrays = {**MLP, KERNEL.format(2): MLP[KERNEL.format(0)]}
        translate(arrays, STAGE1_NAMES, EXPECTED)


class Watched(dict):
    """Arrays that notice being read."""

    def __init__(self, arrays):
        super().__init__(arrays)
        self.read = []

    def __getitem__(self, name):
        self.read.append(name)
        return super().__getitem__(name)


def test_only_what_is_needed_is_read():
    arrays = Watched({**MLP, "opt/large": np.zeros(3), "params/other": np.zeros(3)})
    translate(arrays, STAGE1_NAMES, EXPECTED)
    assert set(arrays.read) == set(MLP)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(tmp_path, save):
    path = tmp_path / "some.npz"
    half = np.array([1.5, -2, 0.1], ml_dtypes.bfloat16)
    save(path, **{"a/b": MLP[KERNEL.format(1)], "half": half, "three": np.int64(3)})
    headers = read_headers(path)
    assert {n: h.shape for n, h in headers.items()} == {
        "a/b": (2, 3),
        "half": (3,),
        "three": (),
    }
    assert [h.dtype.kind for h in headers.values()] == ["f", "V", "i"]
    arrays = read_npz(path)
    np.testing.assert_array_equal(arrays["a/b"], MLP[KERNEL.format(1)])
    assert arrays["half"].dtype == np.float32
    np.testing.assert_array_equal(arrays["half"], half.astype(np.float32))
    with open_archive(path) as archive:
        assert set(archive) == set(arrays) and len(archive) == 3
        with pytest.raises(KeyError):
            archive["none"]


def _saved(path: Path) -> bytes:
    np.savez(path, **{"params/a": np.arange(5000, dtype=np.float32)})
    return path.read_bytes()


def _truncated(path):
    path.write_bytes(_saved(path)[:10_000])


def _with_a_wrong_byte(path):
    content = bytearray(_saved(path))
    content[10_000] ^= 255
    path.write_bytes(content)


def _pickled(path):
    path.write_bytes(pickle.dumps({"params": 1}))


def _single(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _with_objects(path):
    np.savez(path, **{"params/a": np.array([{}], object)})


def _with_another_member(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("params/a.npy", b"no array")


@pytest.mark.parametrize(
    "write, says",
    [
        (_truncated, "truncated"),
        (_with_a_wrong_byte, "truncated"),
        (_pickled, "never loaded"),
        (_single, "another format"),
        (_with_objects, "params/a .*pickled objects"),
        (_with_another_member, "another format"),
        (lambda path: None, "nothing there"),
        (Path.mkdir, "found a folder"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, write, says):
    path = tmp_path / "odd.npz"
    write(path)
    with pytest.raises(WeightsError, match=says) as error:
        read_headers(path)
        read_npz(path)
    assert str(path) in str(error.value)


def test_headers_are_read_without_values(tmp_path):
    path = tmp_path / "some.npz"
    _with_a_wrong_byte(path)  # In the values.
    assert read_headers(path)["params/a"].shape == (5000,)


def test_sizes_of_stage1(golden_path):
    shape = stage1_shape(
        read_headers(golden_path("stage1/panoptic_noresize_ckpt.npz")), "one.npz"
    )
    assert shape.channels == {"instances": 5, "semantics": 7}
    assert (shape.patch_size, shape.pixels, shape.grid) == ((8, 8), 64, 24)
    assert (shape.code_length, shape.codebook_size, shape.code_dim) == (6, 32, 16)
    assert (shape.encoder_context, shape.decoder_context) == (True, False)
    trunk = shape.transformer
    assert (trunk.width, trunk.num_heads, trunk.mlp_width) == (32, 4, 64)
    assert (trunk.encoder_depth, trunk.decoder_depth, trunk.positions) == (1, 2, 24)


def test_sizes_of_stage2(golden_path):
    for name, count in (("learn", 16), ("sincos2d", None)):
        headers = read_headers(golden_path(f"stage2/{name}_ckpt.npz"))
        assert stage_of(headers) == "stage2"
        shape = stage2_shape(headers, "two.npz")
        assert (shape.code_length, shape.transformer.positions) == (count, count)
        assert (shape.patch_size, shape.vocabulary_size) == ((8, 8), 33)
        assert shape.transformer.decoder_depth == 2


@pytest.mark.parametrize(
    "change, says",
    [
        ({"state/dictionary": None}, "no codebook"),
        ({"params/embedding_color/kernel": None}, "params/embedding_"),
        ({"params/ctx_enc_embedding/kernel": (8, 4, 3, 32)}, "64 pixels .* 8 x 4"),
        ({KERNEL.format(0): (32,)}, "2 axes"),
        ({KERNEL.format(0): None, KERNEL.format(1): None}, f"lacks {KERNEL.format(0)}"),
        (
            {
                KERNEL.format(0).replace(
                    "MlpBlock_0/Dense_0", "MultiHeadDotProductAttention_0/query"
                ): (32, 3, 8)
            },
            "3 heads of size 8",
        ),
    ],
)
def test_sizes_that_cannot_be_told(golden_path, change, says):
    headers = read_headers(golden_path("stage1/color_ckpt.npz"))
    assert stage_of(headers) == "stage1"
    for name, shape in change.items():
        if shape is None:
            del headers[name]
        else:
            headers[name] = headers[name]._replace(shape=shape)
    with pytest.raises(WeightsError, match=says) as error:
        stage1_shape(headers, "one.npz")
    assert "one.npz" in str(error.value)


def test_another_model_is_no_stage(golden_path):
    assert (
        stage_of(read_headers(golden_path("vit_init/linen_resample_vit.npz"))) is None
    )
