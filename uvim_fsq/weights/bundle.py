"""The files of a bundle, a trained model that is kept or shared: `model.safetensors`, `config.json`
and `README.md`, the model card.

The arrays are named `stage1/params/...`, `stage1/codebook/...` and `stage2/params/...`; a bundle
may hold stage I alone. The header of `model.safetensors` carries the version of the format and
`details`, what is known of the model beside its settings. `config.json` has the form of a run's.
Nothing in a bundle is code, and loading one runs none.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import numpy as np

from uvim_fsq.types import Tree
from uvim_fsq.weights.errors import WeightsError

VERSION = 1
"""Of the format. Raised when a reader of the old one would misread the new one."""
WEIGHTS, SETTINGS, CARD = "model.safetensors", "config.json", "README.md"
_VERSION_KEY, _DETAILS_KEY = "uvim_fsq_bundle", "details"


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
      stages: variables by stage, `{"stage1": {"params": ..., "codebook": ...}, "stage2": ...}`.
      details: plain values, see `uvim_fsq.build.bundles`.
    """

    stages: Mapping[str, Tree]
    details: Mapping[str, Any]


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle's weights."""
    return (folder / WEIGHTS).is_file()


def write(folder: Path, bundle: Bundle, settings: str, card: str) -> None:
    """Writes a new folder, whole or not at all; `settings` is the text of `config.json`.

    Raises:
      WeightsError: if the folder is there already.
    """
    from safetensors.numpy import save_file

    if folder.exists():
        raise WeightsError(f"{folder} is there already: name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        arrays = {
            name: np.ascontiguousarray(jax.device_get(array))
            for name, array in _flatten(bundle.stages).items()
        }
        metadata = {
            _VERSION_KEY: str(VERSION),
            _DETAILS_KEY: json.dumps(dict(bundle.details), sort_keys=True),
        }
        save_file(arrays, temporary / WEIGHTS, metadata)
        (temporary / SETTINGS).write_text(settings)
        (temporary / CARD).write_text(card)
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(folder: Path) -> Bundle:
    """The arrays (NumPy) and details of a bundle.

    Raises:
      WeightsError: if a file is missing, cannot be read, or is of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{folder} is not a bundle: expected {WEIGHTS} in it")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_version(path, metadata)
            arrays = {name: file.get_tensor(name) for name in file.keys()}
            details = json.loads(metadata.get(_DETAILS_KEY, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{path} cannot be read ({error}): it may be truncated or of another format"
        ) from error
    return Bundle(flax.traverse_util.unflatten_dict(arrays, sep="/"), details)


def fitted(folder: Path, stage: str, variables: Tree, expected: Tree) -> Tree:
    """The variables of a stage, after checking that they are those that the model expects.

    Raises:
      WeightsError: naming the arrays that are missing, unknown, or of another shape or dtype.
    """
    found, wanted = _flatten(variables), _flatten(expected)
    faults = [
        f"{name}: expected {tuple(array.shape)} {array.dtype}, "
        + (
            f"found {tuple(found[name].shape)} {found[name].dtype}"
            if name in found
            else "missing"
        )
        for name, array in wanted.items()
        if name not in found
        or (found[name].shape, found[name].dtype) != (array.shape, array.dtype)
    ]
    faults += [f"{name}: not expected" for name in found if name not in wanted]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(
            f"{folder / WEIGHTS} does not fit its {SETTINGS} ({stage}: {'; '.join(faults[:5])}"
            f"{more}): take both files from one bundle"
        )
    return variables


def _check_version(path: Path, metadata: Mapping[str, str]) -> None:
    version = metadata.get(_VERSION_KEY, "")
    if not version.isdecimal():
        raise WeightsError(
            f"{path} holds no model of uvim-fsq: expected {_VERSION_KEY!r} in its header"
        )
    if int(version) > VERSION:
        raise WeightsError(
            f"{path} has version {version}, from a newer uvim-fsq; this one reads versions up "
            f"to {VERSION}: update uvim-fsq"
        )


def _flatten(tree: Any) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(tree, sep="/")
