"""Scores a trained run, with the controls that tell what its codes are worth."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evaluators.codebook import CodebookEvaluator
from evaluators.runner import EvaluationResult, evaluate
from uvim_fsq.build import objects
from uvim_fsq.build.inference import Inference, stable_hash
from uvim_fsq.build.load import load_inference
from uvim_fsq.build.report_scores import print_scores, save_pictures
from uvim_fsq.build.run_directory import RunDirectory, environment, write_json
from uvim_fsq.build.scoring import Prediction, build_scoring
from uvim_fsq.build.validation import evaluation_transform
from uvim_fsq.config import ConfigError, EvaluationConfig, RunConfig
from uvim_fsq.data.pipeline import evaluation_batches
from uvim_fsq.data.source import Source
from uvim_fsq.stage2.sampling import Sampling
from uvim_fsq.training.compilation_cache import enable_compilation_cache

INDICES_PER_CODEWORD = 20
"""How many indices codebook usage is counted over, per codeword, if the data has as many."""


def evaluate_run(
    run: Path,
    changes: Mapping[str, Any] | None = None,
    output: Path | None = None,
    *,
    seed: int | None = None,
) -> dict[str, float]:
    """Scores a run on its test part; prints a table, writes scores and pictures.

    Predictions scored: stage I alone; greedy; one sample; the mean of several samples; the
    constant and the per-pixel mean of the training targets. Controls: stage I and greedy with the
    codes of another picture, and with another picture as the decoder's context.

    Args:
      run: the run directory.
      changes: other settings of `data` and `evaluation`, by name.
      output: where `scores.json`, `per_image.jsonl` and `pictures.png` go; by default
        `RUN/evaluation`.
      seed: of stage II; the first that is there by default.

    Returns:
      Scores by `prediction/score` and `codebook/score`.
    """
    enable_compilation_cache()
    directory = RunDirectory(Path(run))
    config = directory.config()
    inference = load_inference(directory, seed)
    config = dataclasses.replace(config, **(changes or {}))
    source = objects.build_source(config.data, "test")
    training = objects.build_source(config.data, "train")
    count = min(len(source), config.evaluation.examples or len(source))
    if count < 2:
        raise ConfigError(
            "scoring needs at least two pictures, since the controls swap codes between "
            f"pictures; found {count}"
        )
    result, pictures = score(config, inference, source, training, count)
    output = Path(output) if output else directory.path / "evaluation"
    output.mkdir(parents=True, exist_ok=True)
    write_json(
        output / "scores.json",
        {
            "scores": result.scores,
            "pictures": count,
            "environment": environment(),
            "evaluation": dataclasses.asdict(config.evaluation),
        },
    )
    lines = [json.dumps(row) for row in result.per_image]
    (output / "per_image.jsonl").write_text("\n".join(lines) + "\n")
    save_pictures(pictures, output / "pictures.png", build_scoring(config.task))
    print_scores(result.scores, build_scoring(config.task), output)
    return result.scores


def score(
    config: RunConfig,
    inference: Inference,
    source: Source,
    training: Source,
    count: int,
) -> tuple[EvaluationResult, list[dict[str, Any]]]:
    """All scores, and what is needed to show the first pictures."""
    scoring = build_scoring(config.task)
    settings = config.evaluation
    predictor = _Predictor(inference, source, settings, count)
    baselines = scoring.baselines(inference.task, training, settings.batch_size)
    evaluators: dict[str, Any] = {
        name: Prediction(name, scoring.evaluator())
        for name in [*predictor.names, *baselines]
    }
    codebook_size = inference.stage1.quantizer.codebook_size
    if codebook_size:
        evaluators["codebook"] = CodebookEvaluator(codebook_size)
    pictures: list[dict[str, Any]] = []

    def items() -> Iterator[dict[str, Any]]:
        for item in predictor.items():
            reference = inference.task.reference(source.reference(item["index"]))
            planes = {**item.pop("planes"), **baselines}
            item["reference"] = reference
            item["predictions"] = {
                name: inference.task.restore(plane, reference["size"])
                for name, plane in planes.items()
            }
            if len(pictures) < config.output.pictures * 2:
                target = scoring.target(reference)
                shown = {"target": target, **item["predictions"]}
                pictures.append(
                    {
                        "id": item["id"],
                        "image": item["image"],
                        **{
                            name: inference.task.visualize(item["image"], value)
                            for name, value in shown.items()
                        },
                    }
                )
            yield item

    result = evaluate(items(), evaluators, count=count)
    if codebook_size:
        result.scores.update(
            _training_usage(inference, training, settings, codebook_size)
        )
    return result, pictures


class _Predictor:
    """Every prediction of every picture, in one pass."""

    def __init__(
        self,
        inference: Inference,
        source: Source,
        settings: EvaluationConfig,
        count: int,
    ):
        self.inference, self.source = inference, source
        self.settings, self.count = settings, count
        self.names = ["stage1"]
        self.coded = inference.stage1.quantizer.codebook_size is not None
        if self.coded:
            self.names += ["stage1_foreign_codes", "stage1_foreign_image"]
        if inference.stage2 is not None:
            self.names += [
                "greedy",
                "greedy_foreign_codes",
                "greedy_foreign_image",
                "sample",
            ]
            if settings.samples:
                self.names.append(f"mean_of_{settings.samples}")

    def items(self) -> Iterator[dict[str, Any]]:
        # The picture before each one lends it its codes; the last one stands before the first.
        before = next(self._batches([self.count - 1]))
        last = self._codes(before)
        last = {name: np.asarray(value)[:1] for name, value in last.items()}
        last["image"] = before["image"][:1]
        for batch in self._batches(range(self.count)):
            codes = {
                name: np.asarray(value) for name, value in self._codes(batch).items()
            }
            codes["image"] = batch["image"]
            foreign = {
                name: np.concatenate([last[name], value[:-1]])
                for name, value in codes.items()
            }
            last = {name: value[-1:] for name, value in codes.items()}
            predictions = jax.device_get(self._predict(batch, codes, foreign))
            log_probs = self._log_probs(batch, codes)
            for i in np.flatnonzero(batch["mask"]):
                index = int(batch["index"][i])
                item = {
                    "index": index,
                    "id": self.source.example_id(index),
                    "image": batch["image"][i],
                    "planes": {
                        name: {key: plane[i] for key, plane in planes.items()}
                        for name, planes in predictions.items()
                    },
                }
                if self.coded:
                    item["indices"] = codes["own"][i]
                if log_probs is not None:
                    item["log_probs"] = log_probs[i]
                yield item

    def _batches(self, indices) -> Iterator[Mapping[str, Any]]:
        return evaluation_batches(
            self.source,
            evaluation_transform(self.inference.task),
            batch_size=self.settings.batch_size,
            indices=list(indices),
        )

    def _codes(self, batch) -> dict[str, Any]:
        codes = {}
        if self.coded:
            codes["own"] = self.inference.encode(batch["image"], batch["planes"])
        if self.inference.stage2 is not None:
            codes["greedy"] = self._sample(batch, Sampling(temperature=0.0), 1)[:, 0]
        return codes

    def _sample(self, batch, sampling: Sampling, samples: int):
        hashes = [stable_hash(self.source.example_id(int(i))) for i in batch["index"]]
        return self.inference.sample(
            batch["image"], hashes, sampling, samples=samples, seed=self.settings.seed
        ).indices

    def _predict(self, batch, codes, foreign) -> dict[str, dict[str, Any]]:
        decode, image = self.inference.decode, batch["image"]
        predictions = {"stage1": self.inference.reconstruct(image, batch["planes"])[0]}
        for name, kind in (("stage1", "own"), ("greedy", "greedy")):
            if kind in codes:
                if kind == "greedy":
                    predictions[name] = decode(codes[kind], image)
                predictions[f"{name}_foreign_codes"] = decode(foreign[kind], image)
                predictions[f"{name}_foreign_image"] = decode(
                    codes[kind], foreign["image"]
                )
        if "greedy" in codes:
            settings = self.settings
            sampling = Sampling(settings.temperature, settings.top_k, settings.top_p)
            drawn = self._sample(batch, sampling, max(1, settings.samples))
            several = [decode(drawn[:, i], image) for i in range(drawn.shape[1])]
            predictions["sample"] = several[0]
            if settings.samples:
                predictions[f"mean_of_{settings.samples}"] = jax.tree.map(
                    lambda *planes: sum(planes) / len(planes), *several
                )
        return predictions

    def _log_probs(self, batch, codes):
        if "greedy" not in codes:
            return None
        return np.asarray(self.inference.code_log_probs(batch["image"], codes["own"]))


def _training_usage(
    inference: Inference,
    training: Source,
    settings: EvaluationConfig,
    codebook_size: int,
) -> dict[str, float]:
    """Codebook usage over so many training pictures that every codeword had its chance."""
    wanted = -(-INDICES_PER_CODEWORD * codebook_size // inference.stage1.code_length)
    batches = evaluation_batches(
        training,
        evaluation_transform(inference.task),
        batch_size=settings.batch_size,
        indices=range(min(wanted, len(training))),
    )
    evaluator = CodebookEvaluator(codebook_size)
    stats = []
    for batch in batches:
        indices = np.asarray(inference.encode(batch["image"], batch["planes"]))
        stats += [
            evaluator.update({"indices": indices[i]})
            for i in np.flatnonzero(batch["mask"])
        ]
    return {
        f"codebook_training/{k}": float(v)
        for k, v in evaluator.aggregate(stats).items()
    }
