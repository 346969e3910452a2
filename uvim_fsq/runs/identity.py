"""What makes a run the one that it is: the settings that may not change while it is trained."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from uvim_fsq.fields import replace
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig

MEMORY_SETTINGS = ("rematerialize", "head_memory_mb")
"""Of models: they change no result, and a run that was out of memory may go on with others."""


DATA_PLACES = ("path", "data_dir", "categories", "skip_broken")
"""Settings of data that say where they lie, and what to do about files: the data say it better."""
_SCORED_DATA = ("evaluation_path", "test_split")


def identity_differences(
    old: RunConfig, new: RunConfig, free_data: Literal["", "places", "all"] = ""
) -> list[str]:
    """What identifies a run and is not the same in both, as sentences.

    `free_data` are settings of data that do not count; those of the test part never do.
    """
    trees = [as_json.to_dict(config) for config in (old, new)]
    for tree in trees:
        for name in (*_SCORED_DATA, *(DATA_PLACES if free_data else ())):
            tree["data"].pop(name, None)
        if free_data == "all":
            tree.pop("data")
        for changeable in ("output", "evaluation", "loader_threads"):
            tree.pop(changeable, None)
        for stage in ("stage1", "stage2"):
            for changeable in MEMORY_SETTINGS:
                tree[stage]["model"].pop(changeable, None)
    return differences(trees[0], trees[1])


def how_to_train_longer(path: Path, old: RunConfig, new: RunConfig) -> str:
    """A sentence for a run that is asked for more steps and nothing else; empty for others."""
    longer = {}
    same = new
    for stage in ("stage1", "stage2"):
        before, after = getattr(old, stage), getattr(new, stage)
        for name in ("steps", "epochs"):
            value = getattr(after, name)
            if value is not None and value > (getattr(before, name) or math.inf):
                longer[f"{stage}.{name}"] = value
        length = {name: getattr(before, name) for name in ("steps", "epochs")}
        same = replace(same, **{stage: replace(after, **length)})
    if not longer or identity_differences(old, same, "places"):
        return ""
    run = shlex.quote(str(path))
    words = ["uvim-fsq train", run, "--init-from", run]
    if "stage1" not in " ".join(longer):
        words[2:2] = ["--stage1", run]
    words += [f"--{name} {value}" for name, value in longer.items()]
    words += ["--output.directory", shlex.quote(f"{path}_longer")]
    return (
        f"{path} was made for fewer steps than {' and '.join(longer)} asks for, and its learning "
        "rate has followed their number from the first on, so that no continuation is the same as a "
        f"longer run: start a new one from its weights ({' '.join(words)})"
    )


def older_split(differences: Sequence[str]) -> str:
    """What the same command needs where the default of `split_by` is another than it was; or nothing."""
    if not any(each.startswith("data.split_by is file there") for each in differences):
        return ""
    return " (--data.split-by file: it was begun when frames were held out one by one)"


def differences(old: Any, new: Any, limit: int = 5) -> list[str]:
    """The leaves in which two trees of settings differ, as sentences."""
    flat = [dict(_flatten(tree)) for tree in (old, new)]
    names = sorted(set(flat[0]) | set(flat[1]))
    found = [
        f"{name} is {_short(flat[0].get(name))} there and {_short(flat[1].get(name))} here"
        for name in names
        if flat[0].get(name) != flat[1].get(name)
    ]
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return found[:limit] + more


def _short(value: Any, length: int = 60) -> str:
    if isinstance(value, list) and len(str(value)) > length:
        return f"a list of {len(value)}"
    return str(value)


def _flatten(tree: Any, prefix: str = ""):
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, tree
