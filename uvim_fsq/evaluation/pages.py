"""Pages of pictures of an evaluation: some of all, the best and the worst."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from uvim_fsq.data.spread import spread
from uvim_fsq.evaluation.predictions import Predictions
from uvim_fsq.evaluators.runner import EvaluationResult
from uvim_fsq.markup import printable
from uvim_fsq.runs.directory import write_json
from uvim_fsq.tasks.scoring import Scoring

BEST_AND_WORST = 10
_COLUMNS = {
    "image": "picture",
    "target": "truth",
    "stage1": "stage I",
    "greedy": "greedy",
    "sample": "one sample",
}
_LONGEST_SIDE = 320


def save_pages(
    output: Path,
    predictions: Predictions,
    scoring: Scoring,
    result: EvaluationResult,
    examples: int,
) -> None:
    """Writes `pictures.png`, `best.png` and `worst.png`; nothing if no examples are wanted.

    `pictures.png` shows pictures from all over the set. What it shows is in `single/` too, a file
    `NUMBER_COLUMN.png` each with the pictures' ids in `single/pictures.json`, for pages that put
    several models side by side.

    The best and worst are by the headline score of the greedy prediction, or of stage I where there
    is no stage II. Pictures that have no score of their own, for lack of labels, are left out.
    """
    if not examples:
        return
    main = "greedy" if "greedy" in predictions.names else "stage1"
    key = f"{main}/{scoring.headline}"
    rows = [row for row in result.per_image if np.isfinite(row.get(key, np.nan))]
    rows.sort(key=lambda row: row[key], reverse=scoring.higher_is_better)
    shown = spread(len(result.per_image), examples)
    pages = {
        "pictures": [result.per_image[place] for place in shown],
        "best": rows[:BEST_AND_WORST],
        "worst": rows[::-1][:BEST_AND_WORST],
    }
    for name, chosen in pages.items():
        if chosen:
            titles = [_title(row, key, scoring) for row in chosen]
            pictures = _pictures(
                predictions, scoring, [int(row["index"]) for row in chosen]
            )
            _save(pictures, titles, output / f"{name}.png")
            if name == "pictures":
                _save_single(pictures, [str(row["id"]) for row in chosen], output)


def _title(row: Mapping[str, Any], key: str, scoring: Scoring) -> str:
    if key not in row:
        return str(row["id"])
    return f"{row['id']}\n{scoring.headline} {row[key]:.3g} {scoring.unit}"


def _pictures(
    predictions: Predictions, scoring: Scoring, indices: Sequence[int]
) -> list[dict[str, np.ndarray]]:
    """What is shown of each picture, by column."""
    task = predictions.inference.task
    pictures = {}
    for item in predictions.items(indices):
        reference = task.reference(predictions.source.reference(item["index"]))
        image = reference["image"]
        shown: dict[str, np.ndarray] = {"image": image}
        shown["target"] = task.visualize(image, scoring.target(reference))
        for name, planes in item["planes"].items():
            if name in _COLUMNS or name.startswith("mean_of_"):
                restored = task.restore(planes, reference["size"])
                shown[name] = task.visualize(image, restored)
        pictures[item["index"]] = {
            name: _shrink(picture) for name, picture in shown.items()
        }
    return [pictures[index] for index in indices]


def _save_single(
    pictures: Sequence[Mapping[str, np.ndarray]], ids: Sequence[str], output: Path
) -> None:
    folder = output / "single"
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures):
        for name, pixels in picture.items():
            path = folder / f"{number}_{name}.png"
            temporary = path.with_name("." + path.name)
            cv2.imwrite(str(temporary), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
            temporary.replace(path)
    write_json(
        folder / "pictures.json", {"ids": list(ids), "columns": list(pictures[0])}
    )


def _shrink(picture: np.ndarray) -> np.ndarray:
    factor = _LONGEST_SIDE / max(picture.shape[:2])
    if factor >= 1:
        return picture
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _save(
    pictures: Sequence[Mapping[str, np.ndarray]], titles: Sequence[str], path: Path
) -> None:
    """One row per picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = {name: title for name, title in _COLUMNS.items() if name in pictures[0]}
    for name in pictures[0]:
        if name.startswith("mean_of_"):
            columns[name] = f"mean of {name.removeprefix('mean_of_')} samples"
    aspect = float(
        np.median([p["image"].shape[1] / p["image"].shape[0] for p in pictures])
    )
    figure = Figure(
        figsize=(2 * len(columns) * aspect + 0.5, 2.0 * len(pictures) + 0.3),
        dpi=110,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(pictures), len(columns), squeeze=False)
    for number, (row, picture) in enumerate(zip(axes, pictures, strict=True)):
        for axis, (name, title) in zip(row, columns.items(), strict=True):
            axis.imshow(picture[name], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set_visible(False)
            if number == 0:
                axis.set_title(title, fontsize=9)
        row[0].set_ylabel(printable(titles[number]), fontsize=7, parse_math=False)
    temporary = path.with_name("." + path.name)
    figure.savefig(temporary, format="png")
    temporary.replace(path)
