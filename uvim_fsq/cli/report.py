"""`uvim-fsq report`: finished models side by side."""

import argparse
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "report",
        help="put scored runs, bundles and experiments side by side: tables and a page",
        description="Tables and a page with pictures of finished models. A single experiment's own "
        "are written again; for anything else name a new folder.",
    )
    command.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="a run or bundle that was scored, or an experiment",
    )
    command.add_argument(
        "--output", metavar="FOLDER", help="a new folder; needed but for one experiment"
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Writes and prints; see `uvim_fsq.experiment.compare`."""
    if words:
        from uvim_fsq.settings.command_line import unknown_option

        raise ConfigError(unknown_option(words[0], ("--output",), {}))
    first = Path(options.models[0])
    if options.output is None:
        if len(options.models) > 1 or not (first / "experiment.json").is_file():
            raise ConfigError("add --output FOLDER, where tables and page are to go")

        from uvim_fsq.experiment.plan import load_plan
        from uvim_fsq.experiment.results import write_results

        folder, written = first, write_results(load_plan(first))
    else:
        from uvim_fsq.experiment.compare import compare

        folder = Path(options.output)
        written = compare(options.models, folder)
    print((folder / "table.txt").read_text(encoding="utf-8"))
    print("\n".join(map(str, written)))
