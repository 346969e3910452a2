"""Workers on a plan: each job once, whatever fails or dies.

What workers do about each other does not depend on what a job is: most jobs here write a file each,
so that they can fail, hang and be killed where the test says. The last test trains and scores.
"""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from uvim_fsq.configs.depth import get_config
from uvim_fsq.experiment import run as module
from uvim_fsq.experiment.lease import is_free
from uvim_fsq.experiment.plan import Plan, records
from uvim_fsq.experiment.run import work
from uvim_fsq.runs.lock import locked
from uvim_fsq.settings import replace
from uvim_fsq.training.signals import Interrupted

ROWS = {name: get_config(name, "tiny") for name in ("vq", "fsq")}


@pytest.fixture
def plan(tmp_path):
    plan = Plan(tmp_path / "experiment", "title", ROWS, stage2_seeds=2)
    plan.open()
    return plan


def finish(plan, job):
    """What a finished job leaves behind, and a line in the log of all."""
    assert job.needs is None or plan.is_done(job.needs)
    with open(plan.directory / "log.txt", "a") as log:
        log.write(f"{job.name} {os.getpid()}\n")
    done = plan.run(job).stage1.done if job.needs is None else plan.record_file(job)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text("{}")


def log(plan):
    lines = (plan.directory / "log.txt").read_text().splitlines()
    return [line.split()[0] for line in lines]


def all_free(plan):
    return all(is_free(file, 600) for file in (plan.directory / "leases").iterdir())


def test_all_jobs_are_done_once(plan):
    summary = work(plan, do=finish, say=lambda line: None)
    assert log(plan) == [job.name for job in plan.jobs()] == summary.done
    assert (summary.failed, summary.blocked, summary.left) == ({}, [], [])
    assert all_free(plan)
    assert work(plan, do=finish, say=lambda line: None).done == []


def test_only_and_limit(plan):
    summary = work(plan, do=finish, only=["fsq"], limit=2, say=lambda line: None)
    assert summary.done == ["fsq-stage1_0", "fsq-stage1_0-stage2_0"]
    assert summary.left == ["fsq-stage1_0-stage2_1"]


def test_a_failure_blocks_what_needs_it_and_nothing_else(plan):
    def fails(plan, job):
        if job.name == "vq-stage1_0":
            raise RuntimeError("no luck")
        finish(plan, job)

    summary = work(plan, do=fails, say=lambda line: None)
    assert summary.failed == {"vq-stage1_0": "RuntimeError: no luck"}
    assert summary.blocked == ["vq-stage1_0-stage2_0", "vq-stage1_0-stage2_1"]
    assert len(summary.done) == 3
    assert "no luck" in (plan.directory / "failures" / "vq-stage1_0.json").read_text()
    # Started again, it is tried again, and then nothing speaks of a failure any more.
    summary = work(plan, do=finish, say=lambda line: None)
    assert len(summary.done) == 3 and not summary.failed
    assert list((plan.directory / "failures").iterdir()) == []


def test_a_job_that_leaves_no_result_is_a_failure_and_no_endless_loop(plan):
    def empty(plan, job):
        if job.row == "fsq":
            finish(plan, job)

    summary = work(plan, do=empty, say=lambda line: None)
    assert summary.failed == {
        "vq-stage1_0": "RuntimeError: it ended without an error and left no result"
    }
    assert len(summary.done) == 3 and len(summary.blocked) == 2


def test_being_asked_to_stop_is_no_failure(plan):
    def stopped(plan, job):
        raise Interrupted(signal.SIGTERM, 3)

    with pytest.raises(Interrupted):
        work(plan, do=stopped, say=lambda line: None)
    assert not (plan.directory / "failures").exists()
    assert all_free(plan)


def test_a_run_that_is_trained_without_a_lease_is_waited_for(plan, monkeypatch):
    """Such as by `uvim-fsq train` on its folder."""
    monkeypatch.setattr(module, "WAIT", 0.01)
    held, lines = locked(plan.run(plan.jobs()[0]).path, ["stage1"]), []
    held.__enter__()

    def real(plan, job):
        with locked(plan.run(job).path, ["stage1"]):
            finish(plan, job)

    def say(line):
        lines.append(line)
        if ": waits: " in line:
            threading.Timer(0.1, lambda: held.__exit__(None, None, None)).start()

    (plan.directory / "log.txt").write_text("")
    summary = work(plan, do=real, say=say)
    assert len(summary.done) == 6 and summary.failed == {}
    assert len([line for line in lines if ": waits: " in line]) == 1


def test_a_job_that_another_worker_did_meanwhile_is_not_repeated(plan, monkeypatch):
    take = module.Lease.take

    def late(path, **options):
        job = next(job for job in plan.jobs() if job.name == path.name)
        if not plan.is_done(job):
            finish(plan, job)  # As if between this worker's look and its lease.
        return take(path, **options)

    monkeypatch.setattr(module.Lease, "take", late)
    assert work(plan, do=finish, say=lambda line: None).done == []
    assert len(log(plan)) == 6


def _slow(plan, job):
    time.sleep(0.3)
    finish(plan, job)


def _worker(directory):
    module.WAIT = 0.05
    plan = Plan(directory, "title", ROWS, stage2_seeds=2)
    work(plan, do=_slow, say=lambda line: None)


def _hangs(directory):
    def hang(plan, job):
        (plan.directory / "hanging").write_text(job.name)
        time.sleep(120)

    work(Plan(directory, "title", ROWS, stage2_seeds=2), do=hang, say=lambda line: None)


def test_workers_share_a_plan_without_overlap_and_a_killed_one_loses_nothing(plan):
    context = multiprocessing.get_context("spawn")
    victim = context.Process(target=_hangs, args=(plan.directory,))
    victim.start()
    for _ in range(600):
        if (plan.directory / "hanging").exists():
            break
        time.sleep(0.1)
    workers = [
        context.Process(target=_worker, args=(plan.directory,)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    # The victim holds a job; without it the others cannot finish, and they wait for it.
    held = (plan.directory / "hanging").read_text()
    threading.Timer(3, victim.kill).start()
    for worker in workers:
        worker.join(timeout=600)
        assert worker.exitcode == 0
    victim.join()
    assert sorted(log(plan)) == sorted(job.name for job in plan.jobs())
    assert held in log(plan)


@pytest.mark.slow
def test_a_stage_that_was_stopped_before_it_was_done_is_ended_and_the_next_follows(
    tmp_path,
):
    """Really trained and scored: stage I has its last checkpoint and not what says that it is done."""
    config = replace(ROWS["fsq"], evaluation__samples=1, output__pictures=0)
    plan = Plan(tmp_path, "title", {"fsq": config}, stage2_seeds=1)
    plan.open()
    said: list[str] = []
    first, second = plan.jobs()
    assert work(plan, limit=1, say=said.append).done == [first.name]
    plan.run(first).stage1.done.unlink()
    assert work(plan, say=said.append).done == [first.name, second.name]
    assert [line for line in said if line.endswith("started")] == [
        f"{job.name}: started" for job in (first, first, second)
    ]
    (record,) = records(plan)
    assert record["scores"]["greedy/rmse"] > 0
    assert [stage["steps"] for stage in record["stages"].values()] == [4, 4]
    assert work(plan, say=said.append).done == []
