"""FID of predicted colours, where the settings name an Inception network."""

from collections.abc import Callable, Sequence
from pathlib import Path

from uvim_fsq.data.base import Source
from uvim_fsq.errors import ConfigError
from uvim_fsq.evaluation.fid_evaluator import (
    FID5K_PICTURES,
    FidEvaluator,
    fid5k_evaluator,
)
from uvim_fsq.evaluation.fid_files import (
    PicturePool,
    find_listed,
    list_pictures,
    pool_of_files,
    pool_of_source,
    read_list,
)
from uvim_fsq.evaluation.listed import listed_indices
from uvim_fsq.evaluators.inception import InceptionFeatures
from uvim_fsq.settings.run import EvaluationConfig


def fid_evaluators(
    settings: EvaluationConfig, source: Source
) -> Callable[[], FidEvaluator] | None:
    """Makes an evaluator for each kind of prediction; None where no network is given.

    Predictions are compared with the pictures of `reference_folder`, or with those of the scored data
    that `reference_list` names. With two lists of 5,000 pictures it is FID-5k.

    Raises:
      ConfigError: if a network is given and nothing to compare with.
    """
    if not settings.inception:
        return None
    if not settings.reference_folder and not settings.reference_list:
        raise ConfigError(
            "FID compares with other pictures: give --evaluation.reference-folder, or "
            "--evaluation.reference-list with names of pictures of the same data"
        )
    extractor = InceptionFeatures(settings.inception)
    pool = _pool(settings, source, extractor)
    lists = (settings.list, settings.reference_list)
    if all(lists) and all(len(read_list(name)) == FID5K_PICTURES for name in lists):
        return lambda: fid5k_evaluator(extractor, pool, *lists)
    return lambda: FidEvaluator(extractor, pool)


def _pool(
    settings: EvaluationConfig, source: Source, extractor: InceptionFeatures
) -> PicturePool:
    if not settings.reference_folder:
        indices: Sequence[int] = listed_indices(source, settings.reference_list)
        return pool_of_source(source, indices, extractor)
    folder = Path(settings.reference_folder)
    if settings.reference_list:
        return pool_of_files(
            folder, find_listed(folder, settings.reference_list), extractor
        )
    return pool_of_files(folder, list_pictures(folder), extractor)
