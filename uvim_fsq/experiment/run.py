"""Works off a plan: one job after another, shared with any other workers on the same directory."""

import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uvim_fsq.evaluation.evaluate import evaluate_run
from uvim_fsq.experiment.lease import Lease
from uvim_fsq.experiment.plan import Job, Plan
from uvim_fsq.experiment.record import make_record
from uvim_fsq.runs.directory import write_json
from uvim_fsq.runs.lock import RunInUse
from uvim_fsq.runs.train import train
from uvim_fsq.training.signals import Interrupted

WAIT = 5.0
"""Seconds between looks at what other workers do."""


@dataclass
class Summary:
    """What one worker saw: jobs by name; `busy` are those that it found in training elsewhere."""

    done: list[str] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def work(
    plan: Plan,
    *,
    only: Sequence[str] = (),
    limit: int | None = None,
    say: Callable[[str], None] = print,
    do: Callable[[Plan, Job], None] | None = None,
    stale_after: float | int = 600.0,
) -> Summary:
    """Does the jobs of a plan that nobody else does, until none is left.

    A job that fails is recorded in `failures/` and the others go on; what needs it is blocked. Started
    again, a worker tries failed jobs once more. Where all that is left is being done by others,
    the worker waits: their jobs may fail to finish, and then are this worker's.

    Args:
      plan: opened.
      only: rows to work on; all by default.
      limit: stop after so many jobs.
      say: for a line of progress.
      do: what doing a job means; training and scoring by default.
      stale_after: of the leases.

    Returns:
      What was done, what failed, what waits for a failed job, and what is left for a next time.
    """
    do = do or do_job
    began = time.time()
    summary = Summary()
    jobs = plan.jobs(only)
    while True:
        open_jobs = [job for job in jobs if not plan.is_done(job)]
        failed = {job: _failure(plan, job, since=began) for job in open_jobs}
        summary.failed = {job.name: text for job, text in failed.items() if text}
        summary.blocked = [
            job.name for job in open_jobs if job.needs and failed.get(job.needs)
        ]
        stopped = {*summary.failed, *summary.blocked}
        waiting = [job for job in open_jobs if job.name not in stopped]
        summary.left = [job.name for job in waiting]
        if not waiting or (limit is not None and len(summary.done) >= limit):
            return summary
        ready = [j for j in waiting if j.needs is None or plan.is_done(j.needs)]
        if not any(_try(plan, j, do, say, summary, stale_after) for j in ready):
            time.sleep(WAIT)


def _try(
    plan: Plan,
    job: Job,
    do: Callable[[Plan, Job], None],
    say: Callable[[str], None],
    summary: Summary,
    stale_after: float | int,
) -> bool:
    """Does a job unless another worker has it; whether there is anything new."""
    lease = Lease.take(plan.directory / "leases" / job.name, stale_after=stale_after)
    if lease is None:
        return False
    with lease:
        if plan.is_done(job):  # By another worker, between the look and the lease.
            return True
        if job.name not in summary.busy:
            say(f"{job.name}: started")
        began = time.monotonic()
        failure = _failure_file(plan, job)
        try:
            do(plan, job)
            if not plan.is_done(job):  # Started again and again, it would never end.
                raise RuntimeError("it ended without an error and left no result")
        except Interrupted:  # Asked to stop: no failure of the job.
            raise
        except RunInUse as error:  # By somebody without a lease: who comes later waits.
            if job.name not in summary.busy:
                say(f"{job.name}: waits: {error}")
                summary.busy.add(job.name)
            return False
        except Exception as error:
            failure.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(traceback.format_exception(error))
            sentence = f"{type(error).__name__}: {error}"
            write_json(
                failure, {"error": sentence, "time": time.time(), "traceback": text}
            )
            say(f"{job.name}: failed: {sentence}")
            return True
        failure.unlink(missing_ok=True)
        summary.done.append(job.name)
        say(f"{job.name}: done in {time.monotonic() - began:.0f} s")
    return True


def do_job(plan: Plan, job: Job) -> None:
    """Trains a stage; a stage II is scored too, and its record written last."""
    config, run = plan.config(job), plan.run(job)
    if job.stage2_seed is None:
        train(config, run.path, stages=(1,))
        return
    train(config, run.path, stages=(2,), stage2_seed=job.stage2_seed)
    output = plan.evaluation(job)
    began = time.monotonic()
    evaluate_run(run.path, output=output, seed=job.stage2_seed)
    scoring = round(time.monotonic() - began, 1)
    record = plan.record_file(job)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json(record, make_record(plan, job) | {"scoring_seconds": scoring})


def _failure_file(plan: Plan, job: Job) -> Path:
    return plan.directory / "failures" / f"{job.name}.json"


def _failure(plan: Plan, job: Job, since: float) -> str | None:
    """Why a job failed, if it did since then."""
    try:
        failure = json.loads(_failure_file(plan, job).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return failure["error"] if failure["time"] >= since else None
