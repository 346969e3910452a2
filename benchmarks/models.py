"""Measures how fast a configuration is: `python -m benchmarks.models --preset quickstart`.

    python -m benchmarks.models --preset midsize --variant vq --set channels=134,100 --json out.json
    python -m benchmarks.models --preset paper --set batch=64 --against stage1.model.dtype=bfloat16
    python -m benchmarks.models --preset midsize --what stage2 --against variant=vq

Parts: stage1 and stage2 (training steps with their optimizer), sampling (drawing guiding codes),
predict (from image to prediction), loader, splitting (of VQ's codebook, at its worst and at the
published size), peak_float32, peak_bfloat16. Each runs in a process of
its own, so that its memory is its own; times are medians over rounds that are interleaved with a
large matrix product, the device's peak, whose arithmetic per second the shares refer to. Memory is
the process's highest, compilation included. Compiling is the first call less the second, with an
empty cache and again in another process with the cache that this left. Pictures, labels and
weights are random.

--set and --against take NAME=VALUE pairs: any setting (stage2.model.width=192), `variant`,
`preset`, and: `batch` (of both stages), `channels` (classes of each channel of the target, as in
134,100, in place of the task's own), `unroll` (layers compiled as one). --against measures a
second setting (B: those of A and these changes) in the same rounds, and prints the ratio.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

DEFAULT_PARTS = ("stage1", "stage2", "sampling", "predict", "loader")


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    options = _parser().parse_args(arguments)
    # Imported here: --help need not wait for it.
    from benchmarks.measure import WorkerError, measure, ratio
    from benchmarks.report import table
    from uvim_fsq.settings import ConfigError

    try:
        names = _parts(options.what)
        pairs = [*_pairs(options.set)]
        cases = [_case(options, pairs)]
        if options.against:
            cases.append(_case(options, [*pairs, *_pairs(options.against)]))
    except ConfigError as error:
        print(f"benchmarks.models: {error}", file=sys.stderr)
        return 2
    measured: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "settings": {"A": _text(options, options.set)},
        "cases": cases,
        "parts": [],
    }
    if options.against:
        measured["settings"]["B"] = "A with " + " ".join(options.against)
    status = 0
    try:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results, peak = measure(name, cases, options.rounds)
            entry: dict[str, Any] = {"results": results, "peak": peak}
            if len(results) == 2:
                entry["ratio"] = ratio(*results)
            measured["parts"].append(entry)
            # Written as it goes: what is measured is kept, whatever comes next.
            if options.json:
                options.json.write_text(
                    json.dumps(measured, indent=1, allow_nan=False) + "\n"
                )
    except WorkerError as error:
        print(f"benchmarks.models: {error}", file=sys.stderr)
        status = 1
    if measured["parts"]:
        print(table(measured))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", default="depth", help="configuration (default: depth)"
    )
    parser.add_argument("--variant", default="fsq", help="(default: fsq)")
    parser.add_argument("--preset", default="quickstart", help="(default: quickstart)")
    parser.add_argument(
        "--what",
        default=",".join(DEFAULT_PARTS),
        help="parts, separated by commas (default: %(default)s)",
    )
    pairs: dict[str, Any] = dict(nargs="+", metavar="NAME=VALUE", default=[])
    parser.add_argument("--set", **pairs, help="changes of A and B")
    parser.add_argument("--against", **pairs, help="changes that make B of A")
    parser.add_argument("--rounds", type=int, default=7, help="(default: 7)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep all figures here"
    )
    return parser


def _parts(what: str) -> list[str]:
    from benchmarks.case import PART_NAMES
    from uvim_fsq.configs.variants import pick

    return [
        pick({name: name for name in PART_NAMES}, name, "part")
        for name in what.split(",")
    ]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    from uvim_fsq.settings import ConfigError

    for word in words:
        if "=" not in word:
            raise ConfigError(f"expected NAME=VALUE, such as batch=8, found {word!r}.")
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def _case(options, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Plain values of `benchmarks.case.Case`."""
    from benchmarks.case import Case
    from uvim_fsq.settings import ConfigError, check
    from uvim_fsq.settings.command_line import override
    from uvim_fsq.settings.find import load_config

    named = {"variant": options.variant, "preset": options.preset}
    named |= {"channels": "", "unroll": "1", "batch": ""}
    words = []
    for name, value in pairs:
        if name in named:
            named[name] = value
        else:
            words += [f"--{name}", *value.split()]
    if named["batch"]:
        batch = named["batch"]
        words += ["--stage1.batch-size", batch, "--stage2.batch-size", batch]
    config, _ = load_config(options.config, named["variant"], named["preset"])
    config = override(config, words)
    check.check(config)
    try:
        channels = tuple(int(word) for word in named["channels"].split(",") if word)
        unroll = int(named["unroll"])
    except ValueError as error:
        raise ConfigError(f"channels and unroll are whole numbers: {error}.") from None
    return Case(config, channels, unroll).to_dict()


def _text(options, words: list[str]) -> str:
    start = f"{options.config}, preset {options.preset}, variant {options.variant}"
    return f"{start}, with {' '.join(words)}" if words else start


if __name__ == "__main__":
    sys.exit(main())
