"""`uvim-fsq export-big-vision`: a model of this package for the public UViM code."""

import argparse
from pathlib import Path
from typing import Any

from uvim_fsq.cli.options import MODEL_HELP, add_command
from uvim_fsq.errors import ConfigError

_TEXT = "write a VQ model as published UViM checkpoints are, for the public code"


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(commands, "export-big-vision", _TEXT, settings=False)
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument(
        "--output",
        metavar="FOLDER",
        required=True,
        help="a new folder for stage1.npz, stage2.npz and model.json",
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Exports and prints the files; see `uvim_fsq.share.export_big_vision`."""
    if words:
        from uvim_fsq.settings.command_line import unknown_option

        raise ConfigError(unknown_option(words[0], ("--output",), {}))

    from uvim_fsq.runs.open import open_trained
    from uvim_fsq.share.export_big_vision import export_big_vision

    written = export_big_vision(open_trained(options.model), Path(options.output))
    print("\n".join(map(str, written)))
