"""Images in every form, and the files that names, folders and patterns stand for."""

import io
import os
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from uvim_fsq.errors import DataError
from uvim_fsq.prediction_input import (
    ImageTypeError,
    image_files,
    output_names,
    read,
    several,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


class Wrapped:
    """Something of another library."""

    def __array__(self, dtype=None, copy=None):
        return IMAGE


def _png(image=IMAGE) -> bytes:
    return cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[
        1
    ].tobytes()


def test_every_form_of_one_image(tmp_path, monkeypatch):
    path = tmp_path / "ä b.png"
    path.write_bytes(_png())
    monkeypatch.setenv("HOME", str(tmp_path))
    with path.open("rb") as opened:
        forms = [
            *(path, str(path), "~/ä b.png", _png(), bytearray(_png()), opened),
            *(io.BytesIO(_png()), Image.fromarray(IMAGE), Image.open(path)),
            *(IMAGE, jnp.asarray(IMAGE), Wrapped(), memoryview(_png())),
            *(IMAGE / 255, (IMAGE / 255).astype(np.float32), IMAGE.astype("u2") * 257),
            np.dstack([IMAGE, np.full((5, 7), 255, np.uint8)]),
        ]
        for form in forms:
            np.testing.assert_array_equal(read(form), IMAGE, str(type(form)))


def test_grey_of_every_kind():
    grey = IMAGE[..., 0]
    expected = np.repeat(grey[..., None], 3, 2)
    for form in (grey, grey[..., None], Image.fromarray(grey), _png(grey)):
        np.testing.assert_array_equal(read(form), expected)
    bits = grey > 99
    for form in (bits, Image.fromarray(bits)):
        np.testing.assert_array_equal(read(form)[..., 1], 255 * bits.astype(np.uint8))


def test_pil_images_look_as_they_do_in_files(tmp_path):
    """A palette, transparency, CMYK and an orientation."""
    turned = Image.fromarray(IMAGE)
    turned.getexif()[0x0112] = 6
    assert read(turned).shape == (7, 5, 3)
    see_through = Image.fromarray(np.dstack([IMAGE, IMAGE[..., 0]]))
    images = {
        "p.png": Image.fromarray(IMAGE).quantize(16),
        "c.tif": Image.fromarray(IMAGE).convert("CMYK"),
        "a.png": see_through,
    }
    for name, image in images.items():
        image.save(tmp_path / name)
        difference = read(image).astype(int) - read(tmp_path / name)
        assert abs(difference).max() <= (2 if name == "c.tif" else 0), name


@pytest.mark.parametrize(
    ("image", "kind", "message"),
    [
        ([IMAGE], TypeError, "found list; predict_many takes several"),
        (None, TypeError, "an image: a path, the bytes .* found NoneType"),
        (3, TypeError, "found int"),
        (io.StringIO("x"), TypeError, "opened for bytes, .* found str"),
        (np.array([[None]]), TypeError, "an array of numbers, found one of objects"),
        (IMAGE.astype(int), TypeError, "uint8, uint16 or floats in .* found int64"),
        (np.moveaxis(IMAGE, 2, 0), ValueError, "found .3, 5, 7.: move the channels"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, "found .0, 5, 3."),
        (np.zeros(5, np.uint8), ValueError, "found .5,."),
        (np.zeros((2, 5, 7, 3), np.uint8), ValueError, "found .2, 5, 7, 3."),
        (np.full((5, 7), np.nan), ValueError, "floats in .0, 1., found .* nan"),
        (IMAGE.astype(float), ValueError, "floats in .0, 1., found values in"),
        (Image.new("F", (3, 3), 7.0), ValueError, "floats in .0, 1."),
        (b"", ValueError, "the bytes given: the file is empty"),
        (_png()[:-9], ValueError, "the bytes given: the PNG is truncated"),
        ("nothing.png", ValueError, "nothing.png: there is no such file"),
    ],
)
def test_what_is_no_image(image, kind, message):
    with pytest.raises(kind, match=message) as caught:
        read(image)
    assert isinstance(caught.value, ImageTypeError | DataError)
    assert "\n" not in str(caught.value)


def test_one_or_several():
    path = Path("a.png")
    for alone in ("a.png", path, b"x", io.BytesIO(b"x"), IMAGE, IMAGE[..., 0]):
        assert list(several(alone)) == [alone] or list(several(alone))[0] is alone
        assert len(list(several([alone, alone]))) == 2
    assert [each.shape for each in several(np.stack([IMAGE] * 3))] == [(5, 7, 3)] * 3
    assert list(several(name for name in ("a", "b"))) == ["a", "b"]
    assert [each.size for each in several(Image.fromarray(IMAGE))] == [(7, 5)]
    for wrong in (3, None, {"a": IMAGE}):
        with pytest.raises(ImageTypeError, match="expected images, found"):
            several(wrong)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.png", "b.JPG", "x/a.png", "x/y/c.png", "notes.txt", "odd[1].png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["in"], "a.png b.JPG odd[1].png x/a.png x/y/c.png"),
        (["in/"], "a.png b.JPG odd[1].png x/a.png x/y/c.png"),
        (["~/in/x"], "x/a.png x/y/c.png"),
        (["in/*.png"], "a.png odd[1].png"),
        (["~/in/*.png", "in/b.JPG"], "a.png odd[1].png b.JPG"),
        (["in/**/*.png"], "a.png odd[1].png x/a.png x/y/c.png"),
        (["in/*"], "a.png b.JPG odd[1].png"),
        (["in/odd[1].png"], "odd[1].png"),
        (["in/a.png", "in/a.png", "in/*.png"], "a.png odd[1].png"),
        (["in/none.png"], "none.png"),
    ],
)
def test_files_of_names_folders_and_patterns(folder, given, expected):
    found = [os.path.relpath(path, folder) for path in image_files(given)]
    assert found == expected.split()


def test_what_is_passed_by_is_said(folder, caplog):
    image_files(["in/*"])
    assert "passed by 2 entries: 1 .txt, 1 folder" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("empty", "empty holds no images"),
        ("in/*.gif", "no image matches in/.*gif"),
        ("nothing/*", "no image matches nothing"),
        ("", "expected names of images, found one that is empty"),
    ],
)
def test_nothing_found_is_one_sentence(folder, given, message):
    with pytest.raises(DataError, match=message):
        image_files([given])


def test_folder_with_a_name_that_cannot_be_written_down_is_refused(folder):
    with open(os.fsencode(folder) + b"/\xff.png", "wb"):
        pass
    with pytest.raises(DataError, match="xff.png' is not UTF-8 text: rename it"):
        image_files(["in"])


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ("a.png", "a"),
        ("in/a.png in/b.png", "a b"),
        ("in/x/a.png in/y/a.png in/b.png", "x_a y_a b"),
        ("in/a.png in/a.jpg in/A.gif", "a_png a_jpg A"),
        ("in/a.png in/x/a.png in/x/a.jpg", "a x_a_png x_a_jpg"),
        ("1/2/a.png 3/2/a.png", "1_2_a 3_2_a"),
        ("a.b.png a.c.png", "a.b a.c"),
    ],
)
def test_names_of_predictions(files, names):
    found = output_names(files.split())
    assert len({name.casefold() for name in found}) == len(found)
    assert found == names.split() or "A" in names
