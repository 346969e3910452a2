"""Commands and options of `uvim-fsq`.

Nothing slow is imported here: every command imports what it needs.
"""

import argparse
import logging
from collections.abc import Sequence

from uvim_fsq import __version__
from uvim_fsq.cli import (
    codes,
    describe,
    experiment,
    export,
    export_big_vision,
    import_big_vision,
    report,
    score_fid,
    score_panoptic,
)
from uvim_fsq.cli.failure import explained, silence
from uvim_fsq.cli.options import (
    MODEL_HELP,
    Parser,
    add_command,
    add_config_options,
    add_source_option,
)

# Each adds its options with `add(commands)` and works in `run(options, words)`.
_MODULES = {
    "codes": codes,
    "describe": describe,
    "experiment": experiment,
    "export": export,
    "export_big_vision": export_big_vision,
    "import_big_vision": import_big_vision,
    "report": report,
    "score_panoptic": score_panoptic,
    "score_fid": score_fid,
}
_SAMPLING = (
    (
        "--temperature",
        float,
        "of the sampler, 0 for greedy; by default what suits the task",
    ),
    ("--top-k", int, "draw among the N most likely indices; 0 for all"),
    (
        "--top-p",
        float,
        "draw among the most likely indices that hold this share of probability",
    ),
    ("--samples", int, "predict the mean of so many samples"),
    ("--seed", int, "of the sampler"),
    ("--batch-size", int, "pictures that are predicted at once"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code, see `explained`.

    Without arguments it is the program: those of the command line are taken, and once it has said why
    it failed, nothing follows.
    """

    def command() -> None:
        options, settings = command_parser().parse_known_args(arguments)
        module = _MODULES.get(options.command.replace("-", "_"))
        if module is not None:
            module.run(options, settings)
            return
        from uvim_fsq.cli import commands

        getattr(commands, options.command)(options, settings)

    if arguments is None:
        # Before a library does it in a way of its own, once it logs something.
        logging.basicConfig(format="%(levelname)s: %(message)s")
    code = explained(command)
    if arguments is None and code:
        silence()
    return code


def command_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, a subcommand for each command."""
    parser = Parser(
        prog="uvim-fsq", description="UViM dense prediction with FSQ and VQ."
    )
    parser.add_argument(
        "--version", action="version", version=f"uvim-fsq {__version__}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    train = add_command(
        commands, "train", "train both stages; the same command continues a run"
    )
    add_config_options(train)
    train.add_argument(
        "--stage", choices=("1", "2", "both"), default="both", help="which to train"
    )
    train.add_argument(
        "--stage1",
        metavar="MODEL",
        help="take stage I from another run or bundle, and train stage II",
    )
    train.add_argument(
        "--stage2-seed",
        type=int,
        metavar="N",
        help="train one more stage II with another seed than the run's",
    )
    train.add_argument(
        "--new-data",
        action="store_true",
        help="continue a run with other data than it began with, which is noted in it",
    )

    config = add_command(
        commands, "config", "print the settings of a configuration as JSON"
    )
    add_config_options(config)

    _add_evaluate(commands)
    _add_predict(commands)
    for module in _MODULES.values():
        module.add(commands)
    return parser


def _add_evaluate(commands) -> None:
    evaluate = add_command(commands, "evaluate", "score a run on held-out data")
    evaluate.add_argument("run", metavar="MODEL", help=MODEL_HELP)
    add_source_option(evaluate)
    evaluate.add_argument(
        "--part",
        choices=("test", "validation", "train"),
        default="test",
        help="of the data",
    )
    evaluate.add_argument(
        "--output",
        metavar="FOLDER",
        help="where scores go; RUN/evaluation, or evaluations/BUNDLE, by default",
    )
    evaluate.add_argument(
        "--stage1-only",
        action="store_true",
        help="score stage I's reconstructions alone: the bound that it sets",
    )
    evaluate.add_argument(
        "--stage2-seed",
        type=int,
        metavar="N",
        help="which stage II, if the run has several",
    )


def _add_predict(commands) -> None:
    predict = add_command(commands, "predict", "predict on pictures", settings=False)
    predict.add_argument("run", metavar="MODEL", help=MODEL_HELP)
    predict.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="images of any size: files, folders (at any depth), or patterns such as 'in/*.jpg'",
    )
    predict.add_argument(
        "--output", metavar="FOLDER", required=True, help="where predictions go"
    )
    predict.add_argument(
        "--overwrite", action="store_true", help="replace predictions that are there"
    )
    predict.add_argument(
        "--keep-luminance",
        action="store_true",
        help="colorization: put the colours on the picture's own luminance, at full sharpness",
    )
    predict.add_argument(
        "--format",
        choices=("png", "npy"),
        help="depth: 16-bit millimetres up to 65.535 m, by default, or float32 metres",
    )
    for option, kind, text in _SAMPLING:
        letter = "X" if kind is float else "N"
        predict.add_argument(option, type=kind, metavar=letter, help=text)
