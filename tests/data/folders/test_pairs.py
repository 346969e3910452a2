"""Which image and depth map belong together, by the names that data sets give them."""

import pytest

from uvim_fsq.data.folders.pairs import find_pairs
from uvim_fsq.data.listing import say_once


@pytest.fixture(autouse=True)
def nothing_said():
    say_once.cache_clear()


def pair(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    pairs = find_pairs(root)
    return pairs, {
        name: tuple(file.relative_to(root).as_posix() for file in files)
        for name, files in pairs.files.items()
    }


@pytest.mark.parametrize(
    ("image", "depth", "name"),
    [
        ("rgb/0001.jpg", "depth/0001.png", "0001"),
        ("RGB/a.b.1.JPG", "Depth/a.b.1.PNG", "a.b.1"),
        ("rgb/s/0001.jpg", "depth/s/0001.npy", "s/0001"),
        ("images/0001.jpg", "depths/0001.png", "0001"),
        ("color/0.jpg", "depth_maps/0.tif", "0"),
        ("rgb/img_1.png", "depth/img_1.png", "img_1"),
        # ScanNet, SceneNet RGB-D, SUN RGB-D, virtual KITTI
        ("scene0/color/0.jpg", "scene0/depth/0.png", "scene0/0"),
        ("0/photo/25.jpg", "0/depth/25.png", "0/25"),
        ("kv1/N1/image/N1.jpg", "kv1/N1/depth/N1.png", "kv1/N1/N1"),
        ("S1/rgb/C0/rgb_01.jpg", "S1/depth/C0/depth_01.png", "s_1/c_0/01"),
        # NYU as BTS has it, 7-Scenes, DIODE, KITTI's selection
        ("bath_2/rgb_00.jpg", "bath_2/sync_depth_00.png", "bath_2/00"),
        ("seq-01/frame-0.color.png", "seq-01/frame-0.depth.png", "seq_01/0"),
        ("s/19_in.png", "s/19_in_depth.npy", "s/19_in"),
        (
            "image/d_0002_sync_image_05_image_02.png",
            "groundtruth_depth/d_0002_sync_groundtruth_depth_05_image_02.png",
            "d_0002_05_02",
        ),
        ("rgb/00000_rgb.jpg", "depth/00000_depth.png", "00000"),
        ("rgb/IMG_1.JPG", "depth/img_1.png", "1"),
        ("a_rgb.png", "a_depth.png", "a"),
        ("a.jpg", "a.npy", "a"),
        ("a.jpg", "depth/a.png", "a"),
        ("kitchen/rgb.png", "kitchen/depth.png", "kitchen"),
    ],
)
def test_names_of_data_sets(tmp_path, image, depth, name):
    pairs, found = pair(tmp_path, image, depth)
    assert pairs.problems == []
    assert found == {name: (image, depth)}


def test_what_goes_with_depth_and_is_none_is_passed_by(tmp_path, caplog):
    names = ["a.png", "a_depth.npy", "a_depth_mask.npy", "a_depth_color.png", "a.txt"]
    pairs, found = pair(tmp_path, *names)
    assert found == {"a": ("a.png", "a_depth.npy")} and pairs.problems == []
    assert "1 named with mask" in caplog.text and "1 named with color" in caplog.text


def test_other_images_are_passed_by_where_some_are_named_so(tmp_path, caplog):
    names = ["0/photo/25.jpg", "0/depth/25.png", "0/instance/25.png"]
    pairs, found = pair(tmp_path, *names)
    assert list(found) == ["0/25"] and pairs.problems == []
    assert "1 images without rgb, color or image in their path" in caplog.text


def test_rgb_and_depth_hold_all_there_is(tmp_path, caplog):
    names = ["rgb/depth_1.png", "depth/depth_1.png", "depth/x_vis.png", "raw/2.png"]
    pairs, found = pair(tmp_path, *names)
    assert found == {"depth_1": ("rgb/depth_1.png", "depth/depth_1.png")}
    assert pairs.problems == [f"{tmp_path / 'depth/x_vis.png'}: no image has its name"]
    assert not caplog.text


def test_whole_names_come_before_words(tmp_path):
    """Frames that match as they are keep their names, and with them their side of the split."""
    names = ["rgb/img_1.png", "rgb/2_rgb.png", "depth/img_1.png", "depth/2_depth.png"]
    _, found = pair(tmp_path, *names)
    assert found == {
        "img_1": ("rgb/img_1.png", "depth/img_1.png"),
        "2": ("rgb/2_rgb.png", "depth/2_depth.png"),
    }


def test_what_has_no_partner_or_several_is_named(tmp_path):
    names = ["rgb/1.png", "rgb/2.png", "rgb/2.jpg", "depth/2.png", "depth/3.png"]
    pairs, found = pair(tmp_path, *names)
    assert list(found) == ["2"]
    assert sorted(pairs.problems) == sorted(
        [
            f"{tmp_path / 'rgb/2.png'}: another file, 2.jpg, has its name; keep one",
            f"{tmp_path / 'rgb/1.png'}: no depth map has its name",
            f"{tmp_path / 'depth/3.png'}: no image has its name",
        ]
    )
