"""One pass over predictions: every evaluator sees every picture once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Evaluator(Protocol):
    """Two pure functions: of one picture, and of all pictures' results.

    `needs` names what items must hold, among prediction, reference, indices and log_probs.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Keys of an item that `update` reads."""
        ...

    def update(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """What one picture contributes; numbers in it are the picture's own scores."""
        ...

    def aggregate(self, stats: Sequence[Any]) -> Mapping[str, float | int]:
        """The scores of all pictures."""
        ...


@dataclass(frozen=True)
class Prediction:
    """The evaluators' view of one of several predictions of the same picture."""

    name: str
    evaluators: Sequence[Evaluator]

    @property
    def needs(self) -> frozenset[str]:
        """What the evaluators need, their prediction among `predictions`."""
        needs = frozenset[str]().union(*(each.needs for each in self.evaluators))
        return needs - {"prediction"} | {"predictions"}

    def update(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """The evaluators' statistics of this prediction."""
        item = {**item, "prediction": item["predictions"][self.name]}
        stats: dict[str, Any] = {}
        for evaluator in self.evaluators:
            stats |= evaluator.update(item)
        return stats

    def aggregate(self, stats: Sequence[Any]) -> Mapping[str, float | int]:
        """The evaluators' scores."""
        scores: dict[str, float | int] = {}
        for evaluator in self.evaluators:
            scores |= evaluator.aggregate(stats)
        return scores


@dataclass(frozen=True)
class EvaluationResult:
    """Scores by `evaluator/score`, and a row for each picture with its own scores."""

    scores: dict[str, float]
    per_image: list[dict[str, Any]] = field(default_factory=list)


class EvaluationError(ValueError):
    """An evaluator failed; names the evaluator and the picture."""


def evaluate(
    items: Iterable[Mapping[str, Any]],
    evaluators: Mapping[str, Evaluator],
    reference: Callable[[int], Mapping[str, Any]] | None = None,
    count: int | None = None,
) -> EvaluationResult:
    """Score predictions, one picture at a time.

    An item holds `index` and `id` of the picture and what the evaluators need: `prediction`, at the
    size of the reference, `indices`, `log_probs`. `mask`, where present, is false for an item that
    only fills up a batch; it is skipped. `reference(index)` reads what a picture is compared with, at
    its original size, only if some evaluator needs it.

    Arguments:
      items: consumed once, lazily.
      evaluators: by name; the name becomes the first part of its scores' names.
      reference: of a picture, by index.
      count: how many pictures there must be, if that is known.

    Raises EvaluationError, a ValueError, for a picture that comes twice, for fewer or more pictures
    than `count`, for an item that lacks what an evaluator needs, and for any error in an evaluator.
    """
    stats: dict[str, list[Any]] = {name: [] for name in evaluators}
    rows: list[dict[str, Any]] = []
    seen: set[int] = set()
    for item in items:
        if not item.get("mask", True):
            continue
        index, image_id = int(item["index"]), item["id"]
        if index in seen:
            raise EvaluationError(
                f"picture {image_id!r} (index {index}) came twice: every picture must be scored "
                "once; mask the items that fill up a batch."
            )
        seen.add(index)
        item = _with_reference(item, evaluators, reference)
        row: dict[str, Any] = {"index": index, "id": image_id}
        for name, evaluator in evaluators.items():
            result = _update(name, evaluator, item)
            stats[name].append(result)
            row |= {f"{name}/{key}": v for key, v in result.items() if np.isscalar(v)}
        rows.append(row)
    if count is not None and len(seen) != count:
        raise EvaluationError(
            f"expected {count} pictures, found {len(seen)}: some were lost on the way."
        )
    scores = {}
    for name, evaluator in evaluators.items():
        scores |= _aggregate(name, evaluator, stats[name])
    return EvaluationResult(scores, rows)


def _with_reference(item, evaluators, reference):
    if "reference" in item or not any(
        "reference" in e.needs for e in evaluators.values()
    ):
        return item
    if reference is None:
        names = [name for name, e in evaluators.items() if "reference" in e.needs]
        raise EvaluationError(
            f"the evaluators {', '.join(names)} compare with a reference: pass `reference`."
        )
    return {**item, "reference": reference(int(item["index"]))}


def _update(name, evaluator, item):
    missing = sorted(key for key in evaluator.needs if item.get(key) is None)
    if missing:
        raise EvaluationError(
            f"evaluator {name!r} needs {', '.join(missing)}, which picture {item['id']!r} lacks: "
            f"it has {', '.join(sorted(map(str, item)))}."
        )
    try:
        return evaluator.update(item)
    except Exception as error:
        raise EvaluationError(
            f"evaluator {name!r} failed on picture {item['id']!r}: {error}"
        ) from error


def _aggregate(name, evaluator, stats):
    try:
        scores = evaluator.aggregate(stats)
    except Exception as error:
        raise EvaluationError(
            f"evaluator {name!r} failed on the whole of {len(stats)} pictures: {error}"
        ) from error
    return {f"{name}/{key}": float(value) for key, value in scores.items()}
