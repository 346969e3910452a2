"""Where a run keeps what: `RUN/config.json`, `RUN/stage1/`, `RUN/stage2/seed_N/`."""

import hashlib
import json
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import uvim_fsq
from uvim_fsq import config_json
from uvim_fsq.config import ConfigError, RunConfig
from uvim_fsq.files import write_text
from uvim_fsq.markup import json_text
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class StageDirectory:
    """The folder of one training: checkpoints, logs, and a marker when it is finished."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Orbax checkpoints: the last and the best."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object per log entry."""
        return self.path / "metrics.jsonl"

    @property
    def done(self) -> Path:
        """Exists once the last step is saved; says how it ended."""
        return self.path / "done.json"


@dataclass(frozen=True)
class RunDirectory:
    """The folder of a run."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    @property
    def stage1(self) -> StageDirectory:
        """Stage I."""
        return StageDirectory(self.path / "stage1")

    def link_stage1(self, other: Path) -> None:
        """Stage II of this run is trained on another run's stage I."""
        if other.resolve() != self.path.resolve():
            write_json(self.path / "stage1.json", {"run": str(other.resolve())})

    def linked_stage1(self) -> Path | None:
        """The run or bundle whose stage I this run's stage II is trained on; None if it is its own.

        Raises:
          ConfigError: if it is gone.
        """
        link = self.path / "stage1.json"
        if not link.exists():
            return None
        other = Path(json.loads(link.read_text())["run"])
        if not other.exists():
            raise ConfigError(
                f"{self.path} uses the stage I of {other}, which does not exist any more: "
                f"put it back, or change the path in {link}"
            )
        return other

    def stage2(self, seed: int) -> StageDirectory:
        """Stage II with one seed."""
        return StageDirectory(self.path / "stage2" / f"seed_{seed}")

    def stage2_seeds(self) -> list[int]:
        """Seeds of the stage-II trainings that are there."""
        names = [path.name for path in (self.path / "stage2").glob("seed_*")]
        # Others, such as a copy of one, are not this program's.
        return sorted(
            int(n[5:]) for n in names if re.fullmatch(r"seed_(0|-?[1-9]\d*)", n)
        )

    def open(self, config: RunConfig) -> None:
        """Makes the folder for these settings, or finds it made for the same.

        Where it logs, evaluates and saves may change; what the models are may not.

        Raises:
          ConfigError: if the folder holds a run with other settings, naming what differs.
        """
        if self.config_file.exists():
            differences = identity_differences(
                config_json.load(self.config_file), config
            )
            if differences:
                raise ConfigError(
                    f"{self.path} holds a run with other settings ({'; '.join(differences)}): "
                    "choose another --output.directory, or give the same settings to continue"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        config_json.save(config, self.config_file)
        write_json(self.path / "environment.json", environment())

    def config(self) -> RunConfig:
        """The settings of the run.

        Raises:
          ConfigError: if this is no run directory.
        """
        if not self.config_file.exists():
            raise ConfigError(
                f"{self.path} is not a run directory: expected config.json in it, as "
                "`uvim-fsq train` writes it"
            )
        return config_json.load(self.config_file)


MEMORY_SETTINGS = ("rematerialize", "head_memory_mb")
"""Of models: they change no result, and a run that was out of memory may go on with others."""


def identity_differences(old: RunConfig, new: RunConfig) -> list[str]:
    """What identifies a run and is not the same in both, as sentences."""
    trees = [config_json.to_dict(config) for config in (old, new)]
    for tree in trees:
        for changeable in ("output", "evaluation", "loader_threads"):
            tree.pop(changeable, None)
        for stage in ("stage1", "stage2"):
            for changeable in MEMORY_SETTINGS:
                tree[stage]["model"].pop(changeable, None)
    return differences(trees[0], trees[1])


def differences(old: Any, new: Any, limit: int = 5) -> list[str]:
    """The leaves in which two trees of settings differ, as sentences."""
    flat = [dict(_flatten(tree)) for tree in (old, new)]
    names = sorted(set(flat[0]) | set(flat[1]))
    found = [
        f"{name} is {_short(flat[0].get(name))} there and {_short(flat[1].get(name))} here"
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return found[:limit] + more


def _short(value: Any, length: int = 60) -> str:
    if isinstance(value, list) and len(str(value)) > length:
        return f"a list of {len(value)}"
    return str(value)


def _flatten(tree: Any, prefix: str = ""):
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, tree


def environment() -> dict[str, Any]:
    """Versions and hardware, for the record."""
    return {
        "uvim_fsq": uvim_fsq.__version__,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "devices": [device.device_kind for device in jax.devices()],
        "cores": os.cpu_count(),
    }


def write_json(path: Path, data: Any) -> None:
    """Writes a JSON file under a temporary name and renames it."""
    write_text(path, json_text(data, indent=2, sort_keys=True) + "\n")


def tree_hash(tree: Tree) -> str:
    """A short hash of all arrays of a tree, their names and shapes."""
    digest = hashlib.sha256()
    for path, array in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(jax.device_get(array))
        digest.update(
            f"{jax.tree_util.keystr(path)} {array.shape} {array.dtype}".encode()
        )
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
