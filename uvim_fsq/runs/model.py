"""What a trained model is to those that use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from uvim_fsq.settings.run import RunConfig
from uvim_fsq.types import Tree


@dataclass(frozen=True)
class TrainedStage:
    """The variables of a stage, and which ones they are.

    `record` has `step` and `hash`, and for stage II `seed` where it is known.
    """

    variables: Tree
    record: Mapping[str, Any]


@runtime_checkable
class Trained(Protocol):
    """A trained model: its settings, and the variables of its stages."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    @property
    def name(self) -> str:
        """What it is called: the name of its folder, or of its repository."""
        ...

    @property
    def config(self) -> RunConfig:
        """Its settings."""
        ...

    def stage1(self, checkpoint: str | None = None) -> TrainedStage:
        """Stage I; `checkpoint` is "best", "last", or what the settings say."""
        ...

    def stage2(
        self, seed: int | None = None, stage1: TrainedStage | None = None
    ) -> TrainedStage | None:
        """Stage II with a seed, by default the first there is; None if there is none.

        `stage1` is that of this model, if it has been read: the two are checked to belong together.
        """
        ...

    def details(self) -> Mapping[str, Any]:
        """What is known of it beside its settings, such as scores."""
        ...
