"""`uvim-fsq export`: a trained model as a bundle, to keep and to share."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from uvim_fsq.cli.options import MODEL_HELP, add_command
from uvim_fsq.errors import ConfigError

_OPTIONS = ("--output", "--stage2-seed")


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(
        commands,
        "export",
        "write a trained model as a bundle: one folder with weights, settings and a model card, "
        "which needs neither the run nor the data",
        settings=False,
    )
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument(
        "--output", metavar="FOLDER", required=True, help="the bundle, a new folder"
    )
    command.add_argument(
        "--stage2-seed",
        type=int,
        metavar="N",
        help="which stage II, if the run has several",
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Writes, and says what is in it; see `uvim_fsq.share.bundle`."""
    if words:
        from uvim_fsq.settings.command_line import unknown_option

        raise ConfigError(unknown_option(words[0], _OPTIONS, {}))

    from uvim_fsq.share.bundle import save_bundle, summary

    folder = Path(options.output)
    held = save_bundle(options.model, folder, options.stage2_seed)
    print(f"{folder}: {summary(held)}")
    for file in sorted(folder.iterdir()):
        print(f"  {file.name:<18} {_size(file.stat().st_size):>9}")
    if held.stage2() is None:
        print("It holds stage I alone, on which a stage II can be trained:")
        print(f"  uvim-fsq train CONFIG --stage1 {folder}")
    else:
        print(
            f"  uvim-fsq predict {shlex.quote(str(folder))} picture.jpg --output predictions"
        )


def _size(count: int | float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
