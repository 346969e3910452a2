"""A list names pictures by id or path: no other of the same name is taken for one."""

import cv2
import numpy as np
import pytest

from uvim_fsq.data.folders.pictures import PictureFolder
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.listed import listed_indices


@pytest.fixture
def pictures(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for name in ("kitchen/0001.jpg", "bath/0001.jpg", "bath/0002.jpg", "bath/v1.2.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return PictureFolder(tmp_path / "pictures", "all", cache_dir=tmp_path / "cache")


def listed(source, tmp_path, *names):
    (tmp_path / "list.txt").write_text("\n".join(names))
    indices = listed_indices(source, str(tmp_path / "list.txt"))
    return [source.example_id(index) for index in indices]


def test_names_are_ids_paths_and_what_is_clear(pictures, tmp_path):
    whole = str(tmp_path / "pictures" / "kitchen" / "0001.jpg")
    names = (whole, "./bath/0001.jpg", "0002.JPEG", "bath/v1.2")
    assert listed(pictures, tmp_path, *names) == [
        *("kitchen/0001", "bath/0001", "bath/0002", "bath/v1.2")
    ]


@pytest.mark.parametrize(
    "names, message",
    [
        (["0001.jpg"], r"0001.jpg may be bath/0001 and kitchen/0001"),
        (["hall/0001.jpg"], "hall/0001.jpg is not there"),
        (["hall/0002.jpg"], "hall/0002.jpg is not there"),
        (["001.jpg", "bath"], "2 of 2 names .*001.jpg is not there; bath is not there"),
        (["0002.jpg", "bath/0002"], "bath/0002 is 0002.jpg again"),
    ],
)
def test_doubt_is_refused_in_one_sentence(pictures, tmp_path, names, message):
    with pytest.raises(DataError, match=message) as error:
        listed(pictures, tmp_path, *names)
    assert "\n" not in str(error.value)


def test_frames_by_their_path_below_the_folder(tmp_path):
    for part in ("train", "validation"):
        for name, kind in (("rgb", np.uint8), ("depth", np.uint16)):
            (tmp_path / "frames" / part / name).mkdir(parents=True)
            for i in range(2):
                shape = (8, 8, 3) if name == "rgb" else (8, 8)
                path = tmp_path / "frames" / part / name / f"{i}.png"
                cv2.imwrite(str(path), np.full(shape, 900 % 256 + i, kind))
    source = RgbdFolder(tmp_path / "frames", "all", cache_dir=tmp_path / "cache")
    names = ("validation/rgb/1.png", "train/0")
    assert listed(source, tmp_path, *names) == ["validation/1", "train/0"]
    with pytest.raises(DataError, match="1.png may be train/1 and validation/1"):
        listed(source, tmp_path, "1.png")


def test_sources_without_files_go_by_their_ids(tmp_path):
    source = Scenes((16, 16), 4, split="test")
    names = [source.example_id(i) for i in (2, 0)]
    assert listed(source, tmp_path, *names) == names
