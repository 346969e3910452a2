"""`uvim-fsq import-big-vision`: published UViM checkpoints as a model of this package."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from uvim_fsq.cli.options import add_command
from uvim_fsq.errors import ConfigError

_TEXT = "make a bundle of published UViM checkpoints, big_vision's .npz files"
_DESCRIPTION = (
    "Sizes are told from the arrays; nothing is unpickled. What else the settings say is as in the "
    "published runs; they can be overridden, as in --task.max_depth 20."
)
_OPTIONS = (
    *("--task", "--output", "--image-size", "--patch-size", "--code-length"),
    "--categories",
)


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(commands, "import-big-vision", _TEXT, settings=False)
    command.description = f"{command.description} {_DESCRIPTION}"
    command.add_argument(
        "checkpoints",
        metavar="CHECKPOINT",
        nargs="+",
        help="the .npz file of stage I and, if you have it, that of stage II: paths, or gs://, hf:// "
        "or https:// addresses",
    )
    command.add_argument(
        "--task", choices=("depth", "panoptic", "colorization"), required=True
    )
    command.add_argument(
        "--output", metavar="FOLDER", required=True, help="the bundle, a new folder"
    )
    for option, what in (("image", "the image"), ("patch", "stage I's patches")):
        command.add_argument(
            f"--{option}-size",
            type=int,
            nargs=2,
            metavar=("ROWS", "COLUMNS"),
            help=f"of {what}, where the arrays do not tell or it is not square",
        )
    command.add_argument(
        "--code-length",
        type=int,
        metavar="N",
        help="positions of the code, where the arrays do not tell; 256 by default",
    )
    command.add_argument(
        "--categories",
        metavar="FILE",
        help="panoptic: a JSON of categories as in COCO's files; by default COCO's own where their "
        "number fits, else nameless ones",
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Imports and prints what was found; see `uvim_fsq.share.import_big_vision`."""
    addresses, output = options.checkpoints, Path(options.output)
    if len(addresses) > 2:
        raise ConfigError(
            f"expected the files of stage I and stage II, found {len(addresses)}: settings stand "
            "after the files, as in --task.max_depth 20."
        )
    if output.exists():
        raise ConfigError(f"{output} is there already: name another folder.")

    from uvim_fsq.data.categories import read_categories
    from uvim_fsq.settings.check import check
    from uvim_fsq.settings.command_line import override
    from uvim_fsq.settings.find import load_config
    from uvim_fsq.share.import_big_vision import import_checkpoints, inspect
    from uvim_fsq.share.import_summary import summary
    from uvim_fsq.weights.big_vision.sizes import Hints
    from uvim_fsq.weights.fetch import local_file

    base, _ = load_config(options.task, "vq", "paper")
    sizes = {
        name: None if value is None else tuple(value)
        for name, value in vars(options).items()
        if name in ("image_size", "patch_size")
    }
    found = inspect(
        [local_file(address) for address in addresses],
        base,
        Hints(**sizes, code_length=options.code_length),
        None if options.categories is None else read_categories(options.categories),
    )
    config = override(found.config, words, _OPTIONS)
    check(config)
    counts = import_checkpoints(found, config, output, addresses)
    print("\n".join(summary(found, config, counts)))
    print(f"Wrote {output}.")
    if len(addresses) == 2:
        print(
            f"Next: uvim-fsq predict {shlex.quote(str(output))} PICTURE.jpg --output predictions"
        )
    else:
        print(f"Next: uvim-fsq evaluate {shlex.quote(str(output))} --stage1-only")
