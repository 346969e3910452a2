"""Reads the scores that evaluations have left, and knows which of them a model is known by."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uvim_fsq.runs.directory import RunDirectory

SCORES = "scores.json"


def read_scores(folder: Path) -> dict[str, Any] | None:
    """What `scores.json` in a folder says; None without one.

    Of `scores` those are left that are numbers: what was infinite or none is in `not_finite`.
    """
    file = folder / SCORES
    if not file.is_file():
        return None
    found = json.loads(file.read_text("utf-8"))
    return with_numbers(found)


def with_numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """What tells of scores, with those that are numbers; older versions wrote others as `Infinity`."""
    scores = {
        name: value
        for name, value in found.get("scores", {}).items()
        if value is not None and math.isfinite(value)
    }
    return {**found, "scores": scores}


def scored_seed(scores: Mapping[str, Any], seeds: Sequence[int]) -> int | None:
    """The seed of the stage II that scores are of; None if there is none, or they do not say.

    `seeds` are those of the run: where older scores do not say, a single one is meant.
    """
    if "seeds" in scores:
        return scores["seeds"]["stage2"]
    if "model" in scores:
        return scores["model"].get("stage2", {}).get("seed")
    return seeds[0] if len(seeds) == 1 else None


def own_scores(run: Path, seed: int | None = None) -> dict[str, Any] | None:
    """The scores that a run's model is known by: of its own data, and of the stage II of a seed.

    None if there are none; without a seed, of the first stage II that is there.
    """
    seeds = RunDirectory(run).stage2_seeds()
    seed = seeds[0] if seed is None and seeds else seed
    for scores in _found(run, seed):
        if scores.get("data", {}).get("own", True):
            scored = scored_seed(scores, seeds)
            if scored == seed or scored is None:
                return scores
    return None


def _found(run: Path, seed: int | None) -> Iterator[dict[str, Any]]:
    # The third is where an experiment keeps them.
    for name in ("", f"_seed_{seed}", f"/stage2_seed_{seed}"):
        scores = read_scores(run / f"evaluation{name}")
        if scores is not None:
            yield scores
