"""A plan in words, with how long it may take."""

import time
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from uvim_fsq.cost import flops
from uvim_fsq.errors import ConfigError
from uvim_fsq.experiment.plan import Job, Plan, records
from uvim_fsq.models.uvim import build
from uvim_fsq.runs.directory import StageDirectory
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.training.progress import duration
from uvim_fsq.training.settings import StageConfig
from uvim_fsq.training.writers import read_json_lines

SHARE_OF_PEAK = 0.3
"""Of the speed of a large matrix product that small models reach; a guess, and said to be one."""


def describe_plan(plan: Plan, only: Sequence[str] = ()) -> str:
    """Rows, seeds, runs and steps, what is done already, and an estimate of what is left.

    Steps of stages that are done or begun tell the time of those that are like them, and by their
    arithmetic that of the others; where none has run, arithmetic at a share of this machine's measured
    speed does, which is rough.
    """
    jobs = plan.jobs(only)
    left = [job for job in jobs if not plan.is_done(job)]
    rows = list(dict.fromkeys(job.row for job in jobs))
    runs = sum(job.stage2_seed is not None for job in jobs)
    lines = [
        f"{plan.title}: {_count(len(rows), 'row')} ({', '.join(rows)})",
        f"{_count(runs, 'run')}: {plan.stage1_seeds} stage I and {plan.stage2_seeds} stage II of each",
    ]
    steps = {job: _steps(plan, job) for job in jobs}
    known = [count for count in steps.values() if count is not None]
    total = f"{sum(known):,} steps"
    if len(known) < len(jobs):
        unknown = _count(len(jobs) - len(known), "stage")
        total += f" and {unknown} counted in epochs"
    lines.append(
        f"{_count(len(jobs), 'stage')}, {len(jobs) - len(left)} of them done; {total} in all"
    )
    if left:
        lines.append(_time_left(plan, left))
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _time_left(plan: Plan, left: Sequence[Job]) -> str:
    measured = {job: _seconds_per_step(plan, job) for job in plan.jobs()}
    seconds, guessed, unknown = 0.0, 0.0, 0
    for job in left:
        steps, known = _steps_left(plan, job), measured[job]
        operations = 0.0 if known else _arithmetic(plan.config(job), job)
        if steps is None or not (known or operations):
            unknown += 1
        else:
            seconds += steps * (known or 0.0)
            guessed += steps * operations
    remark = ""
    if guessed:
        speed = _speed(plan, measured)
        if speed is None:
            peak = _matrix_product_speed()
            speed = SHARE_OF_PEAK * peak
            remark = (
                f" (a rough guess: arithmetic at {SHARE_OF_PEAK:.0%} of {peak / 1e9:.0f} GFLOP/s, this "
                "machine's matrix products; better once stages have run)"
            )
        seconds += guessed / speed
    scoring = _seconds_of_scoring(plan)
    runs = sum(job.stage2_seed is not None for job in left)
    seconds += runs * (scoring or 0.0)
    text = f"time left: about {duration(seconds)}{remark}"
    if runs and scoring is None:
        text += ", without scoring"
    if unknown:
        text += f", and {_count(unknown, 'stage')} of unknown length"
    return text


def _speed(plan: Plan, measured: Mapping[Job, float | None]) -> float | None:
    """Operations per second of the stages that have run: those of others may go as fast."""
    speeds = sorted(
        _arithmetic(plan.config(job), job) / seconds
        for job, seconds in measured.items()
        if seconds
    )
    return (speeds[len(speeds) // 2] or None) if speeds else None


def _seconds_of_scoring(plan: Plan) -> float | None:
    """The median of the runs that are scored."""
    found = sorted(
        record["scoring_seconds"]
        for record in records(plan)
        if "scoring_seconds" in record
    )
    return found[len(found) // 2] if found else None


def _stage(config: RunConfig, job: Job) -> StageConfig:
    return config.stage1 if job.stage2_seed is None else config.stage2


def _steps(plan: Plan, job: Job) -> int | None:
    """None if they follow from the data's size, which is not read for a plan."""
    return _stage(plan.config(job), job).steps


def _steps_left(plan: Plan, job: Job) -> int | None:
    """Of a stage that has begun, those after the last one that it logged."""
    steps, metrics = _steps(plan, job), _directory(plan, job).metrics
    if steps is None:
        return None
    lines = read_json_lines(metrics) if metrics.exists() else []
    return max(0, steps - lines[-1]["step"]) if lines else steps


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
    """Floating-point operations of a step; 0 if they are not known."""
    try:
        task = config.task.build()
    except (
        ConfigError
    ):  # The number of classes comes from the data, which are not read.
        return 0.0
    stage1 = build.build_stage1(config, task)
    if job.stage2_seed is None:
        parts = flops.stage1_training(stage1, task.plane_dtype)
    else:
        stage2 = build.build_stage2(config)
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
