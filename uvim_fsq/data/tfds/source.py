"""Datasets that TFDS prepared, read at random without TensorFlow."""

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from uvim_fsq.data.base import locate
from uvim_fsq.data.images import one_line, to_rgb_uint8
from uvim_fsq.data.scan import cache_directory
from uvim_fsq.data.segments import count_pixels, with_areas
from uvim_fsq.data.tfds.fields import (
    category_ids,
    choose_categories,
    choose_fields,
    to_depth,
    to_segment_ids,
    to_segments,
    without_ending,
)
from uvim_fsq.data.tfds.prepared import (
    default_data_dir,
    find_prepared,
    load_info,
    plain_name,
)
from uvim_fsq.data.tfds.records import Piece, find_pieces, open_records
from uvim_fsq.errors import DataError
from uvim_fsq.types import Category


class TfdsSource:
    """A dataset that TFDS prepared, as ArrayRecord or TFRecord files.

    `name` is `nyu_depth_v2`, `coco/2017_panoptic`, `imagenet2012`, or any other with `fields`, which
    map ours (`image`, `depth`, `panoptic`, `segments`, `id`) to the dataset's. `split` is a split of
    the data or a slice of one as TFDS writes it: `train[4096:]`, `train[:10%]`.

    Depth in floats is metres, in integers millimetres, or both in `units_per_metre` where it is given. Segment ids are integers, or colours
    as in COCO; `segments` is a sequence with `id`, `label`, `is_crowd` and `area`, or what the fields
    `segments/id`, `segments/category`, `segments/iscrowd` and `segments/area` name; the last two may
    lack. Labels of a TFDS `ClassLabel` become category ids: COCO's own for COCO, else those of
    `categories`, which may be a JSON with a list of that name as in COCO's files.

    TensorFlow is not needed and not imported. For TFRecord files an index is built the first time
    and kept below `cache_dir`. At construction all files are there and hold as many examples as
    they should; an example that cannot be decoded is a `DataError` when it is read. Pictures are
    not turned by their EXIF orientation, as in TFDS. JPEGs are decoded with the accurate transform;
    TensorFlow's default is a faster one, whose pictures differ by about 1.3 of 255 levels on average.

    Example: `TfdsSource("coco/2017_panoptic", split="train[4096:]")[0]["segments"]`; a dataset of
    one's own: `TfdsSource("frames", fields={"image": "rgb", "depth": "depth_map"})`.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | Path | None = None,
        split: str = "train",
        fields: Mapping[str, str] | None = None,
        categories: Sequence[Category] | str | Path | None = None,
        units_per_metre: float | None = None,
        cache_dir: str | Path | None = None,
    ):
        if units_per_metre is not None and not units_per_metre > 0:
            raise ValueError(f"units_per_metre must be positive, got {units_per_metre}")
        place = Path(data_dir).expanduser() if data_dir else default_data_dir()
        folder = find_prepared(name, place)
        if folder is None:
            raise DataError(_not_prepared(name, place))
        info = load_info(folder)
        known, self._units = plain_name(info), units_per_metre
        self._version = info.full_name
        self._fields = choose_fields(known, info.features, fields)
        self.categories: tuple[Category, ...] = ()
        """The classes of panoptic labels."""
        self._labels = None
        if "panoptic" in self._fields:
            self.categories = choose_categories(known, categories)
            inner = info.features[self._fields["segments"]].feature
            label = inner[self._fields["segments/category"]]
            self._labels = category_ids(known, label, self.categories)
        self._features = _pick(info.features, self._fields)
        self._name_feature = _pick(info.features, self._fields, only="id")
        self._pieces = find_pieces(info, split)
        self._ends = list(accumulate(piece.take for piece in self._pieces))
        cache = cache_directory(cache_dir)
        self._records = open_records(info.file_format.value, self._pieces, cache)

    @property
    def file_lengths(self) -> list[int]:
        """How many examples of the split each of its files holds, in order."""
        return [piece.take for piece in self._pieces]

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`image` uint8 (h w 3), `id`, and what labels there are, see `uvim_fsq.types.Example`."""
        fields = self._fields
        values = self._decode(index, self._features)
        try:
            example = {"image": to_rgb_uint8(values[fields["image"]])}
            if "depth" in fields:
                example |= to_depth(values[fields["depth"]], self._units)
            if "panoptic" in fields:
                ids = to_segment_ids(values[fields["panoptic"]])
                found = values[fields["segments"]]
                segments = to_segments(found, fields, self._labels, ids)
                example |= {"panoptic": ids, "segments": segments}
            _check_sizes(example)
        except (ValueError, TypeError, IndexError) as error:
            raise DataError(f"{self._where(index)}: {error}") from error
        return {**example, "id": without_ending(self._name(index, values))}

    def reference(self, index: int) -> dict[str, Any]:
        """The example, which has its original size, and its `size` (height, width).

        Panoptic quality believes the areas: here, where they count, they must be those of the map.
        """
        example = self[index]
        if "panoptic" in example:
            counts = count_pixels(example["panoptic"])
            with_areas(example["segments"], counts, self._where(index))
        return {**example, "size": example["image"].shape[:2]}

    def example_id(self, index: int) -> str:
        """The file name without its ending, or the split and the position in it: `train/000017`."""
        return without_ending(self.file_name(index))

    def stamp(self, index: int) -> tuple[str, str]:
        """Its split and its place in there; the dataset with its version, and the file."""
        piece, place = self._place(index)
        name = f"{piece.split}/{piece.start + place:06d}"
        return name, f"{self._version} {piece.path.name}"

    def file_name(self, index: int) -> str:
        """The same with the ending of a picture, where the data have it."""
        if self._name_feature is None:
            return self._name(index, {})
        return self._name(index, self._decode(index, self._name_feature))

    def _name(self, index: int, values: Mapping[str, Any]) -> str:
        if "id" in self._fields:
            value = values[self._fields["id"]]
            return value.decode() if isinstance(value, bytes) else str(value)
        return self.stamp(index)[0]

    def _decode(self, index: int, features: Any) -> dict[str, Any]:
        where, record = self._where(index), self._records[index]
        try:
            return features.deserialize_example_np(record)
        except Exception as error:  # whatever the decoders of TFDS raise
            raise DataError(
                f"{where}: it cannot be decoded ({one_line(str(error))[:200]}); prepare the "
                "data again from a good download"
            ) from error

    def _place(self, index: int) -> tuple[Piece, int]:
        """The file that holds an example, and which of those taken from it that is."""
        number, place = locate(self._ends, index)
        return self._pieces[number], place

    def _where(self, index: int) -> str:
        piece, place = self._place(index)
        return f"{piece.path}, example {piece.skip + place}"


def _pick(features: Any, fields: Mapping[str, str], only: str | None = None) -> Any:
    """The part of TFDS's features that the fields need: others are not decoded."""
    import tensorflow_datasets as tfds

    # TFDS has PartialDecoding for this, which imports TensorFlow.
    picked = {
        theirs: features[theirs]
        for ours, theirs in fields.items()
        if "/" not in ours and only in (None, ours)
    }
    if "segments" in fields and only is None:
        inner = features[fields["segments"]].feature
        names = [theirs for ours, theirs in fields.items() if "segments/" in ours]
        picked[fields["segments"]] = tfds.features.Sequence(
            {name: inner[name] for name in names}
        )
    return tfds.features.FeaturesDict(picked) if picked else None


def _check_sizes(example: Mapping[str, Any]) -> None:
    size = example["image"].shape[:2]
    for name in ("depth", "panoptic"):
        found = example[name].shape if name in example else size
        if found != size:
            raise DataError(
                f"its {name}, {found[0]} x {found[1]}, is not of the size of its image, "
                f"{size[0]} x {size[1]}"
            )


def _not_prepared(name: str, data_dir: Path) -> str:
    """What to do about data that are not there."""
    message = f"{name} is not prepared in {data_dir}; prepare it with: "
    message += f"python scripts/prepare_data.py tfds {name} --data-dir {data_dir}"
    beside = data_dir / name.partition(":")[0]
    others = [
        os.path.relpath(path.parent, data_dir)
        for pattern in ("*/dataset_info.json", "*/*/dataset_info.json")
        for path in sorted(beside.glob(pattern))
    ]
    if others:
        message += f" (there are {', '.join(others)})"
    return message
