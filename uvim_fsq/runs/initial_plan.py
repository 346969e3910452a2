"""Which arrays of a new model start from those of a given one: the plan, and its listing.

A module's arrays (such as `kernel` and `bias`) are taken together or not at all: half a layer is
no layer. Position embeddings of another grid are resampled. Everything else that does not agree
stays as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from uvim_fsq.fields import Size
from uvim_fsq.types import Tree
from uvim_fsq.weights import vit

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """What becomes of each array, by its path.

    Attributes:
      loaded: paths that are taken as they are.
      resampled: position embeddings, with the grid there and the grid here.
      new: paths that stay fresh, and why.
      unused: paths of the given model that the new one does not have.
    """

    loaded: tuple[str, ...]
    resampled: Mapping[str, tuple[Size, Size]]
    new: Mapping[str, str]
    unused: tuple[str, ...]

    def covers(self, *parts: str) -> bool:
        """Whether all arrays of these parts of the model come from the given one."""
        return not any(_part(path) in parts for path in self.new)

    def listing(self) -> dict[str, list[str]]:
        """The plan for people: parts of the model instead of single arrays where they agree."""
        status = dict.fromkeys(self.loaded, "loaded")
        status |= dict.fromkeys(self.resampled, "resampled")
        status |= dict.fromkeys(self.new, "new")
        status |= dict.fromkeys(self.unused, "unused")
        listing: dict[str, list[str]] = {name: [] for name in _STATUSES}
        for name, paths in _groups(sorted(status), status):
            count = f"{len(paths)} arrays" if len(paths) > 1 else "1 array"
            notes = [self._note(path) for path in sorted(paths, key=_order)]
            note = next(filter(None, notes), "")
            text = f"{name} ({count}{': ' if note else ''}{note})"
            listing[status[paths[0]]].append(text)
        return listing

    def _note(self, path: str) -> str:
        if path in self.resampled:
            there, here = self.resampled[path]
            return f"{there[0]} x {there[1]} to {here[0]} x {here[1]}"
        return self.new.get(path, "")


_STATUSES = ("loaded", "resampled", "new", "unused")


def make_plan(
    there: Shapes,
    here: Shapes,
    grids: Mapping[str, tuple[Size | None, Size | None]],
    barred: Mapping[str, str],
) -> Plan:
    """The plan for a model with arrays of the shapes `here`, given one with those `there`.

    Args:
      there, here: shapes by path, `params/encoder/norm/scale`.
      grids: rows and columns there and here of position embeddings by path; None where their
        positions have no order in space.
      barred: parts of the model (`params/to_code`) that stay fresh whatever their shape, and why.
    """
    resampled, reasons = {}, {}
    for path, shape in here.items():
        reason = barred.get(_part(path)) or _difference(there.get(path), shape)
        if path in grids and path in there and _part(path) not in barred:
            old, new = grids[path]
            if old and new and there[path][1:] == shape[1:]:
                reason = ""
                if old != new:
                    resampled[path] = (old, new)
        reasons[path] = reason
    modules: dict[str, list[str]] = {}
    for path in sorted(here, key=_order):
        modules.setdefault(path.rpartition("/")[0], []).append(path)
    for paths in modules.values():
        reason = next((reasons[path] for path in paths if reasons[path]), "")
        reasons |= dict.fromkeys(paths, reason)
    new = {path: reason for path, reason in reasons.items() if reason}
    loaded = tuple(path for path in here if path not in new and path not in resampled)
    unused = tuple(path for path in there if path not in here)
    return Plan(loaded, resampled, new, unused)


def apply_plan(plan: Plan, given: Tree, fresh: Tree) -> Tree:
    """The variables of the new model: those of the plan from `given`, the others from `fresh`."""
    found, result = flatten(given), flatten(fresh)
    for path in plan.loaded:
        result[path] = jnp.asarray(found[path], result[path].dtype)
    for path, (there, here) in plan.resampled.items():
        table = vit.resample(np.asarray(found[path], np.float32), there, here)
        result[path] = jnp.asarray(table, result[path].dtype)
    return flax.traverse_util.unflatten_dict(result, sep="/")


def shapes_of(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Shapes by path."""
    return {path: tuple(array.shape) for path, array in flatten(tree).items()}


def flatten(tree: Tree) -> dict[str, Any]:
    """Arrays by path."""
    return flax.traverse_util.flatten_dict(tree, sep="/")


def _part(path: str) -> str:
    """`params/encoder` of `params/encoder/norm/scale`."""
    return "/".join(path.split("/")[:2])


def _order(path: str) -> tuple[bool, str]:
    """Kernels first: their shapes say more than those of biases."""
    return path.endswith(("/bias", "/counts")), path


def _difference(there: tuple[int, ...] | None, here: tuple[int, ...]) -> str:
    if there is None:
        return "not in the given model"
    if there == here:
        return ""
    old, new = (" x ".join(map(str, shape)) for shape in (there, here))
    return f"{old} there, {new} here"


def _groups(
    paths: list[str], status: Mapping[str, str], depth: int = 2
) -> Iterator[tuple[str, list[str]]]:
    """Names and paths of the largest parts of a model whose arrays all have the same status."""
    parts: dict[str, list[str]] = {}
    for path in paths:
        parts.setdefault("/".join(path.split("/")[:depth]), []).append(path)
    for part, inside in parts.items():
        if len({status[path] for path in inside}) == 1:
            yield part.removeprefix("params/"), inside
        else:
            yield from _groups(inside, status, depth + 1)
