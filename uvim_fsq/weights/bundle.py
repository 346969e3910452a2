"""The files of a bundle, a trained model that is kept or shared: `model.safetensors`, `config.json`
and `README.md`, the model card.

The arrays are named `stage1/params/...`, `stage1/codebook/...` and `stage2/params/...`; a bundle
may hold stage I alone. The header of `model.safetensors` carries the version of the format and
`details`, what is known of the model beside its settings. `config.json` has the form of a run's.
Nothing in a bundle is code, and loading one runs none. Arrays are read one by one, when they are asked for.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.errors import WeightsError
from uvim_fsq.files import temporary
from uvim_fsq.types import Tree

VERSION = 1
"""Of the format. Raised when a reader of the old one would misread the new one."""
WEIGHTS, SETTINGS, CARD = "model.safetensors", "config.json", "README.md"
_KEY = "uvim_fsq_bundle"
_LFS = b"version https://git-lfs.github.com/spec/"
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
      stages: variables by stage, `{"stage1": {"params": ..., "codebook": ...}, "stage2": ...}`.
      details: plain values, see `uvim_fsq.share.bundle`.
    """

    stages: Mapping[str, Tree]
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Header:
    """What a bundle tells before any array is read: the names of its stages, and its details."""

    stages: tuple[str, ...]
    details: Mapping[str, Any]


def is_bundle(folder: Path) -> bool:
    """Whether a folder holds a bundle's weights."""
    return (folder / WEIGHTS).is_file()


def write(folder: Path, bundle: Bundle, settings: str, card: str) -> None:
    """Writes a new folder, whole or not at all; `settings` is the text of `config.json`.

    The files are readable by everybody, as far as the folders above are.

    Raises:
      WeightsError: if the folder is there already.
    """
    from safetensors.numpy import save_file

    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary(folder)
    new.mkdir()
    try:
        arrays = {
            name: np.ascontiguousarray(jax.device_get(array))
            for name, array in _flatten(bundle.stages).items()
        }
        # In one entry, because the library writes several in any order.
        about = {"version": VERSION, "details": dict(bundle.details)}
        metadata = {_KEY: json.dumps(about, sort_keys=True, allow_nan=False)}
        save_file(arrays, new / WEIGHTS, metadata)
        (new / SETTINGS).write_text(settings, encoding="utf-8")
        (new / CARD).write_text(card, encoding="utf-8")
        for name in (WEIGHTS, SETTINGS, CARD):
            (new / name).chmod(0o644)
        new.chmod(0o755)
        new.replace(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def check_free(folder: Path) -> None:
    """Raises WeightsError if the folder is there: bundles are written to new ones."""
    if folder.exists() or folder.is_symlink():
        raise WeightsError(f"{folder} is there already: name another folder")


def read_header(folder: Path) -> Header:
    """Stages and details of a bundle; reads no array.

    Raises:
      WeightsError: if the file of weights is missing, cannot be read, or is of a newer version.
    """
    with _opened(folder) as (file, details):
        return Header(
            tuple(sorted({name.split("/")[0] for name in file.keys()})), details
        )


def read_stage(folder: Path, stage: str, expected: Tree) -> Tree:
    """The variables of a stage as JAX arrays.

    Names, shapes and dtypes are compared with what the model expects (arrays or
    `jax.ShapeDtypeStruct`) before the first array is read.

    Raises:
      WeightsError: as `read_header`; and naming the arrays that are missing, unknown, or of
        another shape or dtype.
    """
    with _opened(folder) as (file, _):
        names = [name for name in file.keys() if name.startswith(f"{stage}/")]
        found = {}
        for name in names:
            view = file.get_slice(name)
            dtype = _DTYPES.get(view.get_dtype(), view.get_dtype())
            found[name.removeprefix(f"{stage}/")] = (tuple(view.get_shape()), dtype)
        _check_fit(folder, stage, found, expected)
        arrays = {
            name.removeprefix(f"{stage}/"): jnp.asarray(file.get_tensor(name))
            for name in names
        }
    return flax.traverse_util.unflatten_dict(arrays, sep="/")


def fitted(folder: Path, stage: str, variables: Tree, expected: Tree) -> Tree:
    """The variables of a stage, after checking that they are those that the model expects.

    Raises:
      WeightsError: naming the arrays that are missing, unknown, or of another shape or dtype.
    """
    _check_fit(folder, stage, _forms(variables), expected)
    return variables


def _forms(tree: Tree) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        name: (tuple(array.shape), str(array.dtype))
        for name, array in _flatten(tree).items()
    }


def _check_fit(
    folder: Path,
    stage: str,
    found: Mapping[str, tuple[tuple[int, ...], str]],
    expected: Tree,
) -> None:
    wanted = _forms(expected)
    faults = [
        f"{name}: expected {shape} {dtype}, found "
        + (" ".join(map(str, found[name])) if name in found else "none")
        for name, (shape, dtype) in wanted.items()
        if found.get(name) != (shape, dtype)
    ]
    faults += [f"{name}: not expected" for name in found if name not in wanted]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(
            f"{folder / WEIGHTS} does not fit its {SETTINGS} ({stage}: {'; '.join(faults[:5])}"
            f"{more}): take both files from one bundle"
        )


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file of weights, open, and the details from its header."""
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{folder} is not a bundle: expected {WEIGHTS} in it")
    _check_not_a_pointer(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file, _details(path, file.metadata() or {})
    except WeightsError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read ({error}): it may be truncated or of another format; copy or "
            "download it again"
        ) from error


def _check_not_a_pointer(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        raise WeightsError(
            f"{path} is a pointer of Git LFS, not the weights: run `git lfs install` once and "
            "`git lfs pull` in the repository"
        )


def _details(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The details in a file's header, after a look at the version."""
    if _KEY not in metadata:
        raise WeightsError(
            f"{path} holds no model of uvim-fsq: expected {_KEY!r} in its header"
        )
    about = json.loads(metadata[_KEY])
    version = about.get("version") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(f"{_KEY!r} in its header has no version")
    if version > VERSION:
        raise WeightsError(
            f"{path} has version {version}, from a newer uvim-fsq; this one reads versions up "
            f"to {VERSION}: update uvim-fsq"
        )
    details = about.get("details", {})
    if not isinstance(details, dict):
        raise ValueError("the details in its header are no JSON object")
    return details


def _flatten(tree: Any) -> dict[str, Any]:
    return flax.traverse_util.flatten_dict(tree, sep="/")
