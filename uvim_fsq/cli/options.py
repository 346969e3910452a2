"""Building blocks of the commands' options. Nothing slow is imported here."""

import argparse
import sys
from typing import Any, NoReturn

from uvim_fsq.errors import nearest

_SETTINGS_HINT = "Every setting below can be given, as in --loader-threads 4."
CONFIG_HELP = (
    "a Python file with get_config(variant, preset), or the name of one that comes along, see below; "
    "or a trained model or JSON file, whose settings are taken"
)
MODEL_HELP = "a run, a bundle, or OWNER/NAME on the Hugging Face Hub"


def add_command(commands, name: str, text: str, settings: bool = True):
    """A command's parser; with `settings`, its help goes on with the settings that it takes."""
    description = text[0].upper() + text[1:] + "."
    if not settings:
        return commands.add_parser(name, help=text, description=description)
    command = commands.add_parser(
        name, help=text, description=f"{description} {_SETTINGS_HINT}", add_help=False
    )
    command.add_argument("-h", "--help", action=_SettingsHelp)
    command.set_defaults(command=name)  # `_SettingsHelp` needs it before parsing ends.
    return command


def add_config_options(command: argparse.ArgumentParser) -> None:
    """What chooses a configuration: CONFIG, --variant, --preset, --source, --codebook-size."""
    command.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    command.add_argument("--variant", help="the bottleneck, see below")
    add_preset_option(command)
    add_source_option(command)
    command.add_argument(
        "--codebook-size",
        type=int,
        metavar="K",
        help="of the quantizer; FSQ takes levels whose product comes close",
    )


def add_preset_option(command: argparse.ArgumentParser) -> None:
    """`--preset`."""
    command.add_argument("--preset", help="size of model, data and training, see below")


def add_source_option(command: argparse.ArgumentParser) -> None:
    """`--source`."""
    command.add_argument(
        "--source",
        choices=("scenes", "folder", "coco", "pictures", "records", "tfds"),
        help="another kind of data, see below and --data.*",
    )


class Parser(argparse.ArgumentParser):
    """Errors are one sentence, and options are never abbreviated."""

    def __init__(self, **options: Any):
        super().__init__(**options, allow_abbrev=False)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse lists what may be chosen; this offers the nearest."""
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action, f"there is no {value!r}: {nearest(str(value), names)}"
            )

    def error(self, message: str) -> NoReturn:
        asks = message.endswith("?")
        message = message if asks else f"{message.rstrip('.')}; see {self.prog} --help."
        print(f"uvim-fsq: {message}", file=sys.stderr)
        raise SystemExit(2)


class _SettingsHelp(argparse.Action):
    """`--help` that goes on with the settings, at their values in the configuration named."""

    def __init__(self, option_strings, dest, **_):
        super().__init__(option_strings, dest, nargs=0, help="show this and leave")

    def __call__(self, parser, namespace, values, option_string=None):
        from uvim_fsq.cli import commands

        parser.print_help()
        print()
        commands.print_catalogue(namespace)
        print()
        commands.print_settings_help(namespace)
        parser.exit()
