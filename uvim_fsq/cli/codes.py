"""`uvim-fsq codes`: the guiding codes of a data set as files."""

import argparse
from pathlib import Path
from typing import Any

from uvim_fsq.cli.options import MODEL_HELP, add_command, add_source_option

_OPTIONS = [
    *("--source", "--part", "--output", "--limit", "--batch-size", "--stage2-seed")
]


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(
        commands, "codes", "write the guiding codes of a data set, and how it uses them"
    )
    command.add_argument("run", metavar="MODEL", help=MODEL_HELP)
    add_source_option(command)
    command.add_argument(
        "--part",
        choices=("train", "validation", "test", "all"),
        default="train",
        help="of the data; all: one after another",
    )
    command.add_argument(
        "--output",
        metavar="FOLDER",
        help="a new folder; RUN/codes_PART, or codes/BUNDLE_PART, by default",
    )
    command.add_argument(
        "--limit", type=int, metavar="N", help="the first so many pictures only"
    )
    command.add_argument(
        "--batch-size", type=int, metavar="N", help="pictures that are encoded at once"
    )
    command.add_argument(
        "--stage2-seed",
        type=int,
        metavar="N",
        help="which stage II tells the cost, if the run has several",
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Settles the settings, then hands over; see `uvim_fsq.codes.write`."""
    from uvim_fsq.cli.commands import changed_settings
    from uvim_fsq.runs.open import open_trained
    from uvim_fsq.settings.command_line import LoadingSettings

    saved = open_trained(options.run).config
    changes = changed_settings(saved, LoadingSettings, options.source, words, _OPTIONS)

    from uvim_fsq.codes.write import write_codes

    write_codes(
        options.run,
        Path(options.output) if options.output else None,
        changes,
        part=options.part,
        limit=options.limit,
        batch_size=options.batch_size,
        seed=options.stage2_seed,
    )
