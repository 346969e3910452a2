"""Prepares data before a run: `python scripts/prepare_data.py tfds nyu_depth_v2`."""

import argparse
import sys
from pathlib import Path

from prepare_pack import add_pack_command

_SPLITS = ("train", "validation", "test")


def main(arguments: list[str] | None = None) -> int:
    """Runs the subcommand that the arguments name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="prepare_data.py", description=__doc__)
    commands = parser.add_subparsers(title="data sets", required=True, metavar="NAME")
    _add_scenes(commands)
    _add_tfds(commands)
    _add_lists(commands)
    add_pack_command(commands)
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
    from uvim_fsq.data.scenes.source import Scenes
    from uvim_fsq.errors import DataError

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


_DATA_DIR = "where TFDS keeps its data, if not $TFDS_DATA_DIR or ~/tensorflow_datasets"


def _add_tfds(commands) -> None:
    command = commands.add_parser(
        "tfds",
        help="prepare a dataset of TFDS's catalogue",
        description="Downloads a dataset and writes it as ArrayRecord files, which training reads "
        "without TensorFlow. It says first how much space that takes: nyu_depth_v2 34 GB of "
        "download and 115 GB beside it, coco/2017_panoptic 21 and 44 GB, imagenet2012 157 GB. "
        "ImageNet needs an account at https://image-net.org/download-images: put "
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into --manual-dir. Other archives "
        "that lie there under their own names (nyudepthv2.tar.gz, train2017.zip, ...) are not "
        "downloaded again. Stopped, it goes on from the archives when started again.",
    )
    command.add_argument(
        "name", help="nyu_depth_v2, coco/2017_panoptic, imagenet2012 or another"
    )
    command.add_argument("--data-dir", type=Path, help=_DATA_DIR)
    command.add_argument(
        "--manual-dir",
        type=Path,
        help="archives downloaded by hand, if not in `manual` in the download folder",
    )
    command.add_argument(
        "--download-dir", type=Path, help="if not `downloads` in the data folder"
    )
    command.set_defaults(run=_tfds)


def _tfds(options) -> int:
    from uvim_fsq.data.tfds.prepare import prepare
    from uvim_fsq.errors import DataError

    try:
        prepare(
            options.name,
            options.data_dir,
            options.manual_dir,
            options.download_dir,
            say=lambda line: print(line, flush=True),
        )
    except DataError as error:
        print(f"prepare_data.py tfds: {error}", file=sys.stderr)
        return 1
    return 0


def _add_lists(commands) -> None:
    command = commands.add_parser(
        "imagenet2012-lists",
        help="write the two lists of file names that FID-5k needs",
        description="Writes eval_file_names.txt and reference_file_names.txt: the first 5,000 and "
        "the third 5,000 pictures of ImageNet's validation split in the order in which TFDS reads "
        "its files by default. `prepare_data.py tfds imagenet2012` comes first; the validation "
        "pictures alone are enough.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--data-dir", type=Path, help=_DATA_DIR)
    command.add_argument(
        "--output", type=Path, default=Path("."), help="folder to write the lists into"
    )
    command.add_argument(
        "--count",
        type=int,
        default=5000,
        help="names in each list; with another number it is not FID-5k",
    )
    command.set_defaults(run=_lists)


def _lists(options) -> int:
    from uvim_fsq.data.tfds.imagenet_lists import write_lists
    from uvim_fsq.errors import DataError

    try:
        paths = write_lists(options.output, options.data_dir, options.count)
    except DataError as error:
        print(f"prepare_data.py imagenet2012-lists: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(f"{options.count} names are in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
