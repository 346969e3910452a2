"""The names of the published UViM checkpoints: NumPy archives of flattened big_vision names.

A stage-I file holds `params/...`, `state/dictionary` (the codebook's running sums) and
`state/counts`; a stage-II file `params/...`. Other entries (optimizer, clock) are ignored. Names
are translated by the tables below, in both directions; the layers of a stack, one array each in the
file, are stacked along a new leading axis, as this package's scanned transformers keep them.

Files differ in their spelling, and all of these are read, while the first one is written: everything
below `params/`, below `opt/target/`, or below nothing; `encoder` and `decoder`, or `Encoder` and
`Decoder`; the modules of a layer numbered by kind, or all of them in one count.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from uvim_fsq.errors import WeightsError
from uvim_fsq.types import Shaped, Tree
from uvim_fsq.weights.npz import read_npz

__all__ = ["STAGE1_NAMES", "STAGE2_NAMES", "find", "publish", "read_npz", "translate"]

Names = Sequence[tuple[str, str]]
"""Published names and this package's; `*` is any rest, `#` the number of a layer."""

_VIT_LAYER = {
    "LayerNorm_0": "attention_norm",
    "LayerNorm_1": "mlp_norm",
    "MultiHeadDotProductAttention_0": "attention",
    "MlpBlock_0/Dense_0": "mlp/expand",
    "MlpBlock_0/Dense_1": "mlp/contract",
}
_DECODER_LAYER = {
    "LayerNorm1": "self_norm",
    "LayerNorm2": "cross_norm",
    "LayerNorm3": "mlp_norm",
    "SelfAttn": "self_attention",
    "CrossAttn": "cross_attention",
    "MLP/Dense_0": "mlp/expand",
    "MLP/Dense_1": "mlp/contract",
}


def _vit(stack: str) -> Names:
    layers = [
        (f"params/{stack}/encoderblock_#/{theirs}/*", f"params/{stack}/layers/{ours}/*")
        for theirs, ours in _VIT_LAYER.items()
    ]
    return [*layers, (f"params/{stack}/encoder_norm/*", f"params/{stack}/norm/*")]


_POSITIONS = [
    (f"params/pos_embedding_{side}", f"params/{side}_positions/embedding")
    for side in ("encoder", "decoder")
]
STAGE1_NAMES: Names = [
    ("params/embedding_*", "params/embedding_*"),
    ("params/ctx_enc_embedding/*", "params/encoder_image/*"),
    ("params/ctx_dec_embedding/*", "params/decoder_image/*"),
    *_POSITIONS,
    *_vit("encoder"),
    *_vit("decoder"),
    ("params/bottleneck_downsample", "params/downsample/matrix"),
    ("params/bottleneck_upsample", "params/upsample/matrix"),
    ("params/encoder_head/*", "params/to_code/*"),
    ("params/decoder_stem/*", "params/from_code/*"),
    ("params/head_*", "params/head_*"),
    ("state/dictionary", "codebook/quantizer/sums"),
    ("state/counts", "codebook/quantizer/counts"),
]
"""Of stage I."""

STAGE2_NAMES: Names = [
    ("params/EmbedPatches/*", "params/patches/*"),
    *_POSITIONS,
    *_vit("encoder"),
    ("params/decoder/EmbedTargets/*", "params/token_embedding/*"),
    *[
        (f"params/decoder/EncDecBlock#/{theirs}/*", f"params/decoder_layers/{ours}/*")
        for theirs, ours in _DECODER_LAYER.items()
    ],
    ("params/decoder/LayerNorm/*", "params/decoder_norm/*"),
    ("params/decoder/LogitsDense/*", "params/logits/*"),
]
"""Of stage II."""

_OLD_SPELLINGS = [
    (r"^params/Encoder/", "params/encoder/"),
    (r"^params/Decoder/", "params/decoder/"),
    (r"/LayerNorm_2/", "/LayerNorm_1/"),
    (r"/MultiHeadDotProductAttention_1/", "/MultiHeadDotProductAttention_0/"),
    (r"/MlpBlock_3/", "/MlpBlock_0/"),
]
_TOP = ("params/", "state/", "opt/", "chrono/")


def find(names: Iterable[str], rules: Names) -> dict[str, dict[int | None, str]]:
    """Names in a file by this package's names and the number of the layer, None outside of stacks.

    What the rules do not know is left out.
    """
    compiled = [(_pattern(theirs), ours) for theirs, ours in rules]
    found: dict[str, dict[int | None, str]] = {}
    for name, modern in _modern(names).items():
        for pattern, ours in compiled:
            match = pattern.fullmatch(modern)
            if match is not None:
                parts = match.groupdict()
                layer = int(parts["layer"]) if "layer" in parts else None
                target = ours.replace("*", parts.get("rest", ""))
                found.setdefault(target, {})[layer] = name
                break
    return found


def published_name(ours: str, rules: Names, layer: int | None = None) -> str:
    """The published name of an array of this package, of one layer of a stack."""
    for theirs, template in rules:
        match = _pattern(template).fullmatch(ours)
        if match is not None:
            name = theirs.replace("*", match.groupdict().get("rest", ""))
            return name.replace("#", "#" if layer is None else str(layer))
    raise WeightsError(f"{ours} has no name in big_vision's format")


def translate(
    arrays: Mapping[str, np.ndarray],
    rules: Names,
    expected: Tree,
    source: str = "the checkpoint",
) -> Tree:
    """Variables of a model from the arrays of a published checkpoint.

    Arrays are asked for one at a time, so that an open archive is never in memory as a whole.

    Args:
      arrays: by their names in the file.
      rules: `STAGE1_NAMES` or `STAGE2_NAMES`.
      expected: the model's variables as arrays or shapes (`jax.eval_shape` of its `init`).
      source: what messages call the file.

    Returns:
      A tree like `expected`, float32.

    Raises:
      WeightsError: if an array is missing or of another shape, naming it in both spellings.
    """
    found = find(arrays, rules)
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(expected, sep="/")
    result = {}
    for ours, leaf in flat.items():
        names = found.get(ours, {})
        shape = tuple(leaf.shape)
        result[ours] = np.empty(shape, np.float32)
        layers = range(shape[0]) if _is_stacked(ours, rules) else [None]
        beyond = sorted(set(names) - set(layers), key=str)
        if beyond:
            raise WeightsError(
                f"{source} has {names[beyond[0]]}, and the settings give the model only "
                f"{len(layers)} layers there"
            )
        for layer in layers:
            spelled = f"{published_name(ours, rules, layer)} ({ours} here)"
            part = result[ours] if layer is None else result[ours][layer]
            if layer not in names:
                raise WeightsError(
                    f"{source} lacks {spelled} of shape {part.shape}: it is of another model, or "
                    "of another stage or task than the settings say"
                )
            part[...] = _fit(arrays[names[layer]], part.shape, spelled, source)
    return flax.traverse_util.unflatten_dict(result, sep="/")


def publish(
    variables: Tree, rules: Names
) -> Iterator[tuple[str, Shaped[np.ndarray, "..."]]]:
    """Published names and arrays of a model's variables: undoes `translate`."""
    flat: dict[str, Any] = flax.traverse_util.flatten_dict(variables, sep="/")
    for ours, leaf in flat.items():
        array = np.asarray(jax.device_get(leaf))
        if _is_stacked(ours, rules):
            for layer, part in enumerate(array):
                yield published_name(ours, rules, layer), part
        else:
            name = published_name(ours, rules)
            yield (
                name,
                array[None] if name.startswith("params/pos_embedding") else array,
            )


def _modern(names: Iterable[str]) -> dict[str, str]:
    """Names in the spelling of the tables, by the names in the file."""
    names = list(names)
    tops = {top for top in _TOP if any(name.startswith(top) for name in names)}
    # An optimizer of old keeps the parameters; files for the public may hold nothing else.
    prefix = "params/" if "params/" in tops else "opt/target/" if "opt/" in tops else ""
    modern = {}
    for name in names:
        new = name
        if name.startswith(prefix) and not name.startswith("state/"):
            new = "params/" + name.removeprefix(prefix)
        for old, current in _OLD_SPELLINGS:
            new = re.sub(old, current, new)
        modern[name] = new
    return modern


def _pattern(template: str) -> re.Pattern:
    text = re.escape(template)
    return re.compile(
        text.replace(r"\*", "(?P<rest>.+)").replace(r"\#", r"(?P<layer>\d+)")
    )


def _is_stacked(ours: str, rules: Names) -> bool:
    return "#" in published_name(ours, rules)


def _fit(array: np.ndarray, shape: tuple, spelled: str, source: str) -> np.ndarray:
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]  # Published position embeddings have a leading axis of one.
    if array.shape != shape:
        raise WeightsError(
            f"{spelled} has shape {array.shape} in {source} and {shape} in the model: the file "
            "is of another configuration than the settings say"
        )
    if array.dtype.kind != "f":
        raise WeightsError(
            f"{spelled} holds {array.dtype} in {source}: expected float numbers"
        )
    return array
