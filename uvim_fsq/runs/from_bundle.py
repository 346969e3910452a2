"""The trained model of a bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from uvim_fsq.errors import ConfigError, WeightsError
from uvim_fsq.evaluation.scores import with_numbers
from uvim_fsq.models.uvim import build
from uvim_fsq.runs.directory import tree_hash
from uvim_fsq.runs.model import TrainedStage
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.types import Tree
from uvim_fsq.weights import bundle, hub


def open_bundle(path: Path) -> "BundleModel":
    """The model of a bundle; reads its settings, and its arrays when they are asked for.

    Raises:
      WeightsError: if there are no settings.
      ConfigError: if they cannot be used, for instance because they are of a newer version.
    """
    if not (path / bundle.SETTINGS).is_file():
        raise WeightsError(
            f"{path} holds {bundle.WEIGHTS} and no {bundle.SETTINGS}, which says what model that "
            "is: copy or download the whole bundle"
        )
    return BundleModel(path, as_json.load(path / bundle.SETTINGS))


@dataclass(frozen=True)
class BundleModel:
    """The model of a bundle, from `open_bundle`."""

    path: Path
    config: RunConfig

    @property
    def name(self) -> str:
        """Of the folder, or of the repository on the Hugging Face Hub."""
        path = self.path.resolve()
        return hub.cached_name(path) or path.name

    def stage1(self, checkpoint: str | None = None) -> TrainedStage:
        """Stage I; a bundle holds one checkpoint."""
        del checkpoint
        stage = self._stage("stage1")
        if stage is None:
            raise WeightsError(f"{self.path / bundle.WEIGHTS} holds no stage I")
        return stage

    def stage2(
        self, seed: int | None = None, stage1: TrainedStage | None = None
    ) -> TrainedStage | None:
        """Stage II, if it is there; a bundle holds one.

        Raises:
          ConfigError: if it is known to be of another seed.
        """
        del stage1  # The stages of a bundle were saved together.
        held = self.details().get("stage2_seed")
        if seed is not None and held not in (None, seed):
            raise ConfigError(
                f"{self.path} holds stage II of seed {held}, and seed {seed} was asked for: "
                "leave the seed out, or give the run that it comes from"
            )
        stage = self._stage("stage2")
        if stage is None or held is None:
            return stage
        return TrainedStage(stage.variables, {**stage.record, "seed": held})

    def details(self) -> Mapping[str, Any]:
        """As written into the bundle, of the scores those that are numbers."""
        details = bundle.read_header(self.path).details
        if not details.get("scores"):
            return details
        return {**details, "scores": with_numbers(details["scores"])}

    def _stage(self, name: str) -> TrainedStage | None:
        header = bundle.read_header(self.path)
        if name not in header.stages:
            return None
        expected = expected_variables(self.config, name)
        variables = bundle.read_stage(self.path, name, expected)
        record = {"step": header.details.get("steps", {}).get(name)}
        return TrainedStage(variables, record | {"hash": tree_hash(variables)})


def expected_variables(config: RunConfig, stage: str) -> Tree:
    """Shapes and dtypes of the variables of `stage1` or `stage2` of a model with these settings."""
    if stage == "stage1":
        task = config.task.build()
        model = build.build_stage1(config, task)
        init = partial(build.init_stage1, model, task)
    else:
        init = partial(build.init_stage2, build.build_stage2(config))
    return dict(jax.eval_shape(init, jax.random.key(0)))
