"""FID of predicted colours, and FID-5k where the protocol is exactly ColTran's."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uvim_fsq.evaluation.coltran import COLOR_SIZE, network_input, prediction_pixels
from uvim_fsq.evaluation.fid_files import (
    FeatureExtractor,
    PicturePool,
    picture_key,
    read_list,
)
from uvim_fsq.evaluators.fid import FeatureStatistics, FidError, distance_between

_log = logging.getLogger(__name__)

FID5K_PICTURES = 5000
_PREPARE = "python scripts/prepare_data.py imagenet2012-lists"


class FidEvaluator:
    """Frechet distance between features of predicted colours and those of a pool of pictures.

    Protocol: predictions (h w 3) in [-1, 1] are resized to 256 x 256 by area, rounded to 8 bits,
    clipped and scaled as ColTran does (`evaluators.coltran`); the pool's pictures are its square centre
    crops, resized straight to 256; then features of the network, and `frechet_distance`.

    The score is named for what it is. `frechet_distance_NAME`: the network is not TF-GAN's
    Inception. `fid`: it is. `fid5k`: besides, this evaluator was made by `fid5k_evaluator`, and what
    was scored is 512 x 512 predictions of the 5,000 listed pictures, each once. FID of fewer
    pictures is larger, so `images` and `reference_images` always stand beside it.

    An evaluator collects the pictures of one pass: `aggregate` ends it, and the next begins anew.

    Attributes:
      warnings: what must be said with the last result, one sentence each.
    """

    needs = frozenset({"prediction"})

    def __init__(
        self,
        extractor: FeatureExtractor,
        pool: PicturePool,
        listed: frozenset[str] = frozenset(),
    ):
        if pool.network != extractor.digest:
            raise FidError(
                "the features of the pool are those of another network: make the pool with the "
                "network that is used for predictions."
            )
        self.extractor, self.pool = extractor, pool
        self.warnings: tuple[str, ...] = ()
        self._listed = listed
        self._start()

    def update(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Takes the prediction of one picture, `id` names it; there is no score of its own."""
        self._add(item["id"], item["prediction"])
        return {}

    def aggregate(self, stats: Sequence[Any]) -> dict[str, float | int]:
        """`result` of all pictures since the last call; `warnings` are logged."""
        try:
            if len(self._seen) != len(stats):
                raise FidError(
                    f"expected the {len(stats)} pictures of one pass, found "
                    f"{len(self._seen)}: use one evaluator for each kind of prediction."
                )
            result = self.result()
        finally:
            self._start()
        for warning in self.warnings:
            _log.warning("%s", warning)
        return result

    def result(self) -> dict[str, float | int]:
        """The distance under its name, `images` that were scored and `reference_images`.

        Raises FidError for fewer than two pictures.
        """
        self._extract()
        own = PicturePool(self._statistics, tuple(self._seen), self.extractor.digest)
        scores, warnings = score_pools(self.extractor, own, self.pool)
        reason = self._not_fid5k()
        if reason is None:
            scores = {"fid5k" if k == "fid" else k: v for k, v in scores.items()}
        elif self._listed:
            warnings = (*warnings, f"not FID-5k: {reason}")
        self.warnings = warnings
        return scores

    def _start(self) -> None:
        self._statistics = FeatureStatistics()
        self._waiting: list[np.ndarray] = []
        self._seen: list[str] = []
        self._sizes: set[tuple[int, ...]] = set()

    def _add(self, name: str, color: np.ndarray) -> None:
        self._waiting.append(prediction_pixels(color))
        self._seen.append(picture_key(name))
        self._sizes.add(color.shape[:2])
        if len(self._waiting) >= self.extractor.batch_size:
            self._extract()

    def _extract(self) -> None:
        if self._waiting:
            pixels, self._waiting = np.stack(self._waiting), []
            self._statistics.update(self.extractor(network_input(pixels)))

    def _not_fid5k(self) -> str | None:
        """What differs from the protocol."""
        missing = len(self._listed - set(self._seen))
        others = len(set(self._seen) - self._listed)
        if missing or others or len(self._seen) != FID5K_PICTURES:
            return (
                f"of the {len(self._listed)} listed pictures {missing} were not scored, and "
                f"{others} others were"
            )
        if self._sizes != {(COLOR_SIZE, COLOR_SIZE)}:
            sizes = ", ".join(f"{h} x {w}" for h, w in sorted(self._sizes)[:3])
            return f"predictions must be {COLOR_SIZE} x {COLOR_SIZE}, found {sizes}"
        return None


def score_pools(
    extractor: FeatureExtractor, pool: PicturePool, reference: PicturePool
) -> tuple[dict[str, float | int], tuple[str, ...]]:
    """The distance of two pools under its name, their numbers of pictures, and warnings.

    The name is `fid` if the network is TF-GAN's Inception, `frechet_distance_NAME` otherwise.
    """
    value, warnings = distance_between(pool.statistics, reference.statistics)
    name = "fid"
    if not extractor.is_inception:
        name = f"frechet_distance_{extractor.name}"
        warnings += (
            f"the outputs of the network {extractor.name} are not those of TF-GAN's Inception: "
            "its distances are not FID",
        )
    scores = {
        name: value,
        "images": pool.statistics.count,
        "reference_images": reference.statistics.count,
    }
    return scores, warnings


def fid5k_evaluator(
    extractor: FeatureExtractor,
    pool: PicturePool,
    evaluation_list: str | Path | None,
    reference_list: str | Path | None,
) -> FidEvaluator:
    """The evaluator of FID-5k: predictions of 5,000 listed pictures against 5,000 listed others.

    The lists name the first and the third 5,000 pictures of ImageNet's validation set in the order in
    which TFDS reads it by default; `pool` holds the pictures of the second list. Pictures are known by
    file name without folder and ending.

    Raises FidError without the lists, for lists of another length or with common pictures, for a pool of
    other pictures, and for a network that is not TF-GAN's Inception.
    """
    if evaluation_list is None or reference_list is None:
        raise FidError(
            "FID-5k compares 5,000 listed pictures of ImageNet's validation set with 5,000 others: "
            f"`{_PREPARE}` writes the two lists; give both."
        )
    listed, reference = (_keys(path) for path in (evaluation_list, reference_list))
    common = listed & reference
    if common:
        raise FidError(
            f"{evaluation_list} and {reference_list} must have no picture in common, found "
            f"{len(common)}, {min(common)} for one: take the two lists that `{_PREPARE}` writes."
        )
    pooled = [picture_key(name) for name in pool.names]
    if len(pooled) != len(reference) or set(pooled) != reference:
        raise FidError(
            f"the pool must hold the {len(reference)} pictures of {reference_list}, found "
            f"{len(pooled)} with {len(reference & set(pooled))} of these: make it from the list."
        )
    if not extractor.is_inception:
        raise FidError(
            f"FID-5k needs TF-GAN's Inception; the outputs of the network {extractor.name} are "
            "others: give the SavedModel of tfhub.dev/tensorflow/tfgan/eval/inception/1."
        )
    return FidEvaluator(extractor, pool, listed)


def _keys(path: str | Path) -> frozenset[str]:
    names = read_list(path)
    keys = frozenset(map(picture_key, names))
    if len(names) != FID5K_PICTURES or len(keys) != FID5K_PICTURES:
        raise FidError(
            f"{path}: expected {FID5K_PICTURES} different pictures, found {len(keys)} in "
            f"{len(names)} lines; `{_PREPARE}` writes such a list."
        )
    return keys
