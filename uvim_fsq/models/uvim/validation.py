"""What is measured and shown on held-out examples while a stage trains."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import jax
import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import Batch, evaluation_batches
from uvim_fsq.data.spread import spread
from uvim_fsq.evaluators.codebook import UsedCodewords
from uvim_fsq.models.uvim import build
from uvim_fsq.models.uvim.build import FrozenStage1
from uvim_fsq.models.uvim.inference import Inference, stable_hash
from uvim_fsq.models.uvim.settings import UvimSettings
from uvim_fsq.models.uvim.stage1.model import Stage1Model
from uvim_fsq.models.uvim.stage1.objective import stage1_loss
from uvim_fsq.models.uvim.stage2.model import Stage2Model
from uvim_fsq.models.uvim.stage2.objective import stage2_loss
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.tasks.base import Task, example_transform
from uvim_fsq.training.state import TrainState
from uvim_fsq.training.writers import TensorBoard
from uvim_fsq.types import Tree

PICTURE_HEIGHT = 128


@dataclass(frozen=True)
class Watched:
    """Which held-out examples are looked at while a stage trains, and how.

    Attributes:
      source: of the examples.
      examples: how many, spread evenly over the source.
      batch_size: of a pass.
      pictures: examples that are shown; 0 for none.
      threads: that read; None for one per core.
    """

    source: Source
    examples: int
    batch_size: int
    pictures: int
    threads: int | None


@dataclass(frozen=True)
class Validation:
    """`validation(state, frozen, tensorboard, check) -> metrics`; each example counts once.

    `check` is called before every batch, and raises if the run is asked to stop.

    Attributes:
      watched: what is looked at.
      loss: `(params, collections, frozen, batch) -> (loss, metrics)` of a masked batch, jitted.
      indices: the guiding codes (b n) of a batch, for the codebook's usage; None in stage II.
      pictures: a row of pictures for some examples.
    """

    task: Task
    watched: Watched
    loss: Callable
    codebook_size: int | None
    indices: Callable[[TrainState, Any], Any] | None
    pictures: Callable[[TrainState, Tree, Any], np.ndarray]

    def __call__(
        self,
        state: TrainState,
        frozen: Tree,
        tensorboard: TensorBoard,
        check: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        watched = self.watched
        chosen = spread(len(watched.source), watched.examples)
        batches = evaluation_batches(
            watched.source,
            example_transform(self.task, train=False),
            batch_size=watched.batch_size,
            indices=chosen,
            threads=watched.threads,
        )
        sums: dict[str, float] = {}
        used = UsedCodewords(self.codebook_size or 0)
        for number, batch in enumerate(_until_stopped(batches, check)):
            if number == 0 and watched.pictures:
                picture = self.pictures(state, frozen, batch)
                tensorboard.image(int(state.step), "examples", picture)
            mask = np.asarray(batch["mask"], np.float32)
            arrays = {"image": batch["image"], "planes": batch["planes"], "mask": mask}
            loss, metrics = self.loss(state.weights, state.collections, frozen, arrays)
            for name, value in {"loss": loss, **metrics}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * float(mask.sum())
            if self.indices is not None and self.codebook_size:
                used.add(np.asarray(self.indices(state, batch))[mask > 0])
        means = {name: value / len(chosen) for name, value in sums.items()}
        means = {k: v for k, v in means.items() if not k.startswith("batch_")}
        if used.total:
            means["codebook_usage"] = used.usage
            means["codebook_perplexity"] = used.perplexity
        return means


def _until_stopped(
    batches: Generator[Batch, None, None], check: Callable
) -> Iterator[Batch]:
    """The batches, until `check` raises."""
    with contextlib.closing(batches):
        for batch in batches:
            check()
            yield batch


def _jitted(loss_function):
    def loss(params, collections, frozen, batch):
        value, (_, metrics) = loss_function(params, collections, frozen, batch, None)
        return value, metrics

    return jax.jit(loss)


def stage1_validation(
    config: UvimSettings, task: Task, model: Stage1Model, watched: Watched
) -> Validation:
    """Loss and codebook usage of the autoencoder, with reconstructions to look at."""
    chunk_bytes = build.head_chunk_bytes(config)
    loss = stage1_loss(model, task.loss, chunk_bytes=chunk_bytes, train=False)

    def inference(state: TrainState) -> Inference:
        variables = {"params": state.weights, **state.collections}
        return Inference(task, model, variables, chunk_bytes=chunk_bytes)

    def pictures(state, frozen, batch):
        prediction, _ = inference(state).reconstruct(batch["image"], batch["planes"])
        return _table(task, watched, batch, [prediction])

    return Validation(
        task=task,
        watched=watched,
        loss=_jitted(loss),
        codebook_size=model.quantizer.codebook_size,
        indices=lambda state, batch: inference(state).encode(
            batch["image"], batch["planes"]
        ),
        pictures=pictures,
    )


def stage2_validation(
    config: UvimSettings,
    task: Task,
    stage1: FrozenStage1,
    model: Stage2Model,
    encode_target: Callable,
    watched: Watched,
) -> Validation:
    """Cross-entropy of the code, with stage-I reconstructions and greedy predictions."""

    def pictures(state, frozen, batch):
        inference = Inference(
            task,
            stage1.model,
            frozen,
            model,
            state.weights,
            build.head_chunk_bytes(config),
        )
        image = batch["image"]
        hashes = np.asarray(
            [stable_hash(watched.source.example_id(int(i))) for i in batch["index"]]
        )
        codes = inference.sample(image, hashes, Sampling(temperature=0.0)).indices[:, 0]
        rows = [
            inference.reconstruct(image, batch["planes"])[0],
            inference.decode(codes, image),
        ]
        return _table(task, watched, batch, rows)

    return Validation(
        task=task,
        watched=watched,
        loss=_jitted(stage2_loss(model, encode_target)),
        codebook_size=None,
        indices=None,
        pictures=pictures,
    )


def _table(task: Task, watched: Watched, batch, predictions: list) -> np.ndarray:
    """One row per example: image, target, predictions, all at one height."""
    rows = []
    for i in range(min(watched.pictures, int(np.sum(batch["mask"])))):
        image = _for_the_eye(batch["image"][i])
        size = image.shape[:2]
        generator = np.random.default_rng(0)
        example = task.preprocess(
            watched.source[int(batch["index"][i])], generator, train=False
        )
        shown = [image, task.visualize(image, example["target"])]
        for prediction in predictions:
            planes = {name: np.asarray(plane[i]) for name, plane in prediction.items()}
            shown.append(task.visualize(image, task.restore(planes, size)))
        rows.append(np.concatenate([_enlarge(picture) for picture in shown], axis=1))
    return np.concatenate(rows)


def _for_the_eye(image: np.ndarray) -> np.ndarray:
    """8 bits of an image that may be scaled to [-1, 1] already."""
    if image.dtype == np.uint8:
        return image
    return np.clip(np.rint((image + 1) * 127.5), 0, 255).astype(np.uint8)


def _enlarge(picture: np.ndarray) -> np.ndarray:
    factor = max(1, round(PICTURE_HEIGHT / picture.shape[0]))
    return cv2.resize(
        picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST
    )
