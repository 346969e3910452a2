"""The command `prepare_data.py pack`: a folder of data into ArrayRecord files, for reading it fast."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KINDS = ("folder", "coco", "pictures")
# What tells a kind of folder; pictures alone are no sign that labels are not meant to be there.
_SIGNS = {
    "coco": ("panoptic.json", "*/panoptic.json", "annotations/panoptic_*.json"),
    "folder": ("depth", "*/depth", "*/*.h5", "*/*/*.h5", "*/*/*/*.h5"),
}
_SECONDS_BETWEEN_LINES = 10.0


def add_pack_command(commands) -> None:
    """Adds `pack` to the subcommands of `prepare_data.py`."""
    command = commands.add_parser(
        "pack",
        help="pack a folder of data into a few files that are read fast",
        description="Packs a folder of pictures and labels into ArrayRecord files, which train "
        "with `--source records --data.path OUTPUT`. JPEG files are copied as they are; what is "
        "read back is the same to the bit, unless one of the last three options is given. Started "
        "again after an interruption, it goes on.",
    )
    add = command.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the data to pack")
    add("output", type=Path, metavar="OUTPUT", help="a new folder")
    kind = "RGB-D frames, which NYU's .h5 files are too, COCO's panoptic format, or pictures"
    add("--kind", choices=KINDS, help=f"{kind} (default: as FOLDER looks)")
    parts = ("both", "train", "validation")
    add("--part", choices=parts, default="both", help="(default: both)")
    share = "held out where FOLDER has no validation part (default: 0.1)"
    add("--validation-fraction", type=float, default=0.1, metavar="SHARE", help=share)
    units = "of depth (default: whole numbers are millimetres, 1000, and floats metres)"
    add("--units-per-metre", type=float, metavar="UNITS", help=units)
    split_by = "what is held out: whole folders of frames (default), or each by itself (default of pictures)"
    add("--split-by", choices=("folder", "file"), help=split_by)
    add("--skip-broken", action="store_true", help="leave broken files out")
    add("--threads", type=int, help="(default: one for each core)")
    add(
        "--max-side",
        type=int,
        metavar="PIXELS",
        help="make longer training pictures smaller: pictures by area, labels to the nearest "
        "pixel; validation keeps its size, since scores are taken there",
    )
    add(
        "--jpeg-quality",
        type=int,
        metavar="1-100",
        help="store what is no JPEG file, or was made smaller, as JPEG: a tenth of the space",
    )
    add("--millimetres", action="store_true", help="round depth to whole millimetres")
    command.set_defaults(run=_pack)


def _pack(options) -> int:
    # Imported here: --help need not wait for it.
    from uvim_fsq.data.packed.pack import Changes, pack
    from uvim_fsq.errors import DataError

    names = ("train", "validation") if options.part == "both" else (options.part,)
    try:
        changes = Changes(options.max_side, options.jpeg_quality, options.millimetres)
        kind = options.kind or _guess(options.folder)
        parts = {name: _open(kind, name, options) for name in names}
        total = sum(map(len, parts.values()))
        with _progress(total) as progress:
            path = pack(
                parts,
                options.output,
                changes,
                threads=options.threads,
                progress=progress,
            )
    except (DataError, ValueError) as error:
        print(f"prepare_data.py pack: {error}", file=sys.stderr)
        return 1
    counts = " and ".join(f"{len(source)} {name}" for name, source in parts.items())
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"{counts} examples are in {path} ({size / 1e6:,.1f} MB)")
    return 0


def _guess(folder: Path) -> str:
    from uvim_fsq.errors import DataError

    for kind, signs in _SIGNS.items():
        if any(found for sign in signs for found in folder.glob(sign)):
            return kind
    raise DataError(
        f"{folder} has neither COCO's panoptic JSON nor depth/ or .h5 files; if it holds pictures "
        "without labels, say so with --kind pictures"
    )


def _open(kind: str, part: str, options):
    """The source of a part."""
    shared: dict[str, Any] = dict(
        split=part,
        validation_fraction=options.validation_fraction,
        skip_broken=options.skip_broken,
    )
    from uvim_fsq.errors import DataError

    if kind == "coco":
        if options.split_by is not None or options.units_per_metre is not None:
            raise DataError(
                "--split-by and --units-per-metre are not for COCO's format: leave them out"
            )
        from uvim_fsq.data.coco.source import CocoPanopticFolder

        return CocoPanopticFolder(options.folder, **shared)
    if options.split_by is not None:
        shared["split_by"] = options.split_by
    if kind == "pictures":
        if options.units_per_metre is not None:
            raise DataError("--units-per-metre is of depth, and pictures have none")
        from uvim_fsq.data.folders.pictures import PictureFolder

        return PictureFolder(options.folder, **shared)
    from uvim_fsq.data.folders.nyu_h5 import open_depth_folder

    return open_depth_folder(
        options.folder, units_per_metre=options.units_per_metre, **shared
    )


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yields `report(count)`: a bar on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(f"Packing {total} examples", total=total)
            yield lambda count: bar.advance(task, count)
        return
    start = last = time.monotonic()
    done = 0

    def report(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            left = (now - start) / done * (total - done)
            print(f"packed {done} of {total}, {left:.0f} s left", file=sys.stderr)

    yield report
