"""Panoptic quality (PQ) as COCO defines it, computed on segment maps in memory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from uvim_fsq.types import Category, Float, Int


class PanopticCounts(NamedTuple):
    """What pictures contribute to each class, in the order of the categories; they add up."""

    iou: Float[np.ndarray, " c"]
    """Sum of the IoU of matched pairs."""
    tp: Int[np.ndarray, " c"]
    """Matched pairs."""
    fp: Int[np.ndarray, " c"]
    """Predicted segments without a match."""
    fn: Int[np.ndarray, " c"]
    """Segments of the reference without a match."""


class PanopticQuality(NamedTuple):
    """Percent for each class, NaN for classes that neither reference nor prediction has."""

    pq: Float[np.ndarray, " c"]
    sq: Float[np.ndarray, " c"]
    rq: Float[np.ndarray, " c"]


def panoptic_counts(
    prediction: Mapping[str, Any],
    reference: Mapping[str, Any],
    categories: Sequence[Category],
) -> PanopticCounts:
    """Match the segments of one picture as COCO does.

    Both are mappings with `panoptic`, segment ids (h w) with 0 for void, and `segments`, dicts with
    `id` and `category_id`; those of the reference also have `area`, which is believed, not counted,
    and may have `iscrowd`. The rules:

    - A predicted and a true segment match if they have the same class and IoU > 0.5. The
      union is both areas less the intersection, less what of the prediction lies on void.
    - Crowd is never matched and never missed.
    - A prediction without a match is dropped, not counted, if more than half of it lies on void and
      crowd of its class; of several crowd segments of a class, the last one listed is meant.

    A true segment without pixels counts as missed. Raises ValueError if the sizes differ, for
    a segment id of the maps that `segments` lack, for a predicted segment without pixels, and for a
    category that is not among `categories`.
    """
    labels = {category.id: label for label, category in enumerate(categories)}
    true, predicted = reference["segments"], prediction["segments"]
    true_class = _classes(true, labels, "reference")
    predicted_class = _classes(predicted, labels, "prediction")
    pixels = _overlaps(reference, prediction)
    on_void, overlap = pixels[0, 1:], pixels[1:, 1:]
    area = pixels[:, 1:].sum(axis=0)
    if not area.all():
        number = predicted[int(np.argmin(area))]["id"]
        raise ValueError(
            f"segment {number} of the prediction has no pixels: list only what is painted."
        )
    true_area = np.array([segment["area"] for segment in true], np.int64)
    crowd = np.array([bool(segment.get("iscrowd", 0)) for segment in true], bool)

    union = true_area[:, None] + (area - on_void)[None] - overlap
    same = (true_class[:, None] == predicted_class[None]) & ~crowd[:, None]
    rows, columns = np.nonzero(same & (2 * overlap > union))
    iou = overlap[rows, columns] / union[rows, columns]

    missed = ~crowd
    missed[rows] = False
    ignored = on_void.copy()
    last_crowd = {int(true_class[row]): row for row in np.flatnonzero(crowd)}
    for label, row in last_crowd.items():
        ignored += np.where(predicted_class == label, overlap[row], 0)
    wrong = 2 * ignored <= area
    wrong[columns] = False

    def count(classes, weights=None):
        return np.bincount(classes, weights, minlength=len(categories))

    return PanopticCounts(
        count(true_class[rows], iou),
        count(true_class[rows]),
        count(predicted_class[wrong]),
        count(true_class[missed]),
    )


def total(counts: Iterable[PanopticCounts]) -> PanopticCounts:
    """The sum over pictures."""
    return PanopticCounts(*(np.sum(each, axis=0) for each in zip(*counts, strict=True)))


def panoptic_quality(counts: PanopticCounts) -> PanopticQuality:
    """Quality of each class in percent.

    SQ = iou / tp, the mean IoU of matched pairs (0 without any); RQ = tp / (tp + fp / 2 + fn / 2);
    PQ = SQ RQ.
    """
    size = counts.tp + counts.fp / 2 + counts.fn / 2
    present = size > 0
    size = np.where(present, size, np.nan)
    sq = np.where(present, counts.iou / np.maximum(counts.tp, 1), np.nan)
    return PanopticQuality(100 * counts.iou / size, 100 * sq, 100 * counts.tp / size)


class PanopticEvaluator:
    """Scores panoptic maps as COCO does: PQ, SQ and RQ in percent, 0 to 100.

    Protocol (Kirillov et al., arXiv 1801.00868, and COCO's public evaluation): the prediction has the
    original size of the reference; segments are matched picture by picture, see `panoptic_counts`;
    the counts of a class are added up over all pictures before its quality is computed; scores are
    means over classes, leaving out those that occur neither in the references nor in the predictions;
    over all classes, things, and stuff.

    Items hold `prediction` and `reference`, mappings as `panoptic_counts` takes them. Arguments:
      categories: the classes of the dataset, without void; their names and ids must differ.
    """

    needs = frozenset({"prediction", "reference"})

    def __init__(self, categories: Sequence[Category]):
        self.categories = tuple(categories)
        for what in ("id", "name"):
            values = [getattr(category, what) for category in self.categories]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice or not values:
                found = f"{twice[0]!r} twice" if twice else "none"
                raise ValueError(
                    f"expected categories that differ in their {what}, found {found}."
                )

    def update(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """`counts` of one picture, and its own `pq`, `sq` and `rq`.

        They are means over the classes in this picture; absent if there is none.
        """
        counts = panoptic_counts(item["prediction"], item["reference"], self.categories)
        return {**_means(panoptic_quality(counts)), "counts": counts}

    def aggregate(self, stats: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
        """Scores of all pictures, by name.

        `pq`, `sq`, `rq` over all `classes`; `pq_things`, ..., `classes_things` and the same for stuff,
        absent where there is no class of that kind; `pq_class/NAME`, `sq_class/NAME` and
        `rq_class/NAME`; and the number of `images`. Raises ValueError if there is no class at all.
        """
        found = np.zeros(len(self.categories), bool)
        if stats:
            quality = panoptic_quality(total([each["counts"] for each in stats]))
            found = ~np.isnan(quality.pq)
        if not found.any():
            raise ValueError(
                f"none of the {len(stats)} pictures has a segment, in its reference or in its "
                "prediction: check that both are panoptic maps."
            )
        things = np.array([category.isthing for category in self.categories])
        groups = {"": found, "_things": found & things, "_stuff": found & ~things}
        scores: dict[str, float | int] = {}
        for group, chosen in groups.items():
            if chosen.any():
                means = _means(PanopticQuality(*(each[chosen] for each in quality)))
                scores |= {f"{name}{group}": value for name, value in means.items()}
                scores[f"classes{group}"] = int(chosen.sum())
        for label in np.flatnonzero(found):
            name = self.categories[label].name
            for kind, values in quality._asdict().items():
                scores[f"{kind}_class/{name}"] = float(values[label])
        return {**scores, "images": len(stats)}


def _means(quality: PanopticQuality) -> dict[str, float]:
    found = ~np.isnan(quality.pq)
    if not found.any():
        return {}
    return {n: float(np.mean(each[found])) for n, each in quality._asdict().items()}


def _classes(
    segments: Sequence[Mapping[str, Any]], labels: Mapping[int, int], what: str
) -> Int[np.ndarray, " n"]:
    """The position among the categories of each segment's class."""
    try:
        return np.array([labels[each["category_id"]] for each in segments], np.int64)
    except KeyError:
        numbers = {each.get("category_id") for each in segments} - labels.keys()
        raise ValueError(
            f"category {min(map(str, numbers))} of the {what} is not among the "
            f"{len(labels)} categories: both must come from one list."
        ) from None


def _overlaps(
    reference: Mapping[str, Any], prediction: Mapping[str, Any]
) -> Int[np.ndarray, "n m"]:
    """Pixels of every pair of a true and a predicted segment; row 0 and column 0 are void.

    Maps consist of long runs, so that only where a run begins is looked at: neither masks nor a
    sort of all pixels.
    """
    shapes = [np.shape(each["panoptic"]) for each in (reference, prediction)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"prediction and reference must have the same size, found {shapes[1]} and "
            f"{shapes[0]}: resize the prediction to the reference first."
        )
    maps = [np.ravel(each["panoptic"]) for each in (reference, prediction)]
    begins = np.ones(maps[0].size, bool)
    begins[1:] = maps[0][1:] != maps[0][:-1]
    begins[1:] |= maps[1][1:] != maps[1][:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=maps[0].size)
    rows = _positions(maps[0][starts], reference["segments"], "reference")
    columns = _positions(maps[1][starts], prediction["segments"], "prediction")
    shape = len(reference["segments"]) + 1, len(prediction["segments"]) + 1
    pairs = np.bincount(rows * shape[1] + columns, lengths, shape[0] * shape[1])
    return pairs.reshape(shape).astype(np.int64)


def _positions(
    values: Int[np.ndarray, " n"], segments: Sequence[Mapping[str, Any]], what: str
) -> Int[np.ndarray, " n"]:
    """For each segment id its place in `segments`, counted from 1; 0 for void."""
    ids = np.array([0, *(segment["id"] for segment in segments)], np.int64)
    order = np.argsort(ids)
    ordered = ids[order]
    if (ordered[1:] == ordered[:-1]).any():
        raise ValueError(f"a segment id of the {what} is 0, or is listed twice.")
    found = np.minimum(np.searchsorted(ordered, values), len(ids) - 1)
    known = ordered[found] == values
    if not known.all():
        raise ValueError(
            f"the map of the {what} has segment {values[np.argmin(known)]}, which its "
            "`segments` lack."
        )
    return order[found]
