"""`uvim-fsq describe`: what a configuration costs, before it runs."""

import argparse
from typing import Any

from uvim_fsq.cli.options import add_command, add_config_options
from uvim_fsq.markup import json_text

_OPTIONS = ("--devices", "--memory-gb", "--tflops", "--examples", "--json")


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = add_command(
        commands,
        "describe",
        "print what a configuration costs: parameters, arithmetic, memory and, at a given speed, "
        "time; nothing is built and no data is read",
    )
    add_config_options(command)
    command.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="that share each batch; 1 by default",
    )
    command.add_argument(
        "--memory-gb",
        type=float,
        default=80.0,
        metavar="X",
        help="of a device, in 10^9 bytes; 80 by default",
    )
    command.add_argument(
        "--tflops",
        type=float,
        metavar="X",
        help="that a device achieves, in 10^12 operations per second, for times",
    )
    command.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="in the training data, for the steps of so many epochs",
    )
    command.add_argument(
        "--json", action="store_true", help="print JSON instead of tables"
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Settles the settings, checks them, and describes; see `uvim_fsq.cost`."""
    from uvim_fsq.cli.commands import settled
    from uvim_fsq.data.scenes.settings import ScenesConfig
    from uvim_fsq.fields import replace
    from uvim_fsq.settings.check import check

    config, _ = settled(options, words, _OPTIONS)
    # The data need not be there, nor be named: nothing is read of it.
    stages = (1,) if config.quantizer.size is None else (1, 2)
    check(replace(config, data=ScenesConfig()), stages)

    from uvim_fsq.cost.describe import Machine, describe
    from uvim_fsq.cost.report import print_description

    machine = Machine(
        options.devices, options.memory_gb, options.tflops, options.examples
    )
    description = describe(config, machine)
    if options.json:
        print(json_text(description, indent=2))
    else:
        print_description(description)
