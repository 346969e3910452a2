"""Whose stage I a run's stage II is trained on: its own, or that of another model.

A run has one stage I at a time, for all its stage IIs. `RUN/stage1.json` names it if it is another
model's; without that file it is the run's own. It is changed only where no stage II would be left
without the stage I that it was trained on, and never silently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.lock import check_free
from uvim_fsq.runs.open import RunModel, Trained, open_trained
from uvim_fsq.training.checkpoint import Checkpoints


@dataclass(frozen=True)
class Stage1Choice:
    """What a training goes by.

    Attributes:
      run: that is to be trained.
      given: the trained model with the stage I; None if the run trains its own now.
      link: where that model lies, if it is another.
    """

    run: RunDirectory
    given: Trained | None
    link: Path | None

    def check(self, record: Mapping[str, Any] | None) -> None:
        """Raises ConfigError if a stage II there was trained on another stage I than the one chosen.

        `record` says which that is; None for a stage I that is to be trained.
        """
        before = self.run.stage1_link()
        if before == self.link:
            return
        lost = [
            str(seed)
            for seed, trained_on in _trained_on(self.run).items()
            if record is None or trained_on != dict(record)
        ]
        if lost:
            path = self.run.path
            raise ConfigError(
                f"{path} holds stage II (seed {', '.join(lost)}) trained on the stage I of "
                f"{before or 'its own'}, without which it is of no use: train on "
                f"{self.link or 'a stage I of its own'} in another --output.directory, or remove "
                f"{path / 'stage2'} first"
            )

    def keep(self) -> None:
        """Writes it down, and says so if it is another than before."""
        before = self.run.stage1_link()
        if self.link is not None:
            own = self.run.stage1.checkpoints.exists()
            instead = before or ("its own" if own else None)
            if before != self.link:
                more = f", no longer {instead}" if instead else ""
                print(f"stage I of {self.run.path} is that of {self.link}{more}")
            elif self.given is not None:
                print(f"stage I of {self.run.path} is that of {self.link}")
        elif before is not None:
            print(f"stage I of {self.run.path} is its own, no longer that of {before}")
        self.run.link_stage1(self.link)


def choose_stage1(
    run: RunDirectory, stages: tuple[int, ...], stage1_run: str | Path | None
) -> Stage1Choice:
    """Goes by what is asked for, else by what the run went by before.

    Raises:
      ConfigError: if there is no such model, or its stage I is in training now.
    """
    if 1 in stages:
        return Stage1Choice(run, None, None)
    if stage1_run is None:
        if not run.config_file.exists():
            raise ConfigError(
                f"stage II needs a trained stage I, and {run.path} holds none: train stage 1 first "
                "(--stage both), or give --stage1 RUN"
            )
        given, link = RunModel(run.path), run.linked_stage1()
    else:
        given, link = open_trained(stage1_run), None
        if given.path.resolve() == run.path.resolve():
            given = RunModel(run.path, own_stage1=True)
        else:
            link = given.path.resolve()
    check_free(link or run.path, "stage1")
    return Stage1Choice(run, given, link)


def _trained_on(run: RunDirectory) -> dict[int, Any]:
    """What the stage IIs of a run say of their stage I, by seed."""
    found = {}
    for seed in run.stage2_seeds():
        directory = run.stage2(seed).checkpoints
        if not directory.exists():
            continue
        with Checkpoints(directory, read_only=True) as checkpoints:
            step = checkpoints.latest_step()
            if step is not None:
                found[seed] = checkpoints.metadata(step).get("stage1")
    return found
