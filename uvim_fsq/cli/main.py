"""Commands and options of `uvim-fsq`, and what its errors look like.

Nothing slow is imported here: every command imports what it needs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from uvim_fsq import __version__
from uvim_fsq.cli import score_fid, score_panoptic

# Of predictions that any program made.
_SCORERS = {"score_panoptic": score_panoptic, "score_fid": score_fid}
_SETTINGS_HINT = "Every setting below can be given, as in --stage1.model.width 192."
_CONFIG_HELP = "a Python file with get_config(variant, preset), or the name of one that comes along: depth, panoptic, colorization"
_RUN_HELP = "the folder of a training run"
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
    """Runs one command; returns the exit code, see `explained`."""

    def command() -> None:
        options, settings = _parser().parse_known_args(arguments)
        scorer = _SCORERS.get(options.command.replace("-", "_"))
        if scorer is not None:
            scorer.run(options, settings)
            return
        from uvim_fsq.cli import commands

        getattr(commands, options.command)(options, settings)

    return explained(command)


def explained(work: Callable[[], None]) -> int:
    """Does some work; what goes wrong in a foreseen way becomes one sentence on stderr.

    Returns the exit code. 0: done. 2: input that cannot be used. 1: the work failed. 128 + signal:
    interrupted. Anything unforeseen keeps its traceback.
    """
    try:
        work()
    except KeyboardInterrupt:
        print("uvim-fsq: stopped.", file=sys.stderr)
        return 130
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(f"uvim-fsq: {_sentence(error)}", file=sys.stderr)
        return code
    return 0


class _Parser(argparse.ArgumentParser):
    """Errors are one sentence, and options are never abbreviated."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        where = f"{self.prog} --help"
        print(f"uvim-fsq: {message}; see {where}.", file=sys.stderr)
        raise SystemExit(2)


class _SettingsHelp(argparse.Action):
    """`--help` that goes on with the settings, at their values in the configuration named."""

    def __init__(self, option_strings, dest, **_):
        super().__init__(option_strings, dest, nargs=0, help="show this and leave")

    def __call__(self, parser, namespace, values, option_string=None):
        from uvim_fsq.cli import commands

        parser.print_help()
        print()
        commands.print_settings_help(namespace)
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="uvim-fsq", description="UViM dense prediction with FSQ and VQ."
    )
    parser.add_argument(
        "--version", action="version", version=f"uvim-fsq {__version__}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    train = _command(
        commands, "train", "train both stages; the same command continues a run"
    )
    _add_config_options(train)
    train.add_argument(
        "--stage", choices=("1", "2", "both"), default="both", help="which to train"
    )
    train.add_argument(
        "--stage1",
        metavar="RUN",
        help="take stage I from another run, and train stage II",
    )

    config = _command(
        commands, "config", "print the settings of a configuration as JSON"
    )
    _add_config_options(config)

    _add_evaluate(commands)
    _add_predict(commands)
    for scorer in _SCORERS.values():
        scorer.add(commands)
    return parser


def _add_evaluate(commands) -> None:
    evaluate = _command(commands, "evaluate", "score a run on held-out data")
    evaluate.add_argument("run", metavar="RUN", help=_RUN_HELP)
    _add_source_option(evaluate)
    evaluate.add_argument(
        "--part",
        choices=("test", "validation", "train"),
        default="test",
        help="of the data",
    )
    evaluate.add_argument(
        "--output", metavar="FOLDER", help="where scores go; RUN/evaluation by default"
    )
    evaluate.add_argument(
        "--stage2-seed",
        type=int,
        metavar="N",
        help="which stage II, if the run has several",
    )


def _add_predict(commands) -> None:
    predict = _command(commands, "predict", "predict on pictures", settings=False)
    predict.add_argument("run", metavar="RUN", help=_RUN_HELP)
    predict.add_argument(
        "images", metavar="IMAGE", nargs="+", help="pictures, of any size"
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
    for option, kind, text in _SAMPLING:
        letter = "X" if kind is float else "N"
        predict.add_argument(option, type=kind, metavar=letter, help=text)


def _command(commands, name: str, text: str, settings: bool = True):
    description = text[0].upper() + text[1:] + "."
    if not settings:
        return commands.add_parser(name, help=text, description=description)
    command = commands.add_parser(
        name, help=text, description=f"{description} {_SETTINGS_HINT}", add_help=False
    )
    command.add_argument("-h", "--help", action=_SettingsHelp)
    command.set_defaults(command=name)  # `_SettingsHelp` needs it before parsing ends.
    return command


def _add_config_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", metavar="CONFIG", help=_CONFIG_HELP)
    command.add_argument(
        "--variant", help="the bottleneck, such as fsq, vq or vq_no_split"
    )
    command.add_argument("--preset", help="size of model, data and training")
    _add_source_option(command)
    command.add_argument(
        "--codebook-size",
        type=int,
        metavar="K",
        help="of the quantizer; FSQ takes levels whose product comes close",
    )


def _add_source_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--source",
        choices=("scenes", "folder", "coco", "pictures", "records", "tfds"),
        help="another kind of data, see --data.*",
    )


def _exit_code(error: BaseException) -> int | None:
    """The exit code for an error that a sentence explains; None for one that is unforeseen."""
    if isinstance(error, OSError) and error.strerror:
        return 2
    if not type(error).__module__.startswith(("uvim_fsq.", "evaluators.")):
        return None
    if type(error).__name__ == "HookError":  # Says where; its cause says what.
        return _exit_code(error.__cause__) if error.__cause__ else None
    return getattr(error, "exit_code", 2 if isinstance(error, ValueError) else 1)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}."
    text = "; ".join([str(error).rstrip("."), *getattr(error, "__notes__", [])])
    return text if text.endswith((".", "?", "!")) else f"{text}."
