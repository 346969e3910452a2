"""Files of predictions: ids, ranges, formats and names."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from uvim_fsq.data.coco.format import read_index
from uvim_fsq.data.coco.png import read_ids
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.orientation import turn
from uvim_fsq.errors import DataError
from uvim_fsq.tasks.colorization.task import ColorizationTask
from uvim_fsq.tasks.depth.task import DepthTask
from uvim_fsq.tasks.files import check_free, prediction_files
from uvim_fsq.tasks.panoptic.files import PanopticFiles, image_ids
from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category

DEPTH = DepthTask((8, 8), max_depth=100.0, crop="none")
PANOPTIC = PanopticTask([Category(7, "cat", True, (1, 2, 3))], (8, 8))
IMAGE = np.zeros((2, 3, 3), np.uint8)


def test_names_that_are_one_number_stay_apart(tmp_path):
    """`1.jpg` and `01.jpg` were both picture 1, and the JSON could not be scored."""
    files = prediction_files(PANOPTIC)
    panoptic = np.ones((2, 3), np.int32)
    segments = [{"id": 1, "category_id": 7}]
    for stem in ("1", "01", "000139", "street"):
        files.write(tmp_path, stem, IMAGE, {"panoptic": panoptic, "segments": segments})
    files.finish(tmp_path)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    ids = ["1", "01", 139, "street"]
    assert [each["id"] for each in content["images"]] == ids
    assert [each["image_id"] for each in content["annotations"]] == ids
    index = read_index(tmp_path / "panoptic.json")
    assert index.problems == {} and len(index.annotations) == 4


@pytest.mark.parametrize("number", [1, 2, 3, 6, 7, 8])
def test_panoptic_files_lie_as_the_picture_is_stored(tmp_path, number):
    """So that they have the size of COCO's own, which no EXIF turns."""
    stored = np.array([[0, 0, 2], [1, 1, 1]], np.int32)
    seen = turn(stored, number)
    segments = [{"id": i, "category_id": 7} for i in (1, 2)]
    files = prediction_files(PANOPTIC)
    image = np.zeros((*seen.shape, 3), np.uint8)
    prediction = {"panoptic": seen, "segments": segments}
    files.write(tmp_path, "a", image, prediction, number)
    files.finish(tmp_path)
    np.testing.assert_array_equal(read_ids(tmp_path / "panoptic" / "a.png"), stored)
    index = read_index(tmp_path / "panoptic.json")
    assert (index.images["a"].height, index.images["a"].width) == (2, 3)
    boxes = json.loads((tmp_path / "panoptic.json").read_text())["annotations"][0]
    assert [each["bbox"] for each in boxes["segments_info"]] == [
        [0, 1, 3, 1],
        [2, 0, 1, 1],
    ]
    view = cv2.imread(str(tmp_path / "a_overlay.png"))
    assert (view.shape[0] > view.shape[1]) == (seen.shape[0] > seen.shape[1])


@pytest.mark.parametrize("number", [1, 2, 3, 6, 7, 8])
def test_depth_files_are_labels_beside_their_picture(tmp_path, number):
    """Read beside the same photograph, a prediction that lay as it is seen was turned twice."""
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = number
    for name in ("rgb", "depth"):
        (tmp_path / name).mkdir()
    for stem, form in (("a", "png"), ("b", "npy")):
        image.save(tmp_path / "rgb" / f"{stem}.jpg", exif=exif)
        seen = np.arange(1, 17, dtype=np.float32).reshape(4, 4)
        files = prediction_files(DEPTH, depth_format=form)
        files.write(tmp_path, stem, np.zeros((4, 4, 3), np.uint8), seen, number)
        (tmp_path / f"{stem}_depth.{form}").rename(
            tmp_path / "depth" / f"{stem}.{form}"
        )
    frames = RgbdFolder(tmp_path, "all", cache_dir=tmp_path / "cache")
    assert len(frames) == 2
    for frame in frames:
        np.testing.assert_array_equal(frame["depth"], seen)


def test_ids_are_numbers_that_others_can_hold():
    assert image_ids(["7", "٣", "1" * 18, "1" * 19]) == {
        **{"7": 7, "٣": "٣"},
        **{"1" * 18: int("1" * 18), "1" * 19: "1" * 19},
    }


def test_depth_beyond_the_png_is_told_and_kept_as_npy(tmp_path, caplog):
    depth = np.array([[0.001, 65.5354, 65.536], [70.25, 99.5, 1.2345]], np.float32)
    files = prediction_files(DEPTH)
    files.write(tmp_path, "a", IMAGE, depth)
    files.write(tmp_path, "b", IMAGE, depth.clip(0, 60))
    files.write(tmp_path, "c", IMAGE, depth)
    assert not caplog.text
    files.finish(tmp_path)
    assert "6 pixels in 2 pictures lie beyond 65.535 m" in caplog.text
    units = cv2.imread(str(tmp_path / "a_depth.png"), cv2.IMREAD_UNCHANGED)
    assert units.tolist() == [[1, 65535, 65535], [65535, 65535, 1234]]
    caplog.clear()
    files = prediction_files(DEPTH, depth_format="npy")
    files.write(tmp_path / "npy", "a", IMAGE, depth)
    files.finish(tmp_path / "npy")
    found = np.load(tmp_path / "npy" / "a_depth.npy")
    assert found.dtype == np.float32 and (found == depth).all() and not caplog.text
    names = sorted(path.name for path in (tmp_path / "npy").iterdir())
    assert names == ["a_depth.npy", "a_depth_color.png"]
    with pytest.raises(DataError, match="a_depth.npy"):
        check_free(files, ["a"], tmp_path / "npy", overwrite=False)


@pytest.mark.parametrize("task", [PANOPTIC, ColorizationTask((8, 8))])
def test_other_tasks_have_one_format(task):
    with pytest.raises(DataError, match="a format can be chosen for depth"):
        prediction_files(task, depth_format="npy")
    with pytest.raises(DataError, match="is png or npy, found 'tiff'"):
        prediction_files(DEPTH, depth_format="tiff")


def test_names_that_become_too_long_are_refused_before_anything_is_predicted(tmp_path):
    with pytest.raises(
        DataError, match=r"would need a bad name: .* 255 bytes of a file.s name; rename"
    ):
        check_free(PanopticFiles(PANOPTIC), ["a" * 250], tmp_path, False)
    check_free(PanopticFiles(PANOPTIC), ["a" * 240], tmp_path, False)
