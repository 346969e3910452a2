"""`uvim-fsq score-panoptic`: panoptic quality of predictions that any program made."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvim_fsq.cli.panopticapi import (
    GROUPS,
    KINDS,
    CrossCheckError,
    find_pq_compute,
    their_scores,
)
from uvim_fsq.errors import ConfigError
from uvim_fsq.files import write_text
from uvim_fsq.markup import json_text
from uvim_fsq.tables import aligned

_DESCRIPTION = """Score panoptic predictions in COCO's format (PQ, SQ and RQ in percent) as COCO's
own program does. GT_JSON and PRED_JSON belong to folders of PNGs whose colours are segment ids."""
_TOLERANCE = 1e-6
_SECONDS_BETWEEN_LINES = 10.0


def add(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    command = commands.add_parser(
        "score-panoptic",
        help="score panoptic predictions in COCO's format, made by any program",
        description=_DESCRIPTION,
    )
    command.set_defaults(command="score_panoptic")
    command.add_argument(
        "truth", metavar="GT_JSON", help="ground truth, as panoptic_val2017.json"
    )
    command.add_argument(
        "predictions", metavar="PRED_JSON", help="predictions; needs annotations only"
    )
    for option, what in (("--gt-folder", "GT_JSON"), ("--pred-folder", "PRED_JSON")):
        command.add_argument(
            option,
            metavar="FOLDER",
            help=f"its PNGs; by default {what} without its ending",
        )
    command.add_argument(
        "--cross-check",
        nargs="?",
        const="",
        metavar="CHECKOUT",
        help="compare with COCO's own program, panopticapi: the installed one, or a folder with its "
        "code (named last: a word that follows is taken for one)",
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="threads; by default all processors"
    )
    command.add_argument(
        "--output", metavar="FILE", help="a JSON for scores and those of each picture"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace that file if it is there"
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Score, print tables, and compare if asked; see `evaluators.panoptic_files`.

    Raises CrossCheckError if the scores differ by more than 1e-6 percent.
    """
    if words:
        raise ConfigError(f"there is no option {words[0]}; see score-panoptic --help")
    if options.workers is not None and options.workers < 1:
        raise ConfigError(f"--workers must be at least 1, found {options.workers}")
    output = Path(options.output) if options.output else None
    if output is not None and output.exists() and not options.overwrite:
        raise ConfigError(
            f"{output} exists already: choose another --output, or --overwrite"
        )
    theirs = None
    if options.cross_check is not None:
        theirs = find_pq_compute(options.cross_check)

    from uvim_fsq.evaluation.panoptic_files import score_files

    files = options.truth, options.predictions, options.gt_folder, options.pred_folder
    with _progress() as report:
        result = score_files(*files, options.workers, report)
    _print_tables(result)
    if output is not None:
        _write(output, {"scores": result.scores, "per_image": result.per_image})
        print(f"scores: {output}")
    if theirs is not None:
        _compare(result.scores, their_scores(theirs, files, result.categories))


def _compare(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    """Classes that do not occur are 0 there and absent here."""
    differences = {name: abs(ours.get(name, 0.0) - theirs[name]) for name in theirs}
    name = max(differences, key=lambda each: differences[each])
    largest = differences[name]
    print(
        f"cross-check of {len(theirs)} values with panopticapi: "
        f"largest difference {largest:.3g} ({name})"
    )
    if not largest <= _TOLERANCE:
        raise CrossCheckError(
            f"{name} is {ours.get(name, 0.0)} here and {theirs[name]} by panopticapi, "
            f"more than {_TOLERANCE} apart"
        )


def _print_tables(result: Any) -> None:
    counts = result.counts
    groups = [["", "PQ", "SQ", "RQ", "classes"]]
    for group, title in GROUPS.items():
        if f"pq{group}" in result.scores:
            values = [f"{result.scores[f'{kind}{group}']:.2f}" for kind in KINDS]
            groups.append([title, *values, str(result.scores[f"classes{group}"])])
    classes = [["class", "kind", "PQ", "SQ", "RQ", "TP", "FP", "FN"]]
    for label, category in enumerate(result.categories):
        name = category.name
        if f"pq_class/{name}" in result.scores:
            values = [f"{result.scores[f'{kind}_class/{name}']:.2f}" for kind in KINDS]
            numbers = [str(each[label]) for each in (counts.tp, counts.fp, counts.fn)]
            kind = "thing" if category.isthing else "stuff"
            classes.append([name, kind, *values, *numbers])
    print(f"{aligned(classes, left=2)}\n\n{aligned(groups)}")
    print(f"pictures: {result.scores['images']}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yields `report(done, total)`: a bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Scoring")
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    start = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            left = (now - start) / done * (total - done)
            line = f"Scoring: {done} of {total} pictures, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    yield report


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json_text(content, indent=1))
