"""Prepares data before a run: `python scripts/prepare_data.py scenes --size 128`."""

import argparse
import sys
from pathlib import Path

_SPLITS = ("train", "validation", "test")


def main(arguments: list[str] | None = None) -> int:
    """Runs the subcommand that the arguments name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="prepare_data.py", description=__doc__)
    commands = parser.add_subparsers(title="data sets", required=True, metavar="NAME")
    _add_scenes(commands)
    options = parser.parse_args(arguments)
    return options.run(options)


def _add_scenes(commands) -> None:
    command = commands.add_parser(
        "scenes",
        help="render the built-in scenes into their cache",
        description="Renders built-in scenes into the cache that training reads. Training does "
        "so by itself where scenes are missing; finished work is kept if this is stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        "--size",
        type=int,
        nargs="+",
        required=True,
        metavar="PIXELS",
        help="one number for square pictures, or height and width",
    )
    command.add_argument("--count", type=int, default=16000, help="number of scenes")
    command.add_argument(
        "--split", choices=_SPLITS, default="train", help="which stream"
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the stream")
    command.add_argument(
        "--cache-dir",
        type=Path,
        help="where the cache is, if not $UVIM_FSQ_CACHE or ~/.cache/uvim_fsq/scenes",
    )
    command.add_argument(
        "--workers", type=int, help="processes, if not one for each core"
    )
    command.set_defaults(run=_scenes)


def _scenes(options) -> int:
    # Imported here: --help need not wait for it.
    from uvim_fsq.data.errors import DataError
    from uvim_fsq.data.scenes import Scenes

    size = options.size * 2 if len(options.size) == 1 else options.size
    try:
        source = Scenes(
            tuple(size),
            options.count,
            seed=options.seed,
            split=options.split,
            cache_dir=options.cache_dir,
            workers=options.workers,
        )
    except DataError as error:
        print(f"prepare_data.py scenes: {error}", file=sys.stderr)
        return 1
    print(f"{len(source)} scenes are in {source.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
