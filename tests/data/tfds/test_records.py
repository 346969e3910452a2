"""TFRecord files by position, and finding prepared data; no TensorFlow."""

import numpy as np
import pytest

from uvim_fsq.data.base import locate
from uvim_fsq.data.tfds import records as tfds_records
from uvim_fsq.data.tfds.prepared import default_data_dir, find_prepared
from uvim_fsq.data.tfds.records import Piece, TfRecords, open_records
from uvim_fsq.errors import BrokenFileError, DataError


def write(path, records):
    """A TFRecord file whose checksums are zeros."""
    frames = [len(r).to_bytes(8, "little") + bytes(4) + r + bytes(4) for r in records]
    path.write_bytes(b"".join(frames))
    return path


@pytest.fixture
def pieces(tmp_path):
    one = write(tmp_path / "a-train.tfrecord-00000-of-00002", [b"x", b"", b"yz" * 9])
    two = write(tmp_path / "a-train.tfrecord-00001-of-00002", [b"1", b"22"])
    return [Piece(one, "train", 1, 1, 2, 3), Piece(two, "train", 3, 0, 1, 2)]


def test_records_are_found_by_position(pieces, tmp_path):
    records = TfRecords(pieces, tmp_path / "cache")
    assert [records[i] for i in range(len(records))] == [b"", b"yz" * 9, b"1"]
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"example {index} of 3"):
            records[index]
    assert locate([2, 3], 2) == (1, 0)


def test_the_index_is_kept_until_a_file_changes(pieces, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    TfRecords(pieces, cache)
    (kept,) = cache.iterdir()
    looked_at = []

    def watched(piece, real=tfds_records._scan):
        looked_at.append(piece.path)
        return real(piece)

    monkeypatch.setattr(tfds_records, "_scan", watched)
    assert TfRecords(pieces, cache)[1] == b"yz" * 9 and not looked_at
    write(pieces[1].path, [b"333", b"4"])
    assert TfRecords(pieces, cache)[2] == b"333" and len(looked_at) == 2
    for spoiled in (b"", b"no archive", kept.read_bytes()[:100]):
        kept.write_bytes(spoiled)
        looked_at.clear()
        assert TfRecords(pieces, cache)[2] == b"333" and len(looked_at) == 2
    assert [path.name for path in cache.iterdir()] == [kept.name]


def test_a_cache_that_cannot_be_written_is_done_without(pieces, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    records = TfRecords(pieces, tmp_path / "file" / "cache")
    assert records[2] == b"1" and "not kept" in caplog.text


@pytest.mark.parametrize("cut", [1, 5, 17, 20])
def test_a_file_that_ends_early_is_refused(pieces, tmp_path, cut):
    path = pieces[1].path
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(BrokenFileError, match=path.name):
        TfRecords(pieces, tmp_path / "cache")


def test_a_file_with_another_number_of_records_is_refused(pieces, tmp_path):
    write(pieces[0].path, [b"x"] * 4)
    with pytest.raises(BrokenFileError, match="expected 3 records, found 4"):
        TfRecords(pieces, tmp_path / "cache")


def test_other_formats_are_refused(pieces, tmp_path):
    with pytest.raises(DataError, match="is prepared as riegeli, expected array_rec"):
        open_records("riegeli", pieces, tmp_path)


def test_the_latest_version_is_found(tmp_path, monkeypatch):
    for version in ("1.9.0", "1.10.0", "2.0.0.incomplete", "extracted"):
        (tmp_path / "a/b" / version).mkdir(parents=True)
        (tmp_path / "a/b" / version / "dataset_info.json").touch()
    (tmp_path / "a/b/3.0.0").mkdir()  # no data in it
    newest = tmp_path / "a/b/1.10.0"
    assert find_prepared("a/b", tmp_path) == newest
    assert find_prepared(str(newest), tmp_path / "elsewhere") == newest
    assert find_prepared("a/b:1.9.0", tmp_path) == tmp_path / "a/b/1.9.0"
    for name in ("a", "b", "a/b:3.0.0"):
        assert find_prepared(name, tmp_path) is None
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert default_data_dir().name == "tensorflow_datasets"


def test_offsets_beyond_four_gigabytes(tmp_path):
    path = tmp_path / "big.tfrecord"
    with path.open("wb") as file:  # sparse: takes no space
        file.write((2**32).to_bytes(8, "little"))
        file.seek(2**32 + 16)
        file.write(write(tmp_path / "small", [b"end"]).read_bytes())
    records = TfRecords([Piece(path, "train", 0, 1, 1, 2)], tmp_path / "cache")
    assert records[0] == b"end"
    assert np.load(next((tmp_path / "cache").iterdir()))["values"].dtype == np.int64
