"""Reading pictures of every mode and depth maps, and naming what is wrong with broken ones."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from uvim_fsq.data.images import (
    read_image,
    read_oriented,
    to_rgb_uint8,
)
from uvim_fsq.errors import BrokenFileError, DataError


@pytest.fixture
def picture():
    """A smooth colour picture, 60 x 80, whose corners all differ."""
    y, x = np.mgrid[0:60, 0:80]
    return np.stack([4 * y, 3 * x, 200 - 2 * y], -1).astype(np.uint8)


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.PNG"])
def test_lossless_colour_is_exact(tmp_path, picture, name):
    np.testing.assert_array_equal(read_image(save(tmp_path / name, picture)), picture)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_colour_is_close(tmp_path, picture, name):
    ours = read_image(save(tmp_path / name, picture, quality=95))
    assert np.abs(ours.astype(int) - picture).mean() < 3


def test_grey_becomes_three_equal_channels(tmp_path, picture):
    grey = picture[..., 0]
    ours = read_image(save(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(ours, np.repeat(grey[..., None], 3, -1))


def test_one_bit(tmp_path, picture):
    Image.fromarray(picture[..., 0] > 100).save(tmp_path / "a.png")
    ours = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(ours[..., 1] == 255, picture[..., 0] > 100)


def test_palette(tmp_path, picture):
    palette = Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png"), np.asarray(palette.convert("RGB"))
    )


def on(background, colour, alpha):
    share = alpha.astype(float)[..., None] / 255
    return colour * share + background * (1 - share)


@pytest.mark.parametrize(
    "name, background", [("a.png", 255), ("a.webp", 255), ("a.tif", 0)]
)
def test_transparency_is_put_on_a_background(tmp_path, picture, name, background):
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[:, :40] = 64
    alpha[:20] = 0
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    save(tmp_path / name, np.dstack([picture, alpha]), **options)
    expected = on(background, picture, alpha)
    assert np.abs(read_image(tmp_path / name) - expected).max() <= 1


def test_grey_with_transparency(tmp_path, picture):
    alpha = np.full((60, 80), 100, np.uint8)
    grey = np.repeat(picture[..., :1], 3, -1)
    Image.fromarray(np.dstack([grey, alpha])).convert("LA").save(tmp_path / "a.png")
    ours = read_image(tmp_path / "a.png")
    assert np.abs(ours - on(255, grey, alpha)).max() <= 0.51


def test_palette_with_a_transparent_colour(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.save(tmp_path / "a.png", transparency=1)
    ours = read_image(tmp_path / "a.png")
    assert ours[0, 0].tolist() == [10, 20, 30] and ours[0, 1].tolist() == [255] * 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled(tmp_path, picture, name):
    wide = picture.astype(np.uint16) * 257 + 100
    cv2.imwrite(str(tmp_path / name), wide[..., ::-1])
    expected = np.rint(wide / 257)
    np.testing.assert_array_equal(read_image(tmp_path / name), expected)
    cv2.imwrite(str(tmp_path / name), wide[..., 0])  # and in one channel
    grey = read_image(tmp_path / name)
    np.testing.assert_array_equal(grey[..., 2], expected[..., 0])


def test_cmyk_jpeg(tmp_path, picture):
    image = Image.fromarray(picture).convert("CMYK")
    image.save(tmp_path / "a.jpg", quality=98)
    ours = read_image(tmp_path / "a.jpg")
    assert np.abs(ours.astype(int) - picture).mean() < 4


@pytest.mark.parametrize(
    "orientation, undo",
    [(2, lambda a: a[:, ::-1]), (3, lambda a: a[::-1, ::-1]), (4, lambda a: a[::-1])]
    + [(5, lambda a: a.swapaxes(0, 1)), (6, lambda a: np.rot90(a, -1))]
    + [(7, lambda a: np.rot90(a, 2).swapaxes(0, 1)), (8, np.rot90)],
)
def test_exif_orientation_is_applied(tmp_path, picture, orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.jpg", picture, quality=98, exif=exif)
    ours, expected = read_image(tmp_path / "a.jpg"), undo(picture)
    assert ours.shape == expected.shape
    assert np.abs(ours.astype(int) - expected).mean() < 3


def test_float_tiff(tmp_path, picture):
    unit = picture.astype(np.float32) / 255
    cv2.imwrite(str(tmp_path / "a.tif"), unit[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), picture)
    cv2.imwrite(str(tmp_path / "a.tif"), 3 * unit)
    with pytest.raises(BrokenFileError, match=r"floats in \[0, 1\]"):
        read_image(tmp_path / "a.tif")


def encoded(picture, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, **options)
    return buffer.getvalue()


def noisy(picture):
    noise = np.random.default_rng(0).integers(0, 50, picture.shape, np.uint8)
    return (picture // 2 + noise).astype(np.uint8)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_truncated_jpeg_is_refused(tmp_path, picture, share, progressive):
    # The thumbnail in its header has an end marker of its own.
    exif = b"Exif\0\0" + encoded(picture[:8, :8], format="JPEG")
    options = {"exif": exif, "progressive": progressive}
    data = encoded(noisy(picture), format="JPEG", **options)
    (tmp_path / "whole.jpg").write_bytes(data)
    assert read_image(tmp_path / "whole.jpg").shape == (60, 80, 3)
    (tmp_path / "cut.jpg").write_bytes(data[: int(share * len(data))])
    with pytest.raises(BrokenFileError, match=r"cut\.jpg: the JPEG is truncated"):
        read_image(tmp_path / "cut.jpg")
    zeros = b"\0" * (len(data) - int(share * len(data)))
    (tmp_path / "cut.jpg").write_bytes(data[: int(share * len(data))] + zeros)
    with pytest.raises(BrokenFileError, match="truncated"):
        read_image(tmp_path / "cut.jpg")


def test_fill_bytes_before_a_marker_do_no_harm(tmp_path, picture):
    data = encoded(picture, format="JPEG")
    table = data.index(b"\xff\xdb")
    (tmp_path / "a.jpg").write_bytes(data[:table] + b"\xff\xff" + data[table:])
    assert read_image(tmp_path / "a.jpg").shape == picture.shape


def test_bytes_after_the_end_do_no_harm(tmp_path, picture):
    for name, kind in (("a.jpg", "JPEG"), ("a.png", "PNG")):
        (tmp_path / name).write_bytes(encoded(picture, format=kind) + b"\0" * 100)
        assert read_image(tmp_path / name).shape == picture.shape


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_png_is_refused(tmp_path, picture, share):
    data = encoded(noisy(picture), format="PNG")
    (tmp_path / "cut.png").write_bytes(data[: int(share * len(data))])
    with pytest.raises(BrokenFileError, match=r"cut\.png: the PNG is truncated"):
        read_image(tmp_path / "cut.png")


def test_damaged_png_is_refused(tmp_path, picture):
    data = bytearray(encoded(noisy(picture), format="PNG"))
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(BrokenFileError, match="checksum"):
        read_image(tmp_path / "bad.png")


@pytest.mark.parametrize(
    "data, reason",
    [(b"", "empty"), (b"hello, this is text", "not a picture")]
    + [(b"\x89PNG\r\n\x1a\n", "truncated"), (b"\xff\xd8\xff", "truncated")],
)
def test_other_files_are_refused(tmp_path, data, reason):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BrokenFileError, match=reason) as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.path == tmp_path / "a.png"
    assert "\n" not in str(caught.value) and isinstance(caught.value, DataError)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(BrokenFileError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(BrokenFileError, match="directory"):
        read_image(tmp_path)


def test_arrays_of_any_mode_become_rgb(picture):
    grey = picture[..., 0]
    three = np.repeat(grey[..., None], 3, -1)
    np.testing.assert_array_equal(to_rgb_uint8(picture), picture)
    np.testing.assert_array_equal(to_rgb_uint8(grey), three)
    np.testing.assert_array_equal(to_rgb_uint8(grey[..., None]), three)
    np.testing.assert_array_equal(to_rgb_uint8(picture / 255), picture)
    np.testing.assert_array_equal(
        to_rgb_uint8(picture.astype(np.uint16) * 257), picture
    )
    clear = np.dstack([picture, np.zeros_like(grey)])
    assert (to_rgb_uint8(clear) == 255).all()
    assert (to_rgb_uint8(np.dstack([grey, np.full_like(grey, 255)])) == three).all()
    assert to_rgb_uint8(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize(
    "array, error",
    [(np.zeros((4, 4, 5)), ValueError), (np.zeros((0, 4)), ValueError)]
    + [(np.full((4, 4), 2.0), ValueError), (np.full((4, 4), np.nan), ValueError)]
    + [(np.zeros((4, 4), np.int64), TypeError), (np.zeros((1, 4, 4, 3)), ValueError)],
)
def test_arrays_that_are_no_picture_are_refused(array, error):
    with pytest.raises(error, match="expected"):
        to_rgb_uint8(array)


def test_real_pictures_of_every_kind(real_data):
    paths = sorted((real_data("photos") / "original").iterdir())
    assert len(paths) == 40
    for path in paths:
        image = read_image(path)
        with Image.open(path) as reference:
            expected = np.asarray(reference.convert("RGB"), int)
        assert image.shape == expected.shape
        assert np.abs(image - expected).mean() < 2


def test_grey_tiff_of_floats_is_read_and_of_other_numbers_refused(tmp_path):
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    cv2.imwrite(str(tmp_path / "a.tif"), ramp)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image[..., 1], np.rint(ramp * 255))
    cv2.imwrite(str(tmp_path / "a.tif"), ramp * 300)
    with pytest.raises(BrokenFileError, match=r"floats in \[0, 1\], found values in"):
        read_image(tmp_path / "a.tif")
    Image.fromarray((ramp * 255).astype(np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(BrokenFileError, match="expected uint8, uint16.*found int32"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "alpha"])
def test_every_kind_is_turned_by_its_orientation(tmp_path, kind):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :8] = 255
    image = Image.fromarray(pixels)
    if kind == "alpha":
        image.putalpha(255)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    saved = "PNG" if kind == "alpha" else kind
    image.save(tmp_path / "a", saved, exif=exif, **options)
    turned, number = read_oriented(tmp_path / "a")
    assert number == 6 and turned.shape == (16, 8, 3)
    assert turned[2, 6].min() > 200 and turned[2, 1].max() < 50


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "an HEIC image"),
        (b"version https://git-lfs.github.com/spec/v1", "run `git lfs pull`"),
        (b"<!DOCTYPE html><html><body>404", "a web page"),
        (b"%PDF-1.4 and so on", "a PDF, not an image"),
        (bytes(300), "nothing but zeros"),
        (b"8BPS" + bytes(30), "a Photoshop file"),
    ],
)
def test_files_that_are_no_image_are_called_by_their_kind(tmp_path, data, said):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(BrokenFileError, match=said):
        read_image(tmp_path / "a.jpg")


def test_heic_is_read_where_its_library_is_installed(tmp_path, picture):
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    heif = pillow_heif.from_pillow(Image.fromarray(picture))
    heif.save(tmp_path / "a.heic", exif=exif.tobytes())
    image, number = read_oriented(tmp_path / "a.heic")
    assert number == 6 and image.shape == (picture.shape[1], picture.shape[0], 3)
    assert np.abs(image.astype(int) - np.rot90(picture, -1)).mean() < 12
