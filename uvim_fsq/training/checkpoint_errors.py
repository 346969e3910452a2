"""What to say when a checkpoint cannot be written or read."""

from collections.abc import Sequence
from pathlib import Path

import jax

from uvim_fsq.training.adafactor import Factored, path_name
from uvim_fsq.types import Tree

_DISK_FULL = ("No space left", "File too large", "quota exceeded", "ENOSPC")


class CheckpointError(RuntimeError):
    """A checkpoint could not be written, or does not hold what was asked for."""


class Gone(CheckpointError):
    """A checkpoint that another process has removed."""


def not_written(step: int | None, error: Exception, last_good: str) -> CheckpointError:
    """Of a write that failed."""
    text = str(error).strip() or type(error).__name__
    full = any(word in text for word in _DISK_FULL)
    advice = " Free some space, then start the same command again." if full else ""
    return CheckpointError(
        f"the checkpoint of step {step} could not be written: "
        f"{'the disk is full (' if full else ''}{_reason(text)}"
        f"{')' if full else ''}; {last_good}.{advice}"
    )


def not_read(place: Path, others: Sequence[int], error: Exception) -> CheckpointError:
    """Of a checkpoint that cannot be read, beside those of other steps.

    Whether it is damaged, or just now out of reach, cannot be known: nobody is told to delete it.
    """
    if not place.exists():
        return Gone(
            f"the checkpoint {place} was removed while it was read, as a run in training does "
            "once there is a newer one: start the same command again"
        )
    then = (
        f"the checkpoint of step {max(others)} is used instead"
        if others
        else "training starts anew, since there is no other checkpoint"
    )
    return CheckpointError(
        f"the checkpoint {place} cannot be read: {_reason(str(error))}. Start the same "
        f"command again; if that fails too, its files are damaged: move {place} to another "
        f"folder, and {then}."
    )


def _reason(text: str) -> str:
    """The first line of Orbax's or TensorStore's message, shortened."""
    line = text.splitlines()[0] if text else "unknown error"
    return line if len(line) <= 300 else line[:300] + " ..."


def _arrays(tree: Tree) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        path_name(path): (tuple(x.shape), str(x.dtype))
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }


def check_fits(place: Path, stored: Tree, abstract: Tree) -> None:
    """Raises CheckpointError, naming what differs, if stored arrays are not those that are wanted."""
    found, expected = _arrays(stored), _arrays(abstract)
    differing = [name for name, kind in expected.items() if found.get(name) != kind]
    faults = [
        f"{name}: expected {expected[name][0]} {expected[name][1]}, "
        + (f"found {found[name][0]} {found[name][1]}" if name in found else "missing")
        for name in differing
    ]
    unknown = [name for name in found if name not in expected]
    faults += [f"{name}: not expected" for name in unknown]
    reduced = {f"{name}/{part}" for name in differing for part in Factored._fields}
    if differing and reduced == set(unknown):
        raise CheckpointError(
            f"the checkpoint {place} is of an older version, whose Adafactor took means over the layers "
            f"of stacks of 32 and more (such as {differing[0]}): go on with that version, or export "
            "a bundle with it, which is read here and whose weights --init-from takes"
        )
    if faults:
        shown = "; ".join(faults[:5])
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"the checkpoint {place} does not fit this model and optimizer: {shown}"
            f"{more}. Use the settings that it was made with, or another directory."
        )
