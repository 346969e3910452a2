"""What an experiment consists of: rows of settings, seeds, and the jobs that follow from them.

A row is one line of the table, such as `vq_no_split`. Its stage I is trained once (once per stage-I
seed), stage II once per stage-II seed on top of it, as in the FSQ paper. A run of the table is a stage
II with its stage I, scored.

    EXPERIMENT/experiment.json                      the plan
    EXPERIMENT/runs/ROW/stage1_seed_N/              a run directory: stage I, and stage II by seed
    EXPERIMENT/records/ROW/stage1_N-stage2_M.json   one finished run
    EXPERIMENT/leases/, failures/                   who works on what, and what went wrong
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uvim_fsq import fields
from uvim_fsq.errors import ConfigError, nearest
from uvim_fsq.evaluation.scores import with_numbers
from uvim_fsq.fields import replace
from uvim_fsq.runs.directory import RunDirectory, write_json
from uvim_fsq.runs.identity import DATA_PLACES, differences, older_split
from uvim_fsq.settings import as_json
from uvim_fsq.settings.check import check
from uvim_fsq.settings.run import RunConfig

FORMAT = 2
"""Of the plan; as with the format of settings, 2 says more of units and splits."""


@dataclass(frozen=True)
class Job:
    """One piece of work: a stage I, or a stage II with its scores."""

    row: str
    stage1_seed: int
    stage2_seed: int | None = None

    @property
    def name(self) -> str:
        """Unique in the plan, and fit for file names."""
        stage1 = f"{self.row}-stage1_{self.stage1_seed}"
        if self.stage2_seed is None:
            return stage1
        return f"{stage1}-stage2_{self.stage2_seed}"

    @property
    def needs(self) -> "Job | None":
        """The job that comes first."""
        return None if self.stage2_seed is None else Job(self.row, self.stage1_seed)


@dataclass(frozen=True)
class Plan:
    """Rows x stage-I seeds x stage-II seeds in a directory.

    Attributes:
      directory: where everything of the experiment is kept.
      title: for people.
      rows: settings by name, in the order of the table.
      stage1_seeds, stage2_seeds: how many of each, counted from the settings' own seed.
      command: that started it, for the report.
    """

    directory: Path
    title: str
    rows: Mapping[str, RunConfig]
    stage1_seeds: int = 1
    stage2_seeds: int = 3
    command: str = ""

    def jobs(self, only: Sequence[str] = ()) -> list[Job]:
        """All jobs, stage I of every row first; `only` names rows.

        Raises:
          ConfigError: for a row that is not in the plan.
        """
        for row in only:
            if row not in self.rows:
                raise ConfigError(
                    f"there is no row {row!r}: {nearest(row, list(self.rows))}"
                )
        chosen = [row for row in self.rows if not only or row in only]
        stage1 = [Job(row, seed) for row in chosen for seed in self._seeds(row, 1)]
        stage2 = [
            Job(job.row, job.stage1_seed, seed)
            for job in stage1
            for seed in self._seeds(job.row, 2)
        ]
        return stage1 + stage2

    def _seeds(self, row: str, stage: int) -> range:
        count = self.stage1_seeds if stage == 1 else self.stage2_seeds
        first = self.rows[row].seed
        return range(first, first + count)

    def config(self, job: Job) -> RunConfig:
        """The settings of a job's run."""
        return replace(self.rows[job.row], seed=job.stage1_seed)

    def run(self, job: Job) -> RunDirectory:
        """The run directory that a job works in."""
        folder = f"stage1_seed_{job.stage1_seed}"
        return RunDirectory(self.directory / "runs" / job.row / folder)

    def record_file(self, job: Job) -> Path:
        """The record of a finished stage-II job."""
        name = f"stage1_{job.stage1_seed}-stage2_{job.stage2_seed}.json"
        return self.directory / "records" / job.row / name

    def evaluation(self, job: Job) -> Path:
        """Where the scores and pictures of a stage-II job go."""
        return self.run(job).path / "evaluation" / f"stage2_seed_{job.stage2_seed}"

    def is_done(self, job: Job) -> bool:
        """Whether nothing is left to do."""
        if job.stage2_seed is None:
            return self.run(job).stage1.done.exists()
        return self.record_file(job).exists()

    def check(self) -> None:
        """Raises ConfigError if a row cannot be trained, or has other settings in the directory."""
        for name, config in self.rows.items():
            if config.quantizer.size is None:
                raise ConfigError(
                    f"the row {name} has no codebook for stage II to model: leave it out"
                )
            last = config.seed + max(self.stage1_seeds, self.stage2_seeds) - 1
            try:
                check(config)
                fields.seed("the last of its seeds", last)
            except ConfigError as error:
                raise ConfigError(f"row {name}: {error}") from None
        before = self._before()
        if self.directory.exists() and not self._is_free():
            raise ConfigError(
                f"{self.directory} is there and holds no experiment: name a new folder as --output"
            )
        for name, config in self.rows.items():
            old = before["rows"].get(name)
            found = differences(_identity(old), _identity(_row(config))) if old else []
            if found:
                raise ConfigError(
                    f"{self.directory} holds another experiment (row {name}: {'; '.join(found)}): "
                    f"give another --output, or the same settings to continue{older_split(found)}"
                )

    def _is_free(self) -> bool:
        """Whether an experiment is there, or nothing but what another worker is about to make one of."""
        if not self.directory.is_dir():
            return False
        names = [path.name for path in self.directory.iterdir()]
        visible = [name for name in names if not name.startswith(".")]
        return not visible or "experiment.json" in visible

    def _before(self) -> dict[str, Any]:
        """The plan that the directory holds."""
        known = self.directory / "experiment.json"
        return _read(known) if known.exists() else {"rows": {}}

    def open(self) -> None:
        """Makes the directory, or finds it made for the same rows; rows and seeds may be added.

        Raises:
          ConfigError: as `check` does.
        """
        self.check()
        before = self._before()
        self.directory.mkdir(parents=True, exist_ok=True)
        rows = {name: _row(config) for name, config in self.rows.items()}
        write_json(
            self.directory / "experiment.json",
            {
                "format": FORMAT,
                "title": self.title,
                # Text keeps the order of the rows, which sorted keys would lose.
                "order": list(dict.fromkeys([*self.rows, *before["rows"]])),
                "rows": before["rows"] | rows,
                "command": self.command or before.get("command", ""),
                "stage1_seeds": max(self.stage1_seeds, before.get("stage1_seeds", 0)),
                "stage2_seeds": max(self.stage2_seeds, before.get("stage2_seeds", 0)),
            },
        )


def load_plan(directory: Path) -> Plan:
    """The plan of an experiment that was started.

    Raises:
      ConfigError: if there is none.
    """
    path = directory / "experiment.json"
    if not path.is_file():
        raise ConfigError(
            f"{directory} is no experiment: expected experiment.json in it, as "
            "`uvim-fsq experiment` writes it"
        )
    data = _read(path)
    if data.get("format", 0) > FORMAT:
        raise ConfigError(f"{path} is from a newer uvim-fsq: update it")
    rows = {name: as_json.from_dict(data["rows"][name]) for name in data["order"]}
    return Plan(
        directory,
        data["title"],
        rows,
        data["stage1_seeds"],
        data["stage2_seeds"],
        data.get("command", ""),
    )


def _read(path: Path) -> dict[str, Any]:
    """A plan, its rows in today's format."""
    data = json.loads(path.read_text())
    version = data.get("format", 1)
    rows = {n: as_json.upgraded(row, version) for n, row in data["rows"].items()}
    return {**data, "rows": rows}


def records(plan: Plan) -> Iterator[dict[str, Any]]:
    """The records of all finished runs, row by row."""
    for job in plan.jobs():
        if job.stage2_seed is not None and plan.is_done(job):
            yield with_numbers(json.loads(plan.record_file(job).read_text()))


def _row(config: RunConfig) -> dict[str, Any]:
    return as_json.to_dict(config)


def _identity(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What may not change between two starts; of the data that is what they are, see `run_data`."""
    free = ("output", "loader_threads")
    data = {k: v for k, v in tree["data"].items() if k not in DATA_PLACES}
    return {n: v for n, v in tree.items() if n not in free} | {"data": data}
