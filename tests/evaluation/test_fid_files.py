"""Pools of pictures: what is listed, what is broken, what is kept on disk."""

import os

import cv2
import numpy as np
import pytest

from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.coltran import network_input, picture_pixels
from uvim_fsq.evaluation.fid_files import (
    find_listed,
    list_pictures,
    picture_key,
    pool_of_files,
    pool_of_source,
    read_list,
)


class Colours:
    """Mean colours of a picture's quarters; counts the pictures it was given."""

    name, is_inception = "colours", False

    def __init__(self, digest="colours", batch_size=4):
        self.digest, self.batch_size = digest, batch_size
        self.batches = []

    def __call__(self, images):
        self.batches.append(len(images))
        b, h, w, _ = images.shape
        quarters = images.reshape(b, 2, h // 2, 2, w // 2, 3).mean((2, 4))
        return quarters.reshape(b, -1)


def picture(seed, size=(40, 60)):
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.fixture
def folder(tmp_path):
    """Nine pictures of three sizes, 100.png to 108.png, two of them in a folder below."""
    path = tmp_path / "pictures"
    (path / "more").mkdir(parents=True)
    for i in range(9):
        image = picture(i, ((40, 60), (60, 40), (300, 301))[i % 3])
        place = path / "more" if i > 6 else path
        cv2.imwrite(str(place / f"10{i}.png"), image[..., ::-1])
    return path


def means(images):
    return Colours()(np.stack([network_input(picture_pixels(i)) for i in images]))


def sizes(i):
    return ((40, 60), (60, 40), (300, 301))[i % 3]


def test_pictures_of_a_folder(folder):
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "100.png").write_bytes(b"")
    (folder / "100.png").rename(folder / "100.PNG")
    found = list_pictures(folder)
    assert found == ["100.PNG", *(f"10{i}.png" for i in range(1, 7))] + [
        "more/107.png",
        "more/108.png",
    ]
    assert list_pictures(str(folder)) == found


def test_folders_without_pictures(tmp_path):
    with pytest.raises(DataError, match="missing does not exist"):
        list_pictures(tmp_path / "missing")
    with pytest.raises(DataError, match="has no pictures; expected.*.jpg"):
        list_pictures(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is not a folder"):
        list_pictures(tmp_path / "file")


def test_features_are_those_of_the_prepared_pictures(folder, tmp_path):
    names, extractor, done = list_pictures(folder), Colours(), []
    pool = pool_of_files(folder, names, extractor, tmp_path / "cache", done.append)
    expected = means([picture(i, sizes(i)) for i in range(9)])
    assert (pool.statistics.count, pool.network) == (9, "colours")
    assert pool.names == tuple(names)
    np.testing.assert_allclose(pool.statistics.mean, expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(
        pool.statistics.covariance, np.cov(expected, rowvar=False), atol=1e-6
    )
    assert extractor.batches == [4, 4, 1] and sum(done) == 9


def test_features_are_kept(folder, tmp_path):
    """By content: copies, other names and other times change nothing, and a byte does."""
    names, cache, extractor = list_pictures(folder), tmp_path / "cache", Colours()

    def pool(network=extractor, folder=folder):
        done = []
        made = pool_of_files(folder, list_pictures(folder), network, cache, done.append)
        assert sum(done) == len(made.names)
        return made

    first = pool()
    os.utime(folder / "100.png", (1, 1))
    (folder / "101.png").rename(folder / "1011.png")
    second = pool()
    assert sum(extractor.batches) == 9
    np.testing.assert_array_equal(second.statistics.mean, first.statistics.mean)
    assert second.names != first.names
    cv2.imwrite(str(folder / "100.png"), picture(50))
    assert not np.allclose(pool().statistics.mean, first.statistics.mean)
    assert sum(extractor.batches) == 18
    other = Colours("other network")
    pool(other)
    assert sum(other.batches) == 9
    assert pool_of_files(folder, names[2:4], extractor, cache).statistics.count == 2
    assert sum(extractor.batches) == 20
    assert not list(cache.glob(".*"))  # nothing temporary stays


@pytest.mark.parametrize(
    "damage", ["half", "byte", "text", "npy", "other array", "rows", "empty"]
)
def test_damaged_features_are_made_anew(folder, tmp_path, damage):
    names, cache, extractor = list_pictures(folder), tmp_path / "cache", Colours()
    first = pool_of_files(folder, names, extractor, cache)
    (file,) = cache.glob("fid-*.npz")
    whole = file.read_bytes()
    if damage == "half":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "byte":
        file.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    elif damage == "npy":
        with file.open("wb") as stream:
            np.save(stream, np.zeros((9, 12), np.float32))
    elif damage == "text":
        file.write_text("features")
    elif damage == "other array":
        np.savez(file, others=np.zeros((9, 12), np.float32))
    elif damage == "rows":
        np.savez(file, features=np.zeros((8, 12), np.float32))
    else:
        file.write_bytes(b"")
    again = pool_of_files(folder, names, extractor, cache)
    assert sum(extractor.batches) == 18
    np.testing.assert_array_equal(again.statistics.mean, first.statistics.mean)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_no_error(folder, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    pool = pool_of_files(folder, list_pictures(folder), Colours(), tmp_path / "cache")
    assert pool.statistics.count == 9
    assert "features are not kept" in caplog.text


def test_broken_pictures_are_named_before_the_network_runs(folder, tmp_path):
    (folder / "102.png").write_bytes((folder / "102.png").read_bytes()[:-30])
    (folder / "more" / "108.png").write_text("no picture")
    (folder / "103.png").unlink()
    (folder / "103.png").symlink_to("nowhere.png")
    extractor, cache = Colours(), tmp_path / "cache"
    for _ in range(2):
        with pytest.raises(DataError, match="3 of 9 pictures cannot be used") as error:
            pool_of_files(folder, list_pictures(folder), extractor, cache)
        text = str(error.value)
        assert "102.png: the PNG is truncated" in text
        assert "108.png: it is not a picture" in text
        assert "103.png: there is no such file" in text
    assert not extractor.batches


def test_one_picture_is_too_few(folder, tmp_path):
    with pytest.raises(DataError, match="at least 2 pictures on each side, found 1"):
        pool_of_files(folder, ["100.png"], Colours(), tmp_path)
    with pytest.raises(DataError, match="found 0"):
        pool_of_source([], [], Colours(), tmp_path)


def test_pool_of_a_source(folder, tmp_path):
    """The same pictures give the same pool, from wherever they come; and it is kept."""
    source = [{"image": picture(i, sizes(i)), "id": f"all/{i}"} for i in range(9)]
    extractor, done = Colours(), []
    for _ in range(2):
        pool = pool_of_source(
            source, range(8, 0, -1), extractor, tmp_path / "cache", done.append
        )
    assert (sum(extractor.batches), sum(done)) == (8, 16)
    assert pool.names == tuple(f"all/{i}" for i in range(8, 0, -1))
    names = list_pictures(folder)[1:]
    expected = pool_of_files(folder, names, Colours(), tmp_path / "files")
    np.testing.assert_allclose(pool.statistics.mean, expected.statistics.mean)
    np.testing.assert_allclose(
        pool.statistics.covariance, expected.statistics.covariance
    )
    source[3] = {"image": picture(77), "id": "all/3"}
    pool_of_source(source, range(8, 0, -1), extractor, tmp_path / "cache")
    assert sum(extractor.batches) == 16


def test_lists(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("b.JPEG\n\n a.JPEG \r\n")
    assert read_list(path) == ["b.JPEG", "a.JPEG"]
    path.write_text("a.JPEG\nb.JPEG\na.JPEG\n")
    with pytest.raises(DataError, match="each name once, found a.JPEG again"):
        read_list(path)
    path.write_text("\n\n")
    with pytest.raises(DataError, match="a file name in each line, found none"):
        read_list(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="it is not text"):
        read_list(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_list(tmp_path / "missing.txt")


def test_listed_pictures(folder, tmp_path):
    """By path, or by a file name that occurs once."""
    path = tmp_path / "list.txt"
    path.write_text("108.png\n102.png\nmore/107.png\n")
    assert find_listed(folder, path) == ["more/108.png", "102.png", "more/107.png"]
    (folder / "even").mkdir()
    (folder / "even" / "108.png").write_bytes(b"")
    path.write_text("108.png\n200.png\n100.png\n")
    with pytest.raises(DataError, match="2 pictures of .*list.txt") as error:
        find_listed(folder, path)
    assert "108.png (several), 200.png (not there)" in str(error.value)


def test_names_of_pictures():
    assert picture_key("val/n01440764/ILSVRC2012_val_00000001.JPEG") == (
        "ILSVRC2012_val_00000001"
    )
    assert picture_key("validation/0002") == "0002"
    assert picture_key("take.2") == "take.2"
