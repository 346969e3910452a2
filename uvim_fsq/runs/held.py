"""A trained model whose stages are in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvim_fsq.runs.open import RunModel, Trained, TrainedStage
from uvim_fsq.settings.run import RunConfig


@dataclass(frozen=True, eq=False)
class HeldModel:
    """A `Trained` that was read once: what is used is what is saved, even if its run goes on."""

    path: Path
    name: str
    config: RunConfig
    held: Mapping[str, TrainedStage]
    notes: Mapping[str, Any]

    def stage1(self, checkpoint: str | None = None) -> TrainedStage:
        """Stage I, of the checkpoint that was read."""
        del checkpoint
        return self.held["stage1"]

    def stage2(
        self, seed: int | None = None, stage1: TrainedStage | None = None
    ) -> TrainedStage | None:
        """Stage II, of the seed that was read; None if there is none."""
        del seed, stage1
        return self.held.get("stage2")

    def details(self) -> Mapping[str, Any]:
        """Those of the model that was read."""
        return self.notes


def hold(
    trained: Trained, seed: int | None = None, *, stage1_only: bool = False
) -> HeldModel:
    """Reads a model's stages; `seed` chooses a stage II, by default the first there is."""
    held = {"stage1": trained.stage1()}
    stage2 = None if stage1_only else trained.stage2(seed, held["stage1"])
    if stage2 is not None:
        held["stage2"] = stage2
    # The scores of a run are those of this stage II.
    notes = (
        trained.details(seed) if isinstance(trained, RunModel) else trained.details()
    )
    return HeldModel(trained.path, trained.name, trained.config, held, notes)
