"""A trained model wherever it is kept: a run directory, or a bundle here or on the Hugging Face Hub."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from uvim_fsq.errors import ConfigError, WeightsError
from uvim_fsq.evaluation.scores import own_scores
from uvim_fsq.fields import replace
from uvim_fsq.models.uvim import build
from uvim_fsq.runs.directory import RunDirectory, StageDirectory, tree_hash
from uvim_fsq.runs.from_bundle import BundleModel, expected_variables, open_bundle
from uvim_fsq.runs.model import Trained, TrainedStage
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.state import abstract_state
from uvim_fsq.types import Tree
from uvim_fsq.weights import bundle, hub

__all__ = [
    "BundleModel",
    "RunModel",
    "Trained",
    "TrainedStage",
    "expected_variables",
    "open_trained",
]


def open_trained(model: str | Path) -> Trained:
    """The model at a path, or of a name on the Hugging Face Hub if there is no such path.

    Names are OWNER/NAME, with @REVISION after it or hf:// before, which no path is mistaken for.

    Raises:
      ConfigError: if there is no model there.
      WeightsError: if a bundle cannot be read or fetched.
    """
    path, text = Path(model), str(model)
    if not path.exists() and hub.is_name(text):
        if not hub.is_address(text) and path.parent.is_dir():
            raise ConfigError(
                f"{path} is not there{_nearest(path)}; if a model on the Hugging Face Hub is meant "
                f"and not the folder {path.parent} here, write hf://{path}"
            )
        path = hub.snapshot(text)
    if bundle.is_bundle(path):
        return open_bundle(path)
    if (path / bundle.CARD).is_file() and not (path / "stage1").exists():
        raise WeightsError(
            f"{path} is a bundle without its {bundle.WEIGHTS}: copy or download it again"
        )
    if (path / bundle.SETTINGS).is_file():
        return RunModel(path)
    raise ConfigError(
        f"{path} is no trained model: expected a run, as `uvim-fsq train` writes it, a bundle, as "
        "`uvim-fsq export` writes it, or OWNER/NAME on the Hugging Face Hub; found "
        f"{_found(path)}"
    )


def _found(path: Path) -> str:
    if path.is_dir():
        return f"a folder without {bundle.SETTINGS} or {bundle.WEIGHTS}"
    if path.name == bundle.WEIGHTS and path.is_file():
        return f"a file of a bundle: name its folder, {path.parent}"
    if path.suffix == ".npz" and path.is_file():
        return (
            "a .npz file: make a bundle of it first (uvim-fsq import-big-vision --help)"
        )
    return "a file" if path.exists() else f"nothing there{_nearest(path)}"


def _nearest(path: Path) -> str:
    """A question that offers folders beside a path that is not there, or nothing."""
    if not path.parent.is_dir():
        return ""
    names = [folder.name for folder in path.parent.iterdir() if folder.is_dir()]
    close = difflib.get_close_matches(path.name, names, n=3)
    offers = " or ".join(str(path.parent / name) for name in close)
    return f" (did you mean {offers}?)" if offers else ""


@dataclass(frozen=True)
class RunModel:
    """The model of a run directory; `own_stage1` leaves out a link to another's stage I."""

    path: Path
    own_stage1: bool = False

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name

    @property
    def run(self) -> RunDirectory:
        """The directory's structure."""
        return RunDirectory(self.path)

    @property
    def config(self) -> RunConfig:
        """The settings of the run."""
        return self.run.config()

    def stage1(self, checkpoint: str | None = None) -> TrainedStage:
        """Stage I of the run, or of the model that it takes its stage I from."""
        linked = None if self.own_stage1 else self.run.linked_stage1()
        if linked is not None:
            return open_trained(linked).stage1(checkpoint or self.config.checkpoint)
        config = replace(self.config, checkpoint=checkpoint or self.config.checkpoint)
        task = config.task.build()
        model = build.build_stage1(config, task)
        variables, step = _restore(
            self.run.stage1,
            config,
            lambda key: build.init_stage1(model, task, key),
            1,
        )
        return TrainedStage(variables, {"step": step, "hash": tree_hash(variables)})

    def stage2(
        self, seed: int | None = None, stage1: TrainedStage | None = None
    ) -> TrainedStage | None:
        """Stage II of the run; refused if it was trained on another stage I."""
        seeds = self.run.stage2_seeds()
        if not seeds:
            return None
        seed = seeds[0] if seed is None else seed
        directory = self.run.stage2(seed)
        model = build.build_stage2(self.config)
        expected = {"stage1": dict((stage1 or self.stage1()).record)}
        variables, step = _restore(
            directory,
            self.config,
            lambda key: build.init_stage2(model, key),
            2,
            expected,
        )
        record = {"step": step, "hash": tree_hash(variables), "seed": seed}
        return TrainedStage(variables, record)

    def details(self, seed: int | None = None) -> Mapping[str, Any]:
        """Versions; scores if it was evaluated; the data of a stage I that is another model's.

        The scores are those of its own data with the stage II of a seed, by default the first.
        """
        details: dict[str, Any] = {}
        file = self.path / "environment.json"
        if file.is_file():
            details["versions"] = json.loads(file.read_text())
        scores = own_scores(self.path, seed)
        if scores is not None:
            details["scores"] = scores
        linked = self.run.linked_stage1()
        if linked is not None:
            other = open_trained(linked)
            data = as_json.to_dict(other.config.data)
            details["stage1_data"] = other.details().get("stage1_data", data)
        return details


def _restore(
    directory: StageDirectory,
    config: RunConfig,
    init,
    stage: int,
    expected: Mapping[str, Any] | None = None,
) -> tuple[Tree, int]:
    """Variables and step of the checkpoint that the settings choose; averaged, if it has that."""
    if not directory.checkpoints.exists():
        raise ConfigError(
            f"{directory.path} holds no checkpoint: train stage {stage} first "
            f"(uvim-fsq train ... --stage {stage})"
        )
    settings = config.stage1 if stage == 1 else config.stage2
    # The optimizer's state has the shapes that its settings give; its values are not used.
    optimizer, _ = build.build_optimizer(
        settings, max(settings.steps or 0, settings.warmup_steps + 1)
    )
    shapes = dict(jax.eval_shape(init, jax.random.key(0)))
    params = shapes.pop("params")
    with Checkpoints(directory.checkpoints, read_only=True) as checkpoints:
        best = config.checkpoint == "best"
        restore = checkpoints.restore_best if best else checkpoints.restore_latest
        averaged = settings.average_decay > 0
        restored = restore(abstract_state(params, shapes, optimizer, averaged=averaged))
    if restored is None:
        raise ConfigError(
            f"{directory.checkpoints} holds no complete checkpoint yet: train stage {stage} "
            "for longer"
        )
    state, metadata = restored
    for name, value in (expected or {}).items():
        if metadata.get(name) != value:
            raise ConfigError(
                f"{directory.path} was trained on another stage I ({metadata.get(name)}) than "
                f"the one here ({value}): predict with the stage I it was trained on"
            )
    return {"params": state.weights, **state.collections}, int(metadata["step"])
