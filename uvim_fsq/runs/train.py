"""Trains the stages of a run; started again, it continues."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import jax

from uvim_fsq import fields
from uvim_fsq.data.base import Source
from uvim_fsq.errors import ConfigError
from uvim_fsq.fields import replace
from uvim_fsq.models.uvim.buildable import check_buildable, check_length
from uvim_fsq.models.uvim.stages import stage1_job, stage2_job
from uvim_fsq.runs.data import check_data
from uvim_fsq.runs.directory import RunDirectory
from uvim_fsq.runs.initial import initial_weights
from uvim_fsq.runs.job import run_job, watched_of
from uvim_fsq.runs.load import load_frozen_stage1
from uvim_fsq.runs.lock import locked
from uvim_fsq.runs.open import RunModel, open_trained
from uvim_fsq.runs.stage1_choice import choose_stage1
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.compilation_cache import enable_compilation_cache
from uvim_fsq.training.signals import StopSignals
from uvim_fsq.training.step import check_batch_size
from uvim_fsq.weights.bundle import is_bundle


def train(
    config: RunConfig,
    directory: Path,
    stages: tuple[int, ...] = (1, 2),
    stage1_run: str | Path | None = None,
    stage2_seed: int | None = None,
    *,
    new_data: bool = False,
) -> None:
    """Trains stage I, stage II, or both, in a run directory.

    Args:
      config: the settings.
      directory: the run; made if it is not there, continued if it is.
      stages: which, in order.
      stage1_run: the run or bundle whose stage I stage II is trained on; this run's own by default.
      stage2_seed: of stage II, which is kept apart for every seed; `config.seed` by default.
      new_data: go on with other data than a run began with, which is noted in it.

    Raises:
      ConfigError, DataError, CheckpointError, NotFiniteError, Interrupted: one sentence each.
    """
    enable_compilation_cache()
    run = RunDirectory(directory)
    # All that can be wrong is found before anything is written.
    _check(config, directory, stages, stage2_seed)
    seed = config.seed if stage2_seed is None else stage2_seed
    lock = locked(directory, [_lock_name(number, seed) for number in stages])
    with contextlib.ExitStack() as stack:
        there = directory.exists()
        if there:
            stack.enter_context(lock)
        choice = choose_stage1(run, stages, stage1_run)
        if choice.given is None:
            choice.check(None)
        if config.init_from and not run.config_file.exists():
            open_trained(config.init_from)  # Data may take long to prepare.
        sources = {part: config.data.open(part) for part in ("train", "validation")}
        config = replace(config, task=config.task.of_source(sources["train"]))
        _check_sources(config, stages, sources)
        data = check_data(run, sources, accept=new_data)
        task = config.task.build()
        frozen = None
        if choice.given is not None:
            frozen = load_frozen_stage1(choice.given, config)
            choice.check(frozen.record)
        initial = initial_weights(config, run, stages, seed)
        if not there:
            stack.enter_context(lock)
        run.open(config, new_data=new_data)
        data.write()
        choice.keep()
        watched = watched_of(config, sources["validation"])
        # Over both stages: an exception may get lost in between, in some library's callback.
        stop = stack.enter_context(StopSignals())
        if 1 in stages:
            job = stage1_job(config, task, watched, config.seed)
            run_job(job, run.stage1, initial[1], config, task, sources["train"], stop)
        if 2 in stages:
            frozen = frozen or load_frozen_stage1(RunModel(directory), config)
            job = stage2_job(config, task, watched, seed, frozen)
            place = run.stage2(seed)
            run_job(job, place, initial[2], config, task, sources["train"], stop)
    if left_out := task.left_out():
        print(left_out)


def _check(
    config: RunConfig,
    directory: Path,
    stages: tuple[int, ...],
    stage2_seed: int | None,
) -> None:
    """What can be known to be wrong at once."""
    if is_bundle(directory):
        raise ConfigError(
            f"{directory} is a bundle, which stays as it is: choose another --output.directory"
        )
    if stage2_seed is not None:
        fields.seed("--stage2-seed", stage2_seed)
    for number in stages:
        stage = config.stage1 if number == 1 else config.stage2
        check_batch_size(stage.batch_size, stage.micro_batches, jax.device_count())
    check_buildable(config, stages)


def _check_sources(
    config: RunConfig, stages: tuple[int, ...], sources: Mapping[str, Source]
) -> None:
    """What can be known to be wrong once the data are there."""
    for part, source in sources.items():
        config.task.check_source(source, part)
    for number in stages:
        stage = config.stage1 if number == 1 else config.stage2
        check_length(f"stage{number}", stage, len(sources["train"]))


def _lock_name(number: int, seed: int) -> str:
    return "stage1" if number == 1 else f"stage2_seed_{seed}"
