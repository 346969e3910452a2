"""Scores a trained run, with the controls that tell what its codes are worth."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.data.spread import spread
from uvim_fsq.errors import ConfigError
from uvim_fsq.evaluation.baselines import training_targets
from uvim_fsq.evaluation.fid import fid_evaluators
from uvim_fsq.evaluation.listed import listed_indices
from uvim_fsq.evaluation.pages import save_pages
from uvim_fsq.evaluation.predictions import Predictions
from uvim_fsq.evaluation.scored import what_is_scored
from uvim_fsq.evaluation.table import print_scores
from uvim_fsq.evaluators.codebook import CodebookEvaluator, UsedCodewords
from uvim_fsq.evaluators.runner import EvaluationResult, Prediction, evaluate
from uvim_fsq.files import write_text
from uvim_fsq.markup import finite, json_text
from uvim_fsq.runs.directory import environment, write_json
from uvim_fsq.runs.held import hold
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import RunModel, Trained, open_trained
from uvim_fsq.settings.run import EvaluationConfig, RunConfig
from uvim_fsq.tasks.base import example_transform
from uvim_fsq.tasks.scoring import Scoring
from uvim_fsq.training.compilation_cache import enable_compilation_cache

INDICES_PER_CODEWORD = 20
"""How many indices codebook usage is counted over, per codeword, if the data has as many."""


def evaluate_run(
    run: str | Path,
    changes: Mapping[str, Any] | None = None,
    output: Path | None = None,
    *,
    part: str = "test",
    seed: int | None = None,
    stage1_only: bool = False,
) -> dict[str, float]:
    """Scores a run; prints a table, writes scores and pictures.

    Predictions scored: stage I alone; greedy; one sample; the mean of several samples where
    there is such a thing; and what predictors say that do not look at the picture. Controls: stage I
    and greedy with the codes of another picture, half the set away, and with that picture as the
    decoder's context.

    Args:
      run: a run directory, a bundle, or OWNER/NAME on the Hugging Face Hub.
      changes: other settings of `data` and `evaluation`, by name.
      output: where `scores.json`, `per_image.jsonl`, `pictures.png`, `best.png` and `worst.png` go;
        by default `evaluation` in the run, or beside you in `evaluations/NAME` for a bundle, with
        `_PART` added for another part than the test part, `_stage1` for stage I alone, and
        `_seed_N`, `_data_...`, `_settings_...` for a stage II, data and settings that are not the
        model's own: what it is known by is not overwritten.
      part: of the data: test, validation or train.
      seed: of stage II; the first that is there by default.
      stage1_only: score stage I's reconstructions, the bound that it sets, and no stage II.

    Returns:
      Scores by `prediction/score` and `codebook/score`.
    """
    enable_compilation_cache()
    trained = open_trained(run)
    held = hold(trained, seed, stage1_only=stage1_only)
    config = trained.config
    inference = load_inference(held)
    config = dataclasses.replace(config, **(changes or {}))
    source, training = (config.data.open(name) for name in (part, "train"))
    for name, each in ((part, source), ("train", training)):
        config.task.check_source(each, name)
    chosen = _chosen(config.evaluation, source)
    scoring = config.task.scoring()
    threads = config.loader_threads or None
    predictions = Predictions(inference, source, config.evaluation, threads)
    scored = what_is_scored(
        trained, held, config.data, config.evaluation, source, chosen, part
    )
    result = _score(config, scoring, predictions, training, chosen)
    histogram = _training_histogram(predictions, training, result)
    first = _first_folder(trained)
    output = Path(output or scored.folder(first, stage1_only=stage1_only))
    output.mkdir(parents=True, exist_ok=True)
    scores = finite(result.scores)
    not_finite = scores.pop("not_finite", {})
    write_json(
        output / "scores.json",
        {
            "scores": scores,
            "not_finite": not_finite,
            "codebook_histogram": histogram,
            **scored.record(),
            "model": {name: dict(stage.record) for name, stage in held.held.items()},
            "environment": environment(),
            "evaluation": dataclasses.asdict(config.evaluation),
        },
    )
    _write_lines(output / "per_image.jsonl", map(finite, result.per_image))
    save_pages(output, predictions, scoring, result, config.output.pictures * 2)
    print_scores(result.scores, scoring, output)
    if scored.apart and output != first:
        reasons = " and ".join(f"other {reason}" for reason in scored.apart)
        print(f"kept apart from {first}, because of {reasons}")
    return result.scores


def _first_folder(trained: Trained) -> Path:
    """Where the scores go that a model is known by."""
    if isinstance(trained, RunModel):
        return trained.path / "evaluation"
    return Path("evaluations") / trained.name


def _chosen(settings: EvaluationConfig, source: Source) -> list[int]:
    """Places in the source of the pictures that are scored."""
    chosen = list(range(len(source)))
    if settings.list:
        chosen = listed_indices(source, settings.list)
    chosen = [chosen[place] for place in spread(len(chosen), settings.examples)]
    if len(chosen) < 2:
        raise ConfigError(
            "scoring needs at least two pictures, since the controls swap codes between "
            f"pictures; found {len(chosen)}"
        )
    return chosen


def _score(
    config: RunConfig,
    scoring: Scoring,
    predictions: Predictions,
    training: Source,
    chosen: Sequence[int],
) -> EvaluationResult:
    """All scores of the chosen pictures."""
    inference, settings = predictions.inference, config.evaluation
    task = inference.task
    baselines = scoring.baselines(
        task,
        training_targets(task, training, settings.batch_size, predictions.threads),
    )
    first = task.reference(predictions.source.reference(chosen[0]))
    evaluators: dict[str, Any] = {
        name: Prediction(name, [scoring.evaluator()])
        for name in [*predictions.names, *baselines, *scoring.unpredicted(first)]
    }
    new_fid = fid_evaluators(settings, predictions.source)
    if new_fid is not None:
        for name in predictions.names:
            if "foreign" not in name:
                evaluators[name] = Prediction(name, [scoring.evaluator(), new_fid()])
    codebook_size = inference.stage1.quantizer.codebook_size
    if codebook_size:
        evaluators["codebook"] = CodebookEvaluator(codebook_size)

    def items() -> Iterator[dict[str, Any]]:
        for item in predictions.items(chosen):
            reference = task.reference(predictions.source.reference(item["index"]))
            planes = {**item.pop("planes"), **baselines}
            item["reference"] = reference
            item["predictions"] = {
                name: task.restore(plane, reference["size"])
                for name, plane in planes.items()
            } | scoring.unpredicted(reference)
            yield item

    result = evaluate(items(), evaluators, count=len(chosen))
    places = {index: place for place, index in enumerate(chosen)}
    result.per_image.sort(key=lambda row: places[row["index"]])
    return result


def _training_histogram(
    predictions: Predictions, training: Source, result: EvaluationResult
) -> list[int] | None:
    """How often codewords occur over so many training pictures that every one had its chance.

    The pictures are spread over the whole training part.

    Adds `codebook_training/...` to the scores. Returns the counts of the codewords that occur, the
    most frequent first; None if there is no codebook.
    """
    inference = predictions.inference
    codebook_size = inference.stage1.quantizer.codebook_size
    if not codebook_size:
        return None
    wanted = -(-INDICES_PER_CODEWORD * codebook_size // inference.stage1.code_length)
    batches = evaluation_batches(
        training,
        example_transform(inference.task, train=False),
        batch_size=predictions.settings.batch_size,
        indices=spread(len(training), wanted),
        threads=predictions.threads,
    )
    evaluator = CodebookEvaluator(codebook_size)
    stats = []
    for batch in batches:
        indices = np.asarray(inference.encode(batch["image"], batch["planes"]))
        stats += [
            evaluator.update({"indices": indices[i]})
            for i in np.flatnonzero(batch["mask"])
        ]
    scores = evaluator.aggregate(stats)
    result.scores.update(
        {f"codebook_training/{k}": float(v) for k, v in scores.items()}
    )
    used = UsedCodewords(codebook_size)
    used.add(np.concatenate([each["indices"] for each in stats]))
    return [int(count) for count in np.sort(used.counts)[::-1]]


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json_text(row) + "\n" for row in rows))
