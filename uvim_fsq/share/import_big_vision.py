"""Makes bundles of published UViM checkpoints: settings from the shapes of the arrays, then weights.

The public files say nothing of their model beside the arrays. What these do not tell (the sizes of
an image with fixed position embeddings, the length of a code with linear resizing and no stage II,
the range of depths, the names of classes) is asked for or taken from the published runs.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uvim_fsq.data.categories import COCO_CATEGORIES
from uvim_fsq.errors import ConfigError, WeightsError
from uvim_fsq.fields import replace
from uvim_fsq.quantizers.settings import VQConfig
from uvim_fsq.runs.open import expected_variables
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.share.bundle import write_model
from uvim_fsq.tasks.panoptic.settings import CategoryConfig
from uvim_fsq.types import Category, Tree
from uvim_fsq.weights.big_vision.names import (
    STAGE1_NAMES,
    STAGE2_NAMES,
    find,
    translate,
)
from uvim_fsq.weights.big_vision.shapes import (
    Headers,
    Stage1Shape,
    Stage2Shape,
    TransformerShape,
    stage1_shape,
    stage2_shape,
    stage_of,
)
from uvim_fsq.weights.big_vision.sizes import (
    PUBLISHED_CODE_LENGTH,
    Hints,
    code_length,
    image_size,
    patch_size,
)
from uvim_fsq.weights.npz import open_archive, read_headers

_CHANNELS = {
    "depth": {"depth"},
    "panoptic": {"semantics", "instances"},
    "colorization": {"color"},
}
_NAMES = {"stage1": STAGE1_NAMES, "stage2": STAGE2_NAMES}
_NO_HINTS = Hints()


@dataclass(frozen=True)
class Checkpoints:
    """Published files and what model they are of, told from their headers.

    Attributes:
      paths: by stage, `stage1` and perhaps `stage2`.
      config: the settings of the model, before any overrides.
      ignored: entries of each file that are not part of the model, by the first part of their name.
      assumed: what is taken from the published runs because neither files nor hints tell it.
    """

    paths: Mapping[str, Path]
    config: RunConfig
    ignored: Mapping[str, Mapping[str, int]]
    assumed: Sequence[str]


def inspect(
    paths: Sequence[Path],
    base: RunConfig,
    hints: Hints = _NO_HINTS,
    categories: Sequence[Category] | None = None,
) -> Checkpoints:
    """What model the files are of; reads no values.

    Args:
      paths: of stage I and, if there is one, of stage II.
      base: settings of the task, with VQ, for all that shapes do not tell.
      hints: what shapes alone may leave open.
      categories: of a panoptic model; COCO's 133 by default where their number fits.

    Raises:
      WeightsError: if a file cannot be read or is not what it should be, or the two do not fit.
      ConfigError: if the file is of another task, or hints are missing or wrong.
    """
    by_stage: dict[str, Path] = dict(zip(_NAMES, paths, strict=False))
    headers = {stage: read_headers(path) for stage, path in by_stage.items()}
    _check_stages(by_stage, headers)
    first = stage1_shape(headers["stage1"], by_stage["stage1"].name)
    second = None
    if "stage2" in headers:
        second = stage2_shape(headers["stage2"], by_stage["stage2"].name)
        _check_vocabulary(by_stage, first, second)
    _check_task(by_stage["stage1"], base, first)
    config = _settings(base, by_stage, first, second, hints, categories)
    told = (first.code_length, second and second.code_length, hints.code_length)
    assumed = []
    if not any(told):
        assumed.append(f"a code of {PUBLISHED_CODE_LENGTH} positions, as published")
    ignored = {stage: _ignored(headers[stage], _NAMES[stage]) for stage in by_stage}
    return Checkpoints(by_stage, config, ignored, assumed)


def import_checkpoints(
    checkpoints: Checkpoints, config: RunConfig, folder: Path, addresses: Sequence[str]
) -> dict[str, int]:
    """Writes the model as a new bundle, with these settings; returns parameters by stage.

    `addresses` are paths or URLs of the files, of which the bundle keeps what is not private.

    Raises:
      WeightsError: if the folder is there, a file cannot be read, or an array does not fit.
    """
    stages: dict[str, Tree] = {}
    for stage, path in checkpoints.paths.items():
        expected = expected_variables(config, stage)
        with open_archive(path) as arrays:
            stages[stage] = translate(arrays, _NAMES[stage], expected, path.name)
    names = " and ".join(map(_public, addresses))
    source = f"Imported from checkpoints in the format of big_vision: {names}."
    write_model(folder, config, stages, {"source": source})
    return {name: _count(tree["params"]) for name, tree in stages.items()}


def _public(address: str) -> str:
    """An address without query and password, or the name of a file."""
    address = address.split("?")[0]
    known = re.fullmatch(r"(gs|hf|https?)://[^@]+", address)
    return address if known else Path(address).name


def _count(tree: Tree) -> int:
    return (
        sum(map(_count, tree.values())) if isinstance(tree, Mapping) else int(tree.size)
    )


def _check_stages(paths: Mapping[str, Path], headers: Mapping[str, Headers]) -> None:
    found = {stage: stage_of(headers[stage]) for stage in paths}
    for stage, path in paths.items():
        if found[stage] is None:
            names = list(headers[stage])
            raise WeightsError(
                f"{path} holds no UViM model: expected a stage I (params/decoder_stem/kernel, "
                "state/dictionary, ...) or a stage II (params/EmbedPatches/kernel, ...), found "
                f"{len(names)} arrays{': ' if names else ''}{', '.join(names[:3])}"
            )
    if found == {"stage1": "stage2", "stage2": "stage1"}:
        raise WeightsError(
            f"{paths['stage1']} is a stage II and {paths['stage2']} a stage I: give stage I first"
        )
    if found["stage1"] == "stage2":
        raise WeightsError(
            f"{paths['stage1']} is a stage II: give its stage I first, and this one after it"
        )
    if found.get("stage2") == "stage1":
        raise WeightsError(
            f"{paths['stage2']} is a stage I too: give one stage I, and after it its stage II"
        )


def _check_vocabulary(
    paths: Mapping[str, Path], first: Stage1Shape, second: Stage2Shape
) -> None:
    if second.vocabulary_size != first.codebook_size + 1:
        raise WeightsError(
            f"{paths['stage2'].name} has a vocabulary of {second.vocabulary_size:,} tokens and "
            f"{paths['stage1'].name} a codebook of {first.codebook_size:,}: expected one token "
            f"more than codewords, {first.codebook_size + 1:,}; give the stage II that was "
            "trained on this stage I"
        )


def _check_task(path: Path, base: RunConfig, first: Stage1Shape) -> None:
    task, found = base.task.kind, set(first.channels)
    if found != _CHANNELS[task]:
        fitting = [name for name, names in _CHANNELS.items() if names == found]
        advice = (
            f"give --task {fitting[0]}" if fitting else "it is of no task known here"
        )
        raise ConfigError(
            f"{path.name} predicts {' and '.join(sorted(found))}, and --task {task} expects "
            f"{' and '.join(sorted(_CHANNELS[task]))}: {advice}"
        )
    if task == "colorization" and first.channels["color"] != 3:
        raise ConfigError(
            f"{path.name} predicts {first.channels['color']} values per pixel, and colours "
            "have 3: it is of no task known here"
        )


def _settings(
    base: RunConfig,
    paths: Mapping[str, Path],
    first: Stage1Shape,
    second: Stage2Shape | None,
    hints: Hints,
    categories: Sequence[Category] | None,
) -> RunConfig:
    """The settings of the base with all that the shapes tell."""
    names = {stage: path.name for stage, path in paths.items()}
    patch = patch_size(first, second, hints, names)
    size = image_size(first, second, patch, hints, names)
    assert isinstance(base.quantizer, VQConfig)
    quantizer = replace(
        base.quantizer, codebook_size=first.codebook_size, code_dim=first.code_dim
    )
    model1 = replace(
        base.stage1.model,
        **_transformer(first.transformer),
        patch_size=patch,
        code_length=code_length(first, second, hints, names),
        resize="learned" if first.code_length is not None else "linear",
        encoder_context=first.encoder_context,
        decoder_context=first.decoder_context,
    )
    model2 = replace(base.stage2.model, patch_size=patch)
    if second is not None:
        sizes = _transformer(second.transformer)
        model2 = replace(model2, **sizes, patch_size=second.patch_size)
    return replace(
        base,
        task__image_size=size,
        **_task(base, paths["stage1"].name, first, categories),
        quantizer=quantizer,
        stage1__model=model1,
        stage2__model=model2,
        stage2__pretrained_encoder="",
        checkpoint="last",
    )


def _transformer(shape: TransformerShape) -> dict:
    return dict(
        width=shape.width,
        num_heads=shape.num_heads,
        mlp_width=shape.mlp_width,
        encoder_depth=shape.encoder_depth,
        decoder_depth=shape.decoder_depth,
        positions="sincos2d" if shape.positions is None else "learned",
    )


def _task(
    base: RunConfig,
    source: str,
    first: Stage1Shape,
    categories: Sequence[Category] | None,
) -> dict:
    """Changes to the settings of the task."""
    if base.task.kind != "panoptic":
        if categories is not None:
            raise ConfigError(
                f"categories are for panoptic models, and --task is {base.task.kind}: leave "
                "--categories out"
            )
        bins = first.channels.get("depth")
        return {} if bins is None else {"task__bins": bins}
    classes = first.channels["semantics"]
    if categories is None and classes == len(COCO_CATEGORIES) + 1:
        categories = COCO_CATEGORIES
    if categories is not None and len(categories) != classes - 1:
        raise ConfigError(
            f"{source} has {classes} classes, void included, and there are {len(categories)} "
            f"categories: expected {classes - 1}"
        )
    return {
        "task__classes": classes,
        "task__instances": first.channels["instances"],
        "task__categories": tuple(
            CategoryConfig(c.id, c.name, c.isthing, c.color) for c in categories or ()
        ),
    }


def _ignored(headers: Headers, rules) -> dict[str, int]:
    known = {name for names in find(headers, rules).values() for name in names.values()}
    return Counter(name.split("/")[0] for name in headers if name not in known)
