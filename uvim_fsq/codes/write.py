"""Guiding codes of a data set, kept as files for training other models on them."""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uvim_fsq.codes.files import CodeFiles, new_folder
from uvim_fsq.codes.plot import save_histogram
from uvim_fsq.codes.report import code_statistics, print_codes
from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.errors import ConfigError
from uvim_fsq.models.uvim.inference import Inference
from uvim_fsq.models.uvim.stage2.model import START_TOKEN, indices_to_tokens
from uvim_fsq.runs.directory import environment, tree_hash, write_json
from uvim_fsq.runs.load import load_inference
from uvim_fsq.runs.open import RunModel, Trained, open_trained
from uvim_fsq.settings import as_json
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.tasks.base import example_transform
from uvim_fsq.training.compilation_cache import enable_compilation_cache
from uvim_fsq.training.progress import Progress

_AHEAD = 2
"""Batches that the device has been given before the first of them is waited for."""


@dataclass(frozen=True)
class Part:
    """Pictures of one part of the data, in the source's order; `first` is the row of the first."""

    name: str
    source: Source
    first: int
    count: int


def write_codes(
    model: str | Path,
    output: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    part: str = "train",
    limit: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
) -> Path:
    """Writes the guiding codes of a data set into a new folder, whole or not at all.

    The N pictures come in the source's order, unaugmented. `indices.npy` (N n) holds their codes in
    the smallest unsigned type that takes the codebook; `ids.txt` has a line for each, where an id that
    does not fit a line, or has a backslash, stands in Python's escapes. With stage II, `bits.npy` (N)
    float32 is what each code costs under it: the negative log2-likelihood. `histogram.npy` (k) counts
    the indices, `histogram.png` shows them, and `codes.json` says what all this is.

    Args:
      model: a run directory, a bundle, or OWNER/NAME on the Hugging Face Hub.
      output: the folder; by default `codes_PART` in the run, or `codes/NAME_PART` for a bundle.
      changes: other `data` and `loader_threads` than the model's.
      part: of the data: train, validation, test, or all, one after another; parts that are the same
        pictures are then taken once.
      limit: the first so many pictures only.
      batch_size: pictures at once; by default that of the model's evaluation.
      seed: of stage II; the first that is there by default.

    Returns:
      The folder.

    Raises:
      ConfigError: if the folder is there already, or the model has no codebook.
      DataError: if the data cannot be used, or lack the labels that are encoded.

    Example:
      >>> folder = write_codes("runs/depth", "codes")  # doctest: +SKIP
      >>> np.load(folder / "indices.npy", mmap_mode="r").shape  # doctest: +SKIP
      (16000, 16)
    """
    enable_compilation_cache()
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, found {value}")
    trained = open_trained(model)
    config = dataclasses.replace(trained.config, **(changes or {}))
    codebook_size = config.quantizer.build().codebook_size
    if codebook_size is None:
        raise ConfigError(
            f"{trained.path} has the identity quantizer, which makes no indices: give a model with "
            "fsq or vq"
        )
    folder = Path(output or _default_folder(trained, part))
    if folder.exists():
        raise ConfigError(
            f"{folder} is there already: name another folder, or remove it"
        )
    parts = _open_parts(config, part, limit)
    inference = load_inference(trained, seed)
    with new_folder(folder) as temporary:
        files = CodeFiles(
            temporary,
            sum(each.count for each in parts),
            inference.stage1.code_length,
            codebook_size,
            with_bits=inference.stage2 is not None,
        )
        size = batch_size or config.evaluation.batch_size
        speed = _encode(inference, parts, size, config.loader_threads or None, files)
        files.close()
        description = _description(config, inference, parts)
        statistics = code_statistics(files.used, files.bits)
        write_json(temporary / "codes.json", {**description, **statistics})
        save_histogram(
            temporary / "histogram.png",
            files.used,
            description["levels"],
            f"{config.task.kind}, {config.quantizer.kind}",
        )
    print_codes(description, statistics, speed, folder)
    note = inference.task.left_out()
    if note:
        print(f"note: {note}")
    return folder


def _default_folder(trained: Trained, part: str) -> Path:
    if isinstance(trained, RunModel):
        return trained.path / f"codes_{part}"
    return Path("codes") / f"{trained.name}_{part}"


def _open_parts(config: RunConfig, part: str, limit: int | None) -> list[Part]:
    """The pictures to encode, at most `limit`."""
    parts: list[Part] = []
    first = 0
    for name in config.data.distinct_parts() if part == "all" else (part,):
        source = config.data.open(name)
        config.task.check_source(source, name)
        count = len(source) if limit is None else min(len(source), limit - first)
        if count:
            parts.append(Part(name, source, first, count))
        first += count
    return parts


def _encode(
    inference: Inference,
    parts: Sequence[Part],
    batch_size: int,
    threads: int | None,
    files: CodeFiles,
) -> float:
    """Fills the files; returns pictures per second, without the first batch if there are more."""
    done, before, started = 0, 0, time.monotonic()
    speed = 0.0
    with Progress("codes", sum(each.count for each in parts)) as progress:
        for ids, indices, log_probs in _codes(inference, parts, batch_size, threads):
            files.add(ids, indices, log_probs)
            done += len(ids)
            speed = (done - before) / (time.monotonic() - started)
            progress.scalars(done, {"train/images_per_second": speed})
            if not before:  # The first batch has waited for the compiler.
                before, started = done, time.monotonic()
    return speed


def _codes(
    inference: Inference, parts: Sequence[Part], batch_size: int, threads: int | None
) -> Iterator[tuple[list[str], np.ndarray, np.ndarray | None]]:
    """Ids, indices (b n) and log-probabilities (b n) of batch after batch.

    The device has the next batches before the results of one are waited for.
    """
    transform = example_transform(inference.task, train=False)
    waiting: deque[tuple] = deque()

    def fetched() -> tuple[list[str], np.ndarray, np.ndarray | None]:
        source, batch, indices, log_probs = waiting.popleft()
        real = batch["mask"]
        ids = [source.example_id(int(place)) for place in batch["index"][real]]
        known = None if log_probs is None else np.asarray(log_probs)[real]
        return ids, np.asarray(indices)[real], known

    for part in parts:
        batches = evaluation_batches(
            part.source,
            transform,
            batch_size=batch_size,
            indices=range(part.count),
            threads=threads,
        )
        with closing(batches):
            for batch in batches:
                image = jax.device_put(batch["image"])
                indices = inference.encode(image, batch["planes"])
                log_probs = None
                if inference.stage2 is not None:
                    log_probs = inference.code_log_probs(image, indices)
                places = {name: batch[name] for name in ("mask", "index")}
                waiting.append((part.source, places, indices, log_probs))
                if len(waiting) > _AHEAD:
                    yield fetched()
    while waiting:
        yield fetched()


def _description(
    config: RunConfig, inference: Inference, parts: Sequence[Part]
) -> dict[str, Any]:
    """What the codes are of, and how to read them."""
    settings = as_json.to_dict(config)
    length = inference.stage1.code_length
    side = math.isqrt(length)
    models = {"stage1": tree_hash(inference.variables1), "stage2": None}
    if inference.stage2 is not None:
        models["stage2"] = tree_hash({"params": inference.params2})
    quantizer = config.quantizer
    return {
        "pictures": sum(part.count for part in parts),
        "parts": [
            {"part": part.name, "first_row": part.first, "pictures": part.count}
            for part in parts
        ],
        "code_length": length,
        "code_grid": [side, side] if inference.stage1.resize == "linear" else None,
        "codebook_size": inference.stage1.quantizer.codebook_size,
        "levels": list(getattr(quantizer, "levels", ())) or None,
        # Index i is token i + 1 of stage II: token 0 starts its sequences.
        "stage2_tokens": {
            "start": START_TOKEN,
            "of_index_0": int(indices_to_tokens(jnp.int32(0))),
        },
        "task": settings["task"],
        "data": config.data.kind,
        "quantizer": settings["quantizer"],
        "hashes": models,
        "environment": environment(),
    }
