"""Panoptic quality of predictions in COCO's format, made by any program."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from uvim_fsq.data.coco.format import (
    CocoAnnotation,
    CocoImage,
    CocoIndex,
    read_index,
    read_predictions,
)
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.segments import count_pixels, with_areas
from uvim_fsq.errors import DataError
from uvim_fsq.evaluators.panoptic import PanopticCounts, PanopticEvaluator, total
from uvim_fsq.types import Category

_LISTED = 5


class FileScores(NamedTuple):
    """What `PanopticEvaluator` finds for two folders of segment maps."""

    scores: dict[str, float | int]
    """By name, in percent, see `PanopticEvaluator.aggregate`."""
    per_image: list[dict[str, Any]]
    """A row for each picture: its `id`, `file_name`, and own `pq`, `sq`, `rq` where it has any."""
    counts: PanopticCounts
    """Of all pictures together."""
    categories: tuple[Category, ...]


def score_files(
    truth_json: str | Path,
    prediction_json: str | Path,
    truth_folder: str | Path | None = None,
    prediction_folder: str | Path | None = None,
    threads: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> FileScores:
    """Score every annotated picture of a ground truth, with the protocol of `PanopticEvaluator`.

    A folder of PNGs is by default named like its JSON, without the ending. Predictions of pictures
    that the ground truth does not have are not looked at. `threads` are by default as many
    as there are processors; most of the time goes into decoding, which they do side by side. `report` gets
    the number of pictures that are done, and of all. Raises `DataError` for a prediction that
    lacks, and for anything wrong in the files.

    Example: `score_files("panoptic_val2017.json", "out/predictions.json").scores["pq"]`.
    """
    index = read_index(truth_json, for_images=False)
    found = read_predictions(prediction_json, index.categories)
    _refuse_problems(truth_json, index, index.problems)
    _refuse_problems(prediction_json, found, index.annotations)
    predictions = found.annotations
    truth_folder = Path(truth_folder or Path(truth_json).with_suffix(""))
    prediction_folder = Path(prediction_folder or Path(prediction_json).with_suffix(""))
    names = list(index.annotations)
    if not names:
        raise DataError(f"{truth_json} has no annotations: there is nothing to score")
    _refuse_missing([str(n) for n in names if n not in predictions], prediction_json)
    for folder, annotations in (
        (truth_folder, index.annotations),
        (prediction_folder, predictions),
    ):
        files = [annotations[name].file_name for name in names]
        _refuse_missing([f for f in files if not (folder / f).is_file()], folder)
    with _data_errors(str(truth_json)):
        evaluator = PanopticEvaluator(index.categories)

    def score(name: int | str) -> dict[str, Any]:
        truth, prediction = index.annotations[name], predictions[name]
        return _score(
            evaluator,
            (truth_folder / truth.file_name, truth),
            (prediction_folder / prediction.file_name, prediction),
            index.images.get(name),
        )

    stats = []
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for each in pool.map(score, names):
            stats.append(each)
            if report is not None:
                report(len(stats), len(names))
    rows = [
        {
            **{"id": name, "file_name": _file_name(index, name)},
            **{key: value for key, value in each.items() if key != "counts"},
        }
        for name, each in zip(names, stats, strict=True)
    ]
    with _data_errors(f"{prediction_json}, compared with {truth_json}"):
        scores = evaluator.aggregate(stats)
    counts = total([each["counts"] for each in stats])
    return FileScores(scores, rows, counts, index.categories)


def _score(
    evaluator: PanopticEvaluator,
    truth: tuple[Path, CocoAnnotation],
    prediction: tuple[Path, CocoAnnotation],
    image: CocoImage | None,
) -> dict[str, Any]:
    (true_path, true), (path, predicted) = truth, prediction
    true_ids = read_ids(true_path)
    if image is not None and true_ids.shape != (image.height, image.width):
        raise DataError(
            f"{true_path}: its size, {true_ids.shape[0]} x {true_ids.shape[1]}, is not that of "
            f"its picture, {image.height} x {image.width} (height x width)"
        )
    item = {
        "prediction": {"panoptic": read_ids(path), "segments": predicted.segments},
        "reference": {
            "panoptic": true_ids,
            "segments": with_areas(true.segments, count_pixels(true_ids), true_path),
        },
    }
    with _data_errors(f"{path}, compared with {true_path}"):
        return evaluator.update(item)


@contextmanager
def _data_errors(what: str) -> Iterator[None]:
    """What the evaluator cannot score is a problem of these files."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"{what}: {error}") from error


def _file_name(index: CocoIndex, name: int | str) -> str:
    """The picture's, or the PNG's in a JSON that lists no pictures."""
    return (index.images.get(name) or index.annotations[name]).file_name


def _refuse_problems(
    path: str | Path, index: CocoIndex, names: Iterable[int | str]
) -> None:
    """Raise for what is wrong with an annotation of these images, and warn of contradictions."""
    found = [index.problems[name] for name in names if name in index.problems]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise DataError(f"{path}: {found[0]}{more}")
    index.say_doubled(path)


def _refuse_missing(missing: list[str], place: str | Path) -> None:
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DataError(
            f"{place} lacks {len(missing)} of the ground truth's annotated pictures: "
            f"{', '.join(missing[:_LISTED])}{more}; every picture must be there"
        )
