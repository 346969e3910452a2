"""Measures how fast the loader is: `python -m benchmarks.data folder=my_frames scenes=128`.

    python -m benchmarks.data coco=data/coco records=data/coco_packed --size 128 512
    python -m benchmarks.data tfds=nyu_depth_v2@/data/tfds --threads 1 2 8 --json out.json

Each source is read, augmented and encoded for training, for every task that it has labels for,
through the loader that training uses; files come from the system's cache once they were read. The
table gives examples a second with each number of threads (/s x1), examples for each second of
processor time (/CPU s: what one core does, whatever else the machine is doing), and the milliseconds
of processor time that an example takes one thread, by step.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; returns the exit status."""
    options = _parser().parse_args(arguments)
    # Imported here: --help need not wait for it.
    from benchmarks.loader import measure, open_source, rows, tasks_for
    from uvim_fsq.errors import DataError
    from uvim_fsq.settings import ConfigError
    from uvim_fsq.tables import aligned

    results = []
    try:
        for spec in options.sources:
            source = open_source(spec)
            for size in options.size:
                for name, task in tasks_for(source, (size, size)).items():
                    print(f"measuring {spec}, {name}, {size} px ...", file=sys.stderr)
                    result = measure(
                        source,
                        task,
                        options.threads,
                        options.batch,
                        options.seconds / options.rounds,
                        options.rounds,
                    )
                    results.append({"source": spec, "task": name, **result})
                    # Written as it goes: what is measured is kept, whatever comes next.
                    if options.json:
                        _write(options.json, results)
    except (ConfigError, DataError) as error:
        print(f"benchmarks.data: {error}", file=sys.stderr)
        return 2
    finally:
        if results:
            print(aligned(rows(results), left=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="KIND=PLACE",
        help="folder, coco, pictures or records and a folder; scenes and the pixels of a side; "
        "tfds and NAME or NAME@DIRECTORY",
    )
    add("--size", type=_positive, nargs="+", default=[512], help="(default: 512)")
    add("--threads", type=_positive, nargs="+", default=[1, 2], help="(default: 1 2)")
    add("--batch", type=_positive, default=16, help="(default: 16)")
    add("--seconds", type=float, default=6.0, help="for each rate (default: 6)")
    add("--rounds", type=_positive, default=3, help="that they are in (default: 3)")
    add("--json", type=Path, metavar="FILE", help="keep all figures here")
    return parser


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {number}")
    return number


def _write(file: Path, results: list[dict]) -> None:
    from benchmarks.worker import describe_device

    report = {
        "date": datetime.date.today().isoformat(),
        "device": describe_device(),
        "results": results,
    }
    file.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
