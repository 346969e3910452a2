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
from uvim_fsq.errors import ConfigError
from uvim_fsq.files import write_text
from uvim_fsq.markup import json_text
from uvim_fsq.runs.identity import (
    how_to_train_longer,
    identity_differences,
    older_split,
)
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
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

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are whole: others have names of their own."""
        names = [path.name for path in self.checkpoints.glob("*")]
        return sorted(int(name) for name in names if re.fullmatch(r"\d+", name))

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

    def link_stage1(self, other: Path | None) -> None:
        """Stage II of this run is trained on another model's stage I, or on its own (None)."""
        if other is None:
            self._link.unlink(missing_ok=True)
        else:
            write_json(self._link, {"run": str(other.resolve())})

    @property
    def _link(self) -> Path:
        return self.path / "stage1.json"

    def stage1_link(self) -> Path | None:
        """Where the model lies, or lay, whose stage I this run's stage II is trained on; None: its own."""
        if not self._link.exists():
            return None
        return Path(json.loads(self._link.read_text())["run"])

    def linked_stage1(self) -> Path | None:
        """As `stage1_link`.

        Raises:
          ConfigError: if it is gone.
        """
        other = self.stage1_link()
        if other is not None and not other.exists():
            raise ConfigError(
                f"{self.path} uses the stage I of {other}, which does not exist any more: "
                f"put it back, or change the path in {self._link}"
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

    @property
    def data_file(self) -> Path:
        """What identifies the data of the run, see `build.run_data`."""
        return self.path / "data.json"

    @property
    def data_names(self) -> Path:
        """The names of the data's examples."""
        return self.path / "data"

    def latest_steps(self) -> dict[str, int]:
        """The step of the last checkpoint of every training, by its folder."""
        folders = [self.stage1, *map(self.stage2, self.stage2_seeds())]
        return {
            folder.path.relative_to(self.path).as_posix(): max(steps)
            for folder in folders
            if (steps := folder.steps())
        }

    def open(self, config: RunConfig, *, new_data: bool = False) -> None:
        """Makes the folder for these settings, or finds it made for the same.

        Where it logs, evaluates and saves may change; what the models are may not. Where the data lie
        may change if the run has noted which they are; with `new_data` all settings of data may.

        Raises:
          ConfigError: if the folder holds a run with other settings, naming what differs.
        """
        if self.config_file.exists():
            before = as_json.load(self.config_file)
            free = "all" if new_data else "places" if self.data_file.exists() else ""
            differences = identity_differences(before, config, free)
            if differences:
                if longer := how_to_train_longer(self.path, before, config):
                    raise ConfigError(longer)
                only_data = all(each.startswith("data.") for each in differences)
                same = older_split(differences)
                choice = ", or --new-data to go on with these data"
                choice = choice if only_data and not same else ""
                raise ConfigError(
                    f"{self.path} holds a run with other settings ({'; '.join(differences)}): "
                    "choose another --output.directory, or give the same settings to continue"
                    f"{same}{choice}"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        as_json.save(config, self.config_file)
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
        return as_json.load(self.config_file)


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
