"""Depth maps of every kind, in metres; what cannot be depth is refused by what it is."""

import cv2
import numpy as np
import pytest

from uvim_fsq.data.depth_files import depth_limit, read_stored_depth, to_metres
from uvim_fsq.errors import BrokenFileError


def read_depth(path, units_per_metre=None):
    return to_metres(read_stored_depth(path), units_per_metre)


def test_depth_png_in_millimetres_and_other_units(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.array([[0, 1500, 65535]], np.uint16))
    depth = read_depth(tmp_path / "d.png")
    np.testing.assert_allclose(depth, [[0, 1.5, 65.535]], rtol=1e-6)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(read_depth(tmp_path / "d.png", 5000.0)[0, 1], 0.3)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_eight_bit_depth_is_refused(tmp_path, shape):
    cv2.imwrite(str(tmp_path / "d.png"), np.zeros(shape, np.uint8))
    with pytest.raises(BrokenFileError, match=r"16-bit units.*found 8 bits"):
        read_depth(tmp_path / "d.png")


def test_colour_depth_and_jpeg_depth_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "d.png"), np.zeros((4, 5, 3), np.uint16))
    with pytest.raises(BrokenFileError, match="with 3"):
        read_depth(tmp_path / "d.png")
    cv2.imwrite(str(tmp_path / "d.jpg"), np.zeros((4, 5, 3), np.uint8))
    (tmp_path / "d.jpg").rename(tmp_path / "d.png")
    with pytest.raises(
        BrokenFileError, match="expected a 16-bit grey PNG, found a JPEG"
    ):
        read_depth(tmp_path / "d.png")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_depth_npy_marks_what_is_missing(tmp_path, dtype):
    values = np.array([[1.5, 0, -1], [np.nan, np.inf, 2.25]], dtype)
    np.save(tmp_path / "d.npy", values)
    depth = read_depth(tmp_path / "d.npy")
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, np.float32([[1.5, 0, 0], [0, 0, 2.25]]))
    np.save(tmp_path / "d.npy", values[..., None])
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy"), depth)


def test_npy_that_is_no_depth_is_refused(tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, np.zeros((4, 5), np.uint8))
    with pytest.raises(BrokenFileError, match="found uint8.*floats in metres"):
        read_depth(path)
    np.save(path, np.zeros((4, 5, 2), np.float32))
    with pytest.raises(BrokenFileError, match=r"\(4, 5, 2\)"):
        read_depth(path)
    np.save(path, np.zeros((40, 50), np.float32))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BrokenFileError, match="cannot be read"):
        read_depth(path)
    with pytest.raises(BrokenFileError, match="no such file"):
        read_depth(tmp_path / "none.npy")


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".pfm", ".npy"])
def test_float_depth_is_metres_unless_a_unit_is_given(tmp_path, suffix):
    values = np.float32([[1.5, np.nan, 0], [-2, 2250, 4]])
    path = tmp_path / f"d{suffix}"
    np.save(path, values) if suffix == ".npy" else cv2.imwrite(str(path), values)
    expected = np.float32([[1.5, 0, 0], [0, 2250, 4]])
    np.testing.assert_array_equal(read_depth(path), expected)
    np.testing.assert_allclose(read_depth(path, 1000.0), expected / 1000, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_whole_numbers_are_millimetres_unless_a_unit_is_given(tmp_path, dtype):
    np.save(tmp_path / "d.npy", np.array([[1500, 0]], dtype))
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy"), [[1.5, 0]])
    np.testing.assert_array_equal(read_depth(tmp_path / "d.npy", 500.0), [[3, 0]])


def test_tiff_of_whole_numbers_is_millimetres(tmp_path):
    cv2.imwrite(str(tmp_path / "d.tif"), np.array([[1500, 65535]], np.uint16))
    np.testing.assert_allclose(read_depth(tmp_path / "d.tif"), [[1.5, 65.535]])


def test_only_sixteen_bits_have_a_limit():
    assert depth_limit(np.dtype(np.uint16), 5000.0) == pytest.approx(13.107)
    assert depth_limit(np.dtype(np.float32)) is depth_limit(np.dtype(np.int32)) is None


def test_archives_hold_one_array_or_one_named_depth(tmp_path):
    path, depth = tmp_path / "d.npz", np.full((3, 4), 2.0)
    np.savez(path, arr_0=depth)
    np.testing.assert_array_equal(read_depth(path), depth)
    np.savez(path, rgb=np.zeros((3, 4, 3)), depth=depth, K=np.eye(3))
    np.testing.assert_array_equal(read_depth(path), depth)
    np.savez(path, rgb=np.zeros((3, 4, 3)), gt_depth=depth)
    np.testing.assert_array_equal(read_depth(path), depth)
    for arrays in (
        {"a": depth, "b": depth},
        {"left_depth": depth, "right_depth": depth},
    ):
        np.savez(path, **arrays)
        with pytest.raises(BrokenFileError, match=f"found {', '.join(arrays)}"):
            read_depth(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BrokenFileError, match=r"d\.npz: cannot be read"):
        read_depth(path)


def test_depth_that_is_not_read_says_what_it_is(tmp_path):
    (tmp_path / "d.exr").write_bytes(b"\x76\x2f\x31\x01")
    with pytest.raises(BrokenFileError, match="OpenEXR is not read here: convert it"):
        read_depth(tmp_path / "d.exr")
    (tmp_path / "d.png").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(BrokenFileError, match="a Git LFS pointer.*git lfs pull"):
        read_depth(tmp_path / "d.png")


def test_first_axis_of_one_is_the_channel(tmp_path):
    np.save(tmp_path / "d.npy", np.ones((1, 3, 4), np.float32))
    assert read_stored_depth(tmp_path / "d.npy").shape == (3, 4)
