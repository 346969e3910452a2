"""The lists of ImageNet names for FID-5k, against the order in which TFDS loads."""

import numpy as np
import pytest

from uvim_fsq.data.tfds.imagenet_lists import interleaved_order, write_lists
from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.listed import listed_indices

tfds = pytest.importorskip("tensorflow_datasets")
tf = pytest.importorskip("tensorflow")
IMAGENET = "imagenet2012"


def _order_of_tensorflow(lengths):
    ends = np.cumsum(lengths)
    pairs = tf.data.Dataset.from_tensor_slices((ends - lengths, ends))
    order = pairs.interleave(
        tf.data.Dataset.range,
        cycle_length=16,
        block_length=16,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return list(order.as_numpy_iterator())


def test_order_is_that_of_tensorflow():
    generator = np.random.default_rng(0)
    for lengths in (
        generator.integers(1, 70, 40),
        np.array([16, 32, 5, 48] * 9),
        np.array([3]),
        np.diff([round(50_000 * n / 64) for n in range(65)]),  # ImageNet's files
    ):
        order = interleaved_order(lengths.tolist())
        np.testing.assert_array_equal(order, _order_of_tensorflow(lengths))
    assert interleaved_order([]).tolist() == []


def test_lists_are_the_first_and_third_names_that_tfds_loads(archives, tmp_path):
    archives.write_imagenet(tmp_path, validation=450)
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    config = tfds.download.DownloadConfig(
        manual_dir=tmp_path, try_download_gcs=False, num_shards=20
    )
    loaded = {}
    for file_format in ("tfrecord", "array_record"):
        builder = tfds.builder(IMAGENET, data_dir=tmp_path / file_format)
        builder.download_and_prepare(file_format=file_format, download_config=config)
        loaded[file_format] = builder
    data = tfds.load(
        IMAGENET,
        split="validation",
        shuffle_files=False,
        data_dir=tmp_path / "tfrecord",
        download=False,
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    names = [example["file_name"].decode() for example in data.as_numpy_iterator()]
    assert len(names) == 450 and names != sorted(names)
    for file_format in loaded:
        paths = write_lists(tmp_path / "lists", tmp_path / file_format, count=150)
        assert [path.name for path in paths] == [
            "eval_file_names.txt",
            "reference_file_names.txt",
        ]
        found = [path.read_text().splitlines() for path in paths]
        assert found == [names[:150], names[300:450]]


def test_lists_are_not_cut_short_and_not_overwritten(tfds_data, tmp_path):
    place = tfds_data.folders["array_record"]
    with pytest.raises(DataError, match="need 15,000 validation pictures, found 40"):
        write_lists(tmp_path, place)
    assert not list(tmp_path.iterdir())
    first, _ = write_lists(tmp_path, place, count=13)
    write_lists(tmp_path, place, count=13)
    with pytest.raises(DataError, match="is not overwritten"):
        write_lists(tmp_path, place, count=12)
    assert len(first.read_text().splitlines()) == 13
    source = TfdsSource(IMAGENET, place, "validation")
    rows = listed_indices(source, str(first))
    assert source.file_name(rows[2]) == first.read_text().splitlines()[2]
