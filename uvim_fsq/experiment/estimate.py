"""A plan in words, with how long it may take."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from uvim_fsq.build import flops, objects
from uvim_fsq.build.run_directory import StageDirectory
from uvim_fsq.build.tasks import build_task
from uvim_fsq.config import ConfigError, RunConfig, StageConfig
from uvim_fsq.experiment.plan import Job, Plan
from uvim_fsq.training.progress import duration
from uvim_fsq.training.writers import read_json_lines

SHARE_OF_PEAK = 0.3
"""Of the speed of a large matrix product that small models reach; a guess, and said to be one."""


def describe_plan(plan: Plan, only: Sequence[str] = ()) -> str:
    """Rows, seeds, runs and steps, what is done already, and an estimate of what is left.

    Steps of stages that are done or begun tell the time of those that are like them; where none has
    been, arithmetic at a share of this machine's measured speed does, which is rough.
    """
    jobs = plan.jobs(only)
    left = [job for job in jobs if not plan.is_done(job)]
    rows = list(dict.fromkeys(job.row for job in jobs))
    runs = sum(job.stage2_seed is not None for job in jobs)
    lines = [
        f"{plan.title}: {len(rows)} rows ({', '.join(rows)})",
        f"{runs} runs: {plan.stage1_seeds} stage I and {plan.stage2_seeds} stage II of each",
    ]
    steps = {job: _steps(plan, job) for job in jobs}
    known = [count for count in steps.values() if count is not None]
    total = f"{sum(known):,} steps"
    if len(known) < len(jobs):
        total += f" and {len(jobs) - len(known)} stages that are counted in epochs"
    lines.append(
        f"{len(jobs)} stages, {len(jobs) - len(left)} of them done; {total} in all"
    )
    if left:
        lines.append(_time_left(plan, left))
    return "\n".join(lines)


def _time_left(plan: Plan, left: Sequence[Job]) -> str:
    measured, guessed, unknown = 0.0, 0.0, 0
    speed = None
    for job in left:
        steps = _steps(plan, job)
        seconds = _seconds_per_step(plan, job)
        if steps is None:
            unknown += 1
        elif seconds is not None:
            measured += steps * seconds
        else:
            speed = speed or _matrix_product_speed()
            guessed += steps * _arithmetic(plan.config(job), job) / speed
    text = f"time left: about {duration(measured + guessed / SHARE_OF_PEAK)}"
    if guessed and speed is not None:
        text += (
            f" (a rough guess: arithmetic at {SHARE_OF_PEAK:.0%} of {speed / 1e9:.0f} GFLOP/s, this "
            "machine's matrix products; better once stages have run)"
        )
    text += ", without scoring"
    return text + (f", and {unknown} stages that are unknown" if unknown else "")


def _stage(config: RunConfig, job: Job) -> StageConfig:
    return config.stage1 if job.stage2_seed is None else config.stage2


def _steps(plan: Plan, job: Job) -> int | None:
    """None if they follow from the data's size, which is not read for a plan."""
    return _stage(plan.config(job), job).steps


def _directory(plan: Plan, job: Job) -> StageDirectory:
    run = plan.run(job)
    return run.stage1 if job.stage2_seed is None else run.stage2(job.stage2_seed)


def _seconds_per_step(plan: Plan, job: Job) -> float | None:
    """Of this stage or one of the same settings that has run for a while."""
    for other in plan.jobs():
        same = (other.row, other.stage2_seed is None) == (
            job.row,
            job.stage2_seed is None,
        )
        metrics = _directory(plan, other).metrics
        if same and metrics.exists():
            lines = [
                line
                for line in read_json_lines(metrics)
                if "train/images_per_second" in line
            ]
            if lines:
                rates = sorted(line["train/images_per_second"] for line in lines)
                batch = _stage(plan.config(other), other).batch_size
                return batch / rates[len(rates) // 2]
    return None


def _arithmetic(config: RunConfig, job: Job) -> float:
    """Floating-point operations of a step."""
    try:
        task = build_task(config.task)
    except (
        ConfigError
    ):  # The number of classes comes from the data: no more than a guess.
        return 0.0
    stage1 = objects.build_stage1(config, task)
    if job.stage2_seed is None:
        parts = flops.stage1_training(stage1, task.plane_dtype)
    else:
        stage2 = objects.build_stage2(config)
        parts = flops.stage2_training(stage2, stage1, task.plane_dtype)
    return flops.total(parts) * _stage(config, job).batch_size


def _matrix_product_speed(size: int = 2048) -> float:
    """Operations per second of all devices' float32 products, measured within a second."""
    matrix = jnp.ones((size, size))
    product = jax.jit(lambda x: x @ x)
    product(matrix).block_until_ready()
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        product(matrix).block_until_ready()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best * jax.device_count()
