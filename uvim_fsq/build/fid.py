"""FID of predicted colours, where the settings name an Inception network."""

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluators.fid_evaluator import FID5K_PICTURES, FidEvaluator, fid5k_evaluator
from evaluators.fid_files import (
    PicturePool,
    find_listed,
    list_pictures,
    picture_key,
    pool_of_files,
    pool_of_source,
    read_list,
)
from evaluators.inception import InceptionFeatures
from uvim_fsq.config import ConfigError, EvaluationConfig
from uvim_fsq.data.errors import DataError
from uvim_fsq.data.source import Source


def listed_indices(source: Source, file_list: str) -> list[int]:
    """Places in the source of the pictures that a list names, in the order of the list.

    Raises:
      DataError: naming pictures that the source lacks.
    """
    places = {picture_key(source.example_id(i)): i for i in range(len(source))}
    names = read_list(file_list)
    missing = [name for name in names if picture_key(name) not in places]
    if missing:
        raise DataError(
            f"{file_list}: {len(missing)} of {len(names)} pictures are not in the data that is "
            f"scored, {missing[0]} for one: name pictures of these data"
        )
    return [places[picture_key(name)] for name in names]


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
