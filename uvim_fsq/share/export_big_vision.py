"""Writes a trained model in the format of the published UViM checkpoints, for the public code."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.errors import ConfigError, WeightsError
from uvim_fsq.files import temporary
from uvim_fsq.markup import json_text
from uvim_fsq.models.uvim.settings import ModelConfig
from uvim_fsq.quantizers.settings import VQConfig
from uvim_fsq.runs.open import Trained
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.types import Tree
from uvim_fsq.weights.big_vision.names import STAGE1_NAMES, STAGE2_NAMES, Names, publish

_POSITIONS = {"learned": "learn", "sincos2d": "sincos2d"}
DESCRIPTION = "model.json"


def export_big_vision(trained: Trained, folder: Path) -> list[Path]:
    """Writes `stage1.npz`, `stage2.npz` if there is a stage II, and `model.json`.

    The last holds the constructor arguments of the public models by stage, the task and, for
    depth, its range. The folder is new, and written whole or not at all.

    Returns:
      The files written.

    Raises:
      ConfigError: if the public code has no such model.
      WeightsError: if the folder is there already.
    """
    config = trained.config
    description = public_arguments(config)
    if folder.exists():
        raise WeightsError(f"{folder} is there already: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(folder)
    new.mkdir()
    try:
        _save(new / "stage1.npz", trained.stage1().variables, STAGE1_NAMES)
        stage2 = trained.stage2()
        if stage2 is None:
            del description["stage2"]
        else:
            _save(new / "stage2.npz", stage2.variables, STAGE2_NAMES)
        text = json_text(description, indent=2) + "\n"
        (new / DESCRIPTION).write_text(text, encoding="utf-8")
        new.replace(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return sorted(folder.iterdir())


def public_arguments(config: RunConfig) -> dict[str, Any]:
    """What a model is in the words of the public code: `task`, `stage1`, `stage2`.

    Raises:
      ConfigError: if the public code has no such model.
    """
    quantizer = config.quantizer
    if not isinstance(quantizer, VQConfig):
        raise ConfigError(
            f"this model's quantizer is {quantizer.kind}, and the public UViM code and its format "
            "know vq only: export a model of a vq variant"
        )
    two = config.stage2.model
    if two.encoder_depth != two.decoder_depth:
        raise ConfigError(
            f"stage II has {two.encoder_depth} encoder and {two.decoder_depth} decoder layers, and "
            "the public UViM code has one number for both: export a model with as many"
        )
    result = {"task": config.task.kind, **config.task.public_arguments()}
    return result | {
        "stage1": _stage1(config, quantizer),
        "stage2": {
            "input_size": list(config.task.image_size),
            "patches": {"size": list(two.patch_size)},
            "num_layers": two.encoder_depth,
            "emb_dim": two.width,
            **_transformer(two),
            "posemb_type": _POSITIONS[two.positions],
            "seq_len": config.stage1.model.code_length,
            "vocab_size": quantizer.codebook_size + 1,
        },
    }


def _stage1(config: RunConfig, quantizer: VQConfig) -> dict[str, Any]:
    model = config.stage1.model
    pixels = model.patch_size[0] * model.patch_size[1]
    channels = {
        name: [classes, pixels]
        for name, classes in sorted(config.task.build().channels.items())
    }
    return {
        "inputs": channels,
        "outputs": channels,
        "input_size": list(config.task.image_size),
        "patch_size": list(model.patch_size),
        "code_len": model.code_length,
        "width": model.width,
        "enc_depth": model.encoder_depth,
        "dec_depth": model.decoder_depth,
        **_transformer(model),
        "posemb": _POSITIONS[model.positions],
        "dict_size": quantizer.codebook_size,
        "codeword_dim": quantizer.code_dim,
        "with_encoder_ctx": model.encoder_context,
        "with_decoder_ctx": model.decoder_context,
        "bottleneck_resize": model.resize == "linear",
    }


def _transformer(model: ModelConfig) -> dict[str, int]:
    return {"mlp_dim": model.mlp_width, "num_heads": model.num_heads}


def _save(path: Path, variables: Tree, names: Names) -> None:
    arrays: dict[str, Any] = dict(publish(variables, names))
    np.savez(path, allow_pickle=False, **arrays)
