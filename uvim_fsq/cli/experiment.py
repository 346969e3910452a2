"""`uvim-fsq experiment`: the runs of a study, their tables and report."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from uvim_fsq.cli.options import (
    CONFIG_HELP,
    add_command,
    add_preset_option,
    add_source_option,
)
from uvim_fsq.errors import ConfigError

_OPTIONS = (
    *("--study", "--preset", "--source", "--seeds", "--stage1-seeds", "--only"),
    *("--limit", "--dry-run", "--output", "--stale-after"),
)


class StagesFailed(RuntimeError):
    """The others were worked off."""

    exit_code = 1


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(
        commands,
        "experiment",
        "train and score all rows of a study, with several seeds; the same command continues, and "
        "started several times at once the work is shared",
    )
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    add_preset_option(command)
    command.add_argument(
        "--study",
        default="variants",
        help="the rows (variants), see below, or a Python file",
    )
    add_source_option(command)
    for option, default, text in (
        ("--seeds", 3, "stage IIs of every stage I"),
        ("--stage1-seeds", 1, "stage Is of every row"),
    ):
        command.add_argument(
            option, type=int, default=default, metavar="N", help=f"{text} ({default})"
        )
    command.add_argument(
        "--only", nargs="+", default=[], metavar="ROW", help="work on these rows alone"
    )
    command.add_argument(
        "--limit", type=int, metavar="N", help="stop after so many stages"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="print the plan and leave"
    )
    command.add_argument(
        "--output",
        metavar="FOLDER",
        help="by default experiments/CONFIG-PRESET-STUDY",
    )
    command.add_argument(
        "--stale-after",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="silence after which another machine's worker counts as dead (600)",
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Prints the plan, works it off, writes tables and report."""
    for name in ("seeds", "stage1_seeds", "limit"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(
                f"--{name.replace('_', '-')} must be at least 1, found {value}"
            )
    if not options.stale_after > 0:
        raise ConfigError(
            f"--stale-after must be above 0 seconds, found {options.stale_after}"
        )
    plan = _plan(options, words)

    from uvim_fsq.experiment.estimate import describe_plan
    from uvim_fsq.experiment.results import write_results
    from uvim_fsq.experiment.run import work

    plan.jobs(options.only)  # Unknown rows are found before anything is written.
    plan.check()
    print(describe_plan(plan, options.only), flush=True)
    if options.dry_run:
        return
    plan.open()
    summary = work(
        plan,
        only=options.only,
        limit=options.limit,
        say=lambda line: print(line, flush=True),
        stale_after=options.stale_after,
    )
    write_results(plan)
    print((plan.directory / "table.txt").read_text(encoding="utf-8"))
    print(f"records, tables and report: {plan.directory}")
    if summary.left:
        print(f"left for a next time: {len(summary.left)}")
    if summary.failed:
        waiting = f", {len(summary.blocked)} wait for them" if summary.blocked else ""
        reasons = [f"\n{job}: {error}" for job, error in summary.failed.items()]
        raise StagesFailed(
            f"{len(reasons)} of {len(plan.jobs(options.only))} stages failed{waiting}: the same command "
            f"tries them again; {plan.directory / 'failures'} says where{''.join(reasons)}"
        )


def _plan(options: argparse.Namespace, words: list[str]):
    from uvim_fsq.experiment.plan import Plan
    from uvim_fsq.experiment.study import load_study, study_rows
    from uvim_fsq.settings.command_line import override, with_source
    from uvim_fsq.settings.find import load_config

    study = load_study(options.study)
    names = set()

    def get_config(variant: str):
        config, name = load_config(options.config, variant, options.preset)
        names.add(name.replace(f"-{variant}", "", 1))
        return with_source(config, options.source)

    rows = study_rows(study, get_config)
    rows = {name: override(row, words, _OPTIONS) for name, row in rows.items()}
    name = f"{min(names)}-{Path(options.study).stem}"
    return Plan(
        directory=Path(options.output or Path("experiments") / name),
        title=f"{min(names)}: {study.TITLE}",
        rows=rows,
        stage1_seeds=options.stage1_seeds,
        stage2_seeds=options.seeds,
        command=shlex.join(_command(options, words)),
    )


def _command(options: argparse.Namespace, words: list[str]) -> list[str]:
    """The command as far as it says what is run, not where or which part now."""
    chosen = {
        "--preset": options.preset,
        "--study": options.study,
        "--source": options.source,
        "--seeds": options.seeds,
        "--stage1-seeds": options.stage1_seeds,
    }
    given = [part for name, value in chosen.items() if value for part in (name, value)]
    return ["uvim-fsq", "experiment", options.config, *map(str, given), *words]
