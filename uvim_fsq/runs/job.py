"""One training of a stage, from where it is to its end: a loop with logs, validation and checkpoints."""

import contextlib
import dataclasses
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import training_batches
from uvim_fsq.errors import ConfigError
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.stages import StageJob
from uvim_fsq.models.uvim.validation import Watched
from uvim_fsq.runs.directory import StageDirectory, write_json
from uvim_fsq.runs.initial import InitialWeights
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.tasks.base import Task, example_transform
from uvim_fsq.training.checkpoint import Checkpoints
from uvim_fsq.training.hooks import (
    Hook,
    Score,
    checkpoint_hook,
    evaluation_hook,
    logging_hook,
    profile_hook,
)
from uvim_fsq.training.loop import run_loop
from uvim_fsq.training.optimizer import Optimizer
from uvim_fsq.training.progress import Progress, duration
from uvim_fsq.training.signals import Interrupted, StopSignals
from uvim_fsq.training.state import abstract_state, create_state
from uvim_fsq.training.step import make_step, replicated
from uvim_fsq.training.writers import JsonLines, TensorBoard, read_json_lines


def watched_of(config: RunConfig, source: Source) -> Watched:
    """What the settings of a run look at in the validation part while it trains."""
    return Watched(
        source,
        config.output.evaluate_examples,
        config.evaluation.batch_size,
        config.output.pictures,
        config.loader_threads or None,
    )


def run_job(
    job: StageJob,
    directory: StageDirectory,
    initial: InitialWeights,
    config: RunConfig,
    task: Task,
    source: Source,
    stop: StopSignals,
) -> None:
    """Trains to the last step, from the last checkpoint if there is one.

    Args:
      job: what is trained.
      directory: where it is kept.
      initial: what it starts from.
      config: the run's settings, for its output.
      task: makes batches of the source's examples.
      source: to train on.
      stop: asked after every step.

    Raises:
      Interrupted: once all is written, if `stop`, which the caller entered, is asked for.
    """
    steps = job.stage.total_steps(len(source))
    optimizer, learning_rate = build.build_optimizer(job.stage, steps)
    step = make_step(
        job.loss_function,
        job.update_collections,
        optimizer,
        learning_rate,
        batch_size=job.stage.batch_size,
        seed=job.seed,
        micro_batches=job.stage.micro_batches,
        average_decay=job.stage.average_decay,
    )
    done = directory.done
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(
            Checkpoints(directory.checkpoints, metadata=job.record)
        )
        state = _start(
            job, directory, initial, optimizer, checkpoints, replicated(step.mesh)
        )
        first = int(state.step)
        if stop.requested is not None:
            raise Interrupted(stop.requested, first)
        if first >= steps and done.exists():
            print(f"{job.name}: all {steps} steps are done already ({directory.path})")
            return
        done.unlink(missing_ok=True)  # Left by a checkpoint that is gone.
        if first:
            print(f"{job.name}: continuing after step {first} of {steps}")
        # Whatever looks at them while training finds them where the step does.
        job = dataclasses.replace(job, frozen=step.replicate(job.frozen))
        log = _Log.read(directory.metrics, first)
        hooks = _hooks(
            job, directory, config, checkpoints, first, steps, log, stop, stack
        )
        batches = stack.enter_context(
            contextlib.closing(_batches(job, config, task, source, first))
        )
        began = time.monotonic()
        run_loop(
            step,
            state,
            batches,
            total_steps=steps,
            frozen=job.frozen,
            hooks=hooks,
            stop=stop,
            last_good=checkpoints.last_good,
        )
        seconds = time.monotonic() - began
        write_json(
            done,
            {
                "steps": steps,
                "best_step": checkpoints.best_step(),
                "seconds": round(log.seconds + seconds, 1),
            },
        )
        print(f"{job.name}: {steps - first} steps in {duration(seconds)}")
        if stop.requested is not None:
            raise Interrupted(stop.requested, steps)


def _hooks(
    job: StageJob,
    directory: StageDirectory,
    config: RunConfig,
    checkpoints: Checkpoints,
    first: int,
    steps: int,
    log: "_Log",
    stop: StopSignals,
    stack: contextlib.ExitStack,
) -> list[Hook]:
    """Logs, validation, checkpoints and profile; the stack closes what they write to."""
    output = config.output
    tensorboard = TensorBoard(directory.path / "tensorboard", resume_step=first)
    writers = [
        stack.enter_context(JsonLines(directory.metrics, resume_step=first)),
        stack.enter_context(tensorboard),
        stack.enter_context(Progress(job.name, steps, first_step=first)),
    ]
    score = Score("loss")
    hooks = [
        logging_hook(
            writers,
            output.log_every,
            batch_size=job.stage.batch_size,
            seconds_before=log.seconds,
        ),
        evaluation_hook(
            lambda state: job.validation(state, job.frozen, tensorboard, stop.check),
            output.evaluate_every,
            writers=writers,
            score=score,
            before=log.validated,
        ),
        checkpoint_hook(
            checkpoints,
            output.checkpoint_every,
            score=score,
            also_every=(output.evaluate_every,),
        ),
    ]
    if output.profile:
        hooks.append(profile_hook(directory.path / "profile", first + 10))
    return hooks


@dataclass(frozen=True)
class _Log:
    """What the log tells of the sessions before this one.

    Attributes:
      seconds: that the steps took.
      validated: steps with a validation.
    """

    seconds: float = 0.0
    validated: frozenset[int] = frozenset()

    @classmethod
    def read(cls, metrics: Path, first: int) -> "_Log":
        """Of a log as far as step `first`, from where a run continues."""
        lines = read_json_lines(metrics) if first and metrics.exists() else []
        lines = [line for line in lines if line["step"] <= first]
        seconds = (line.get("train/seconds") for line in lines)
        return cls(
            max((each for each in seconds if each is not None), default=0.0),
            frozenset(line["step"] for line in lines if "validation/loss" in line),
        )


def _batches(
    job: StageJob, config: RunConfig, task: Task, source: Source, first: int
) -> Generator[dict[str, np.ndarray], None, None]:
    """This process's part of the training batches from step `first` on."""
    return training_batches(
        source,
        example_transform(task, train=True),
        batch_size=job.stage.batch_size,
        seed=job.seed,
        start_step=first,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=config.loader_threads or None,
    )


def _start(
    job: StageJob,
    directory: StageDirectory,
    initial: InitialWeights,
    optimizer: Optimizer,
    checkpoints: Checkpoints,
    sharding,
):
    """The state of the last checkpoint, or a fresh one."""
    key = jax.random.key(job.seed)
    averaged = job.stage.average_decay > 0
    shapes = dict(jax.eval_shape(job.init, key))
    params = shapes.pop("params")
    restored = checkpoints.restore_latest(
        abstract_state(params, shapes, optimizer, averaged=averaged), sharding
    )
    if restored is None:
        variables = dict(initial(jax.jit(job.init)(key), directory))
        params = variables.pop("params")
        return create_state(params, variables, optimizer, averaged=averaged)
    state, metadata = restored
    found = {name: metadata.get(name) for name in job.record}
    if found != dict(job.record):
        raise ConfigError(
            f"{directory.path} was trained on another stage I ({found}) than the one given "
            f"({dict(job.record)}): train it in another --output.directory, or give that stage I"
        )
    return state
