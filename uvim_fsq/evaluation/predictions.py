"""Every prediction of every held-out picture, with the controls that tell what its code is worth."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import jax
import numpy as np

from uvim_fsq.data.base import Source
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.data.spread import half_away
from uvim_fsq.models.uvim.inference import Inference, stable_hash
from uvim_fsq.models.uvim.stage2.sampling import Sampling
from uvim_fsq.settings.run import EvaluationConfig
from uvim_fsq.tasks.base import example_transform


class Predictions:
    """Predictions by name, in one pass over the data.

    `stage1`: from the target's own code; `greedy` and `sample`: from stage II's; `mean_of_N`: the
    mean of N samples, where the task's predictions can be averaged. `..._foreign_codes` decodes
    the code of another picture, `..._foreign_image` shows the decoder that picture. It is the one half
    the set away: on frames of a video the next one would be nearly the same.

    Attributes:
      threads: that read pictures; one per core by default.
      names: of the predictions that this model makes.
    """

    def __init__(
        self,
        inference: Inference,
        source: Source,
        settings: EvaluationConfig,
        threads: int | None = None,
    ):
        self.inference, self.source, self.settings = inference, source, settings
        self.threads = threads
        self.samples = settings.samples if inference.task.averages else 0
        self.coded = inference.stage1.quantizer.codebook_size is not None
        self.names = ["stage1"]
        if self.coded:
            self.names += ["stage1_foreign_codes", "stage1_foreign_image"]
        if inference.stage2 is not None:
            self.names += ["greedy", "greedy_foreign_codes", "greedy_foreign_image"]
            self.names += ["sample"]
            if self.samples:
                self.names.append(f"mean_of_{self.samples}")

    def items(self, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Pictures by their places in the source: `index`, `id`, `planes` by prediction, and, where
        there is a code, `indices` and `log_probs` of the target's own.

        Two that lend one another their codes come one after the other, so that each picture is
        read once; a single picture is its own other one.
        """
        pairs = half_away(len(indices))
        order = [indices[place] for place in chain.from_iterable(pairs)]
        done: set[int] = set()
        for batch in self._batches(order):
            codes = {name: np.asarray(v) for name, v in self._codes(batch).items()}
            codes["image"] = batch["image"]
            # Batches are even: both of a pair are in the same one.
            other = np.arange(len(batch["mask"])) ^ 1
            foreign = {name: value[other] for name, value in codes.items()}
            predictions = jax.device_get(self._predict(batch, codes, foreign))
            log_probs = self._log_probs(batch, codes)
            for i in np.flatnonzero(batch["mask"]):
                index = int(batch["index"][i])
                if index in done:  # It lends its code a second time.
                    continue
                done.add(index)
                item = {
                    "index": index,
                    "id": self.source.example_id(index),
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

    def _batches(self, indices: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        return evaluation_batches(
            self.source,
            example_transform(self.inference.task, train=False),
            batch_size=max(2, self.settings.batch_size // 2 * 2),
            indices=list(indices),
            threads=self.threads,
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
            drawn = self._sample(batch, sampling, max(1, self.samples))
            several = [decode(drawn[:, i], image) for i in range(drawn.shape[1])]
            predictions["sample"] = several[0]
            if self.samples:
                predictions[f"mean_of_{self.samples}"] = jax.tree.map(
                    lambda *planes: sum(planes) / len(planes), *several
                )
        return predictions

    def _log_probs(self, batch, codes):
        if "greedy" not in codes:
            return None
        return np.asarray(self.inference.code_log_probs(batch["image"], codes["own"]))
