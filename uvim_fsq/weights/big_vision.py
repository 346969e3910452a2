"""Reads the published UViM checkpoints: NumPy archives of flattened big_vision names.

A stage-I file holds `params/...`, `state/dictionary` (the codebook's running sums) and
`state/counts`; a stage-II file `params/...`. Other entries (optimizer, clock) are ignored. Each
name is translated by the tables below; the layers of a stack, one array each in the file, are
stacked along a new leading axis, as this package's scanned transformers keep them.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import ml_dtypes
import numpy as np

from uvim_fsq.types import Tree
from uvim_fsq.weights.errors import WeightsError

_VIT_LAYER = [
    (r"LayerNorm_0", "attention_norm"),
    (r"LayerNorm_1", "mlp_norm"),
    (r"MultiHeadDotProductAttention_0", "attention"),
    (r"MlpBlock_0/Dense_0", "mlp/expand"),
    (r"MlpBlock_0/Dense_1", "mlp/contract"),
]
_DECODER_LAYER = [
    (r"LayerNorm1", "self_norm"),
    (r"LayerNorm2", "cross_norm"),
    (r"LayerNorm3", "mlp_norm"),
    (r"SelfAttn", "self_attention"),
    (r"CrossAttn", "cross_attention"),
    (r"MLP/Dense_0", "mlp/expand"),
    (r"MLP/Dense_1", "mlp/contract"),
]


def _vit(theirs: str, ours: str) -> list[tuple[str, str]]:
    rules = [
        (
            rf"params/{theirs}/encoderblock_(?P<layer>\d+)/{a}/(.+)",
            rf"params/{ours}/layers/{b}/\2",
        )
        for a, b in _VIT_LAYER
    ]
    return [*rules, (rf"params/{theirs}/encoder_norm/(.+)", rf"params/{ours}/norm/\1")]


STAGE1_NAMES = [
    (r"params/embedding_(.+)", r"params/embedding_\1"),
    (r"params/ctx_enc_embedding/(.+)", r"params/encoder_image/\1"),
    (r"params/ctx_dec_embedding/(.+)", r"params/decoder_image/\1"),
    (r"params/pos_embedding_(encoder|decoder)", r"params/\1_positions/embedding"),
    *_vit("[Ee]ncoder", "encoder"),
    *_vit("[Dd]ecoder", "decoder"),
    (r"params/bottleneck_downsample", r"params/downsample/matrix"),
    (r"params/bottleneck_upsample", r"params/upsample/matrix"),
    (r"params/encoder_head/(.+)", r"params/to_code/\1"),
    (r"params/decoder_stem/(.+)", r"params/from_code/\1"),
    (r"params/head_(.+)", r"params/head_\1"),
    (r"state/dictionary", r"codebook/quantizer/sums"),
    (r"state/counts", r"codebook/quantizer/counts"),
]
"""(regular expression on a published stage-I name, this package's name)."""

STAGE2_NAMES = [
    (r"params/EmbedPatches/(.+)", r"params/patches/\1"),
    (r"params/pos_embedding_(encoder|decoder)", r"params/\1_positions/embedding"),
    *_vit("[Ee]ncoder", "encoder"),
    (r"params/[Dd]ecoder/EmbedTargets/(.+)", r"params/token_embedding/\1"),
    *[
        (
            rf"params/[Dd]ecoder/EncDecBlock(?P<layer>\d+)/{theirs}/(.+)",
            rf"params/decoder_layers/{ours}/\2",
        )
        for theirs, ours in _DECODER_LAYER
    ],
    (r"params/[Dd]ecoder/LayerNorm/(.+)", r"params/decoder_norm/\1"),
    (r"params/[Dd]ecoder/LogitsDense/(.+)", r"params/logits/\1"),
]
"""(regular expression on a published stage-II name, this package's name)."""


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, without unpickling anything; bfloat16 becomes float32.

    Raises:
      WeightsError: if the file is missing, truncated, no `.npz`, or holds pickled objects.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsError(
            f"{path} does not exist: expected a big_vision .npz checkpoint"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: _float32(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise WeightsError(
            f"{path} cannot be read as a .npz of plain arrays ({error}): it may be truncated, "
            "of another format, or hold pickled objects, which are never loaded"
        ) from error


def _float32(array: np.ndarray) -> np.ndarray:
    # big_vision stores bfloat16 as it comes from ml_dtypes; NumPy reads it back as raw bytes.
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array


def translate(
    arrays: Mapping[str, np.ndarray], rules: list[tuple[str, str]], expected: Tree
) -> Tree:
    """Variables of a model from the arrays of a published checkpoint.

    Args:
      arrays: from `read_npz`.
      rules: `STAGE1_NAMES` or `STAGE2_NAMES`.
      expected: the model's variables as arrays or shapes (`jax.eval_shape` of its `init`).

    Returns:
      A tree like `expected`, float32.

    Raises:
      WeightsError: if an array is missing or of another shape, naming it in both spellings.
    """
    found: dict[str, np.ndarray] = {}
    layers: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        for pattern, replacement in rules:
            match = re.fullmatch(pattern, name)
            if match is None:
                continue
            target = match.expand(replacement)
            if "layer" in match.groupdict():
                layers.setdefault(target, {})[int(match["layer"])] = array
            else:
                found[target] = array
            break
    for target, by_index in layers.items():
        found[target] = _stack(target, by_index)
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(expected, sep="/")
    matched = {name: _fit(name, found.get(name), array) for name, array in flat.items()}
    return flax.traverse_util.unflatten_dict(matched, sep="/")


def _stack(name: str, by_index: Mapping[int, np.ndarray]) -> np.ndarray:
    missing = sorted(set(range(max(by_index) + 1)) - set(by_index))
    if missing:
        raise WeightsError(f"the checkpoint lacks layer {missing[0]} of {name}")
    return np.stack([by_index[i] for i in range(len(by_index))])


def _fit(name: str, array: Any, expected: Any) -> np.ndarray:
    if array is None:
        raise WeightsError(
            f"the checkpoint has no array for {name} of shape {tuple(expected.shape)}: it is of "
            "another model, or of another stage or task than the configuration says"
        )
    if array.ndim == len(expected.shape) + 1 and array.shape[0] == 1:
        array = array[0]  # Published position embeddings have a leading axis of one.
    if array.shape != tuple(expected.shape):
        raise WeightsError(
            f"{name} has shape {array.shape} in the checkpoint and {tuple(expected.shape)} in "
            "the model: the checkpoint is of another configuration"
        )
    return array.astype(np.float32)
