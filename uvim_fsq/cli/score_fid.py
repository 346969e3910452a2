"""`uvim-fsq score-fid`: FID between two folders of pictures."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvim_fsq.errors import ConfigError
from uvim_fsq.markup import json_text

_DESCRIPTION = (
    "FID between the pictures of a folder and those of a reference folder, at any depth and of any "
    "size. Pictures are prepared as ColTran prepares its reference pictures: the square centre "
    "crop, resized by area to 256 x 256. FID falls as pictures get more: compare only values "
    "of as many pictures."
)
_OPTIONS = ("--reference-folder", "--inception", "--cache", "--output")


def add(commands: Any) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "score-fid",
        help="FID between two folders of pictures",
        description=_DESCRIPTION,
    )
    command.add_argument(
        "pictures", metavar="PICTURES", help="the folder of pictures to score"
    )
    command.add_argument(
        "--reference-folder",
        metavar="FOLDER",
        required=True,
        help="the pictures that they are compared with",
    )
    command.add_argument(
        "--inception",
        metavar="SAVEDMODEL",
        required=True,
        help="the folder of TF-GAN's Inception, a TensorFlow SavedModel: "
        "tfhub.dev/tensorflow/tfgan/eval/inception/1, unpacked",
    )
    command.add_argument(
        "--cache",
        metavar="FOLDER",
        help="where features are kept, if not in $UVIM_FSQ_CACHE or ~/.cache/uvim_fsq",
    )
    command.add_argument(
        "--output", metavar="FILE", help="a JSON file that the score is written to"
    )


def run(options: argparse.Namespace, words: list[str]) -> None:
    """Scores, prints and writes; see `evaluators.fid`."""
    if words:
        from uvim_fsq.settings.command_line import unknown_option

        raise ConfigError(unknown_option(words[0], _OPTIONS, {}))
    output = Path(options.output) if options.output else None
    if output is not None and output.exists():
        raise ConfigError(
            f"{output} is there already: name another file, or remove it."
        )
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"{output}: there is no folder {output.absolute().parent}.")

    from uvim_fsq.evaluators.fid import FidError
    from uvim_fsq.evaluators.inception import InceptionError

    try:
        result = _score(options)
    except (FidError, InceptionError) as error:
        raise ConfigError(str(error)) from error
    (name, value), *_ = result["scores"].items()
    counts = result["scores"]
    print(
        f"{name} {value:.6g} ({counts['images']} pictures, "
        f"{counts['reference_images']} reference pictures)"
    )
    for warning in result["warnings"]:
        print(f"note: {warning}.", file=sys.stderr)
    if output is not None:
        _write(output, json_text(result, indent=2) + "\n")


def _score(options: argparse.Namespace) -> dict[str, Any]:
    from uvim_fsq.evaluation.fid_evaluator import score_pools
    from uvim_fsq.evaluation.fid_files import list_pictures, pool_of_files
    from uvim_fsq.evaluators.inception import InceptionFeatures

    folders = [Path(options.pictures), Path(options.reference_folder)]
    names = [list_pictures(folder) for folder in folders]
    _refuse_common(folders, names)
    extractor = InceptionFeatures(options.inception)
    pools = []
    for folder, listed in zip(folders, names, strict=True):
        with _progress(f"Features of {folder}", len(listed)) as report:
            pools.append(
                pool_of_files(folder, listed, extractor, options.cache, report)
            )
    scores, warnings = score_pools(extractor, *pools)
    return {
        "scores": scores,
        "warnings": list(warnings),
        "pictures": str(folders[0]),
        "reference_folder": str(folders[1]),
        "inception": {"path": str(extractor.path), "sha256": extractor.digest},
    }


def _refuse_common(folders: list[Path], names: list[list[str]]) -> None:
    """A picture on both sides makes the distance look smaller than it is."""
    first, second = (
        {(folder.expanduser() / name).resolve() for name in listed}
        for folder, listed in zip(folders, names, strict=True)
    )
    common = first & second
    if not common:
        return
    if common == first == second:
        raise ConfigError(
            f"{folders[0]} is also the reference folder: the distance of pictures to "
            "themselves is 0; name two folders."
        )
    raise ConfigError(
        f"{folders[0]} and {folders[1]} have {len(common)} pictures in common, "
        f"{min(common)} for one: name folders that do not contain one another."
    )


@contextmanager
def _progress(title: str, total: int) -> Iterator[Any]:
    """Yields what takes the number of pictures done; a bar, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda number: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(title), total=total)
        yield lambda number: bar.advance(task, number)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=".fid-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
