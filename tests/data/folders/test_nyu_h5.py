"""NYU's HDF5 frames: layouts, missing depth, everything wrong named at once."""

import sys

import cv2
import numpy as np
import pytest

from uvim_fsq.data.base import Source
from uvim_fsq.data.folders.nyu_h5 import NyuH5Folder, open_depth_folder, read_frame
from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.data.loader import evaluation_batches
from uvim_fsq.errors import BrokenFileError, DataError

h5py = pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))


def add(path, metres=2.5, size=(6, 8), **datasets):
    """One frame; the red of its picture is the depth in decimetres. `None` leaves a dataset out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.zeros((3, *size), np.uint8)
    rgb[0] = round(metres * 10)
    rgb[2] = np.arange(size[1])
    content = {"rgb": rgb, "depth": np.full(size, metres, np.float32), **datasets}
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            if values is not None:
                file.create_dataset(name, data=values, compression="gzip")


@pytest.fixture
def archive(tmp_path):
    root = tmp_path / "data" / "nyudepthv2"
    for scene in range(2):
        for frame in range(3):
            add(root / "train" / f"room_{scene}" / f"{frame:05d}.h5", 1 + scene)
    add(root / "val" / "official" / "00001.h5", 3, size=(4, 10))
    return root


def ids(folder):
    return [folder.example_id(i) for i in range(len(folder))]


def test_examples_have_picture_depth_and_id(archive):
    folder = NyuH5Folder(archive, "train")
    assert isinstance(folder, Source) and folder.categories == ()
    assert ids(folder)[:4] == [
        *(f"train/room_0/0000{i}" for i in range(3)),
        "train/room_1/00000",
    ]
    example = folder[3]
    assert example["id"] == "train/room_1/00000"
    assert example["image"].dtype == np.uint8 and example["depth"].dtype == np.float32
    assert example["image"].shape == (6, 8, 3) and example["depth"].shape == (6, 8)
    assert example["image"][4, 5].tolist() == [20, 0, 5] and example["depth"][4, 5] == 2
    reference = NyuH5Folder(archive, "validation").reference(0)
    assert reference["size"] == (4, 10) and reference["id"] == "val/official/00001"


def test_path_one_level_higher_or_lower(archive):
    train, everything = NyuH5Folder(archive, "train"), NyuH5Folder(archive, "all")
    assert len(train) == 6 and len(everything) == 7
    assert ids(NyuH5Folder(archive.parent, "train")) == ids(train)
    assert ids(NyuH5Folder(archive.parent, "all")) == ids(everything)
    below = NyuH5Folder(archive / "val", "all")
    assert ids(below) == ["official/00001"]
    assert ids(NyuH5Folder(archive / "val" / "official", "all")) == ["00001"]


def test_scenes_stay_together_where_the_split_is_by_hash(tmp_path):
    root = tmp_path / "frames"
    for scene in "abcdefgh":
        for frame in range(3):
            add(root / scene / f"{frame}.h5")
    held_out = ids(NyuH5Folder(root, "validation", validation_fraction=0.25))
    # Those whose `printf a | sha256sum` begins below 0x40, a quarter of 0x100.
    assert held_out == [f"{scene}/{i}" for scene in "bcdef" for i in range(3)]
    train = ids(NyuH5Folder(root, "train", validation_fraction=0.25))
    assert sorted(train + held_out) == ids(NyuH5Folder(root, "all"))


def test_frames_of_one_scene_are_divided(archive):
    scene = archive / "train" / "room_0"
    both = [ids(NyuH5Folder(scene, split)) for split in ("train", "validation")]
    assert sorted(sum(both, [])) == ["00000", "00001", "00002"] and all(both)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_not_a_distance_is_missing(tmp_path, dtype):
    depth = np.full((6, 8), 1.5, dtype)
    depth[0, :5] = [0, np.nan, np.inf, -np.inf, -1]
    add(tmp_path / "a.h5", depth=depth)
    _, read = read_frame(tmp_path / "a.h5")
    assert read.dtype == np.float32
    assert (read[0, :5] == 0).all() and (read.ravel()[5:] == 1.5).all()


def spoil(root):
    """Break seven frames, each in another way."""
    data = (root / "train" / "room_0" / "00000.h5").read_bytes()
    room = root / "train" / "room_2"
    room.mkdir()
    (room / "0.h5").write_bytes(data[:-100])
    (room / "1.h5").write_text("no frame")
    damaged = bytearray(data)
    where = data.index(b"\x78\x5e")  # the start of a compressed chunk
    damaged[where : where + 8] = bytes(8)
    (room / "2.h5").write_bytes(damaged)
    add(room / "3.h5", depth=None)
    add(room / "4.h5", rgb=np.zeros((6, 8, 3), np.uint8))
    add(room / "5.h5", rgb=np.zeros((3, 6, 8), np.uint16))
    add(room / "6.h5", depth=np.ones((6, 8), np.uint16))
    add(room / "7.h5", depth=np.ones((8, 6), np.float32))
    add(room / "8.h5", rgb=np.zeros((3, 0, 8), np.uint8))
    return {
        "0": "it is not HDF5, or it is damaged",
        "1": "it is not HDF5, or it is damaged",
        "2": "it is not HDF5, or it is damaged",
        "3": "expected the datasets rgb and depth, found rgb",
        "4": "rgb: expected uint8 of shape (3, h, w), found uint8 of shape (6, 8, 3)",
        "5": "rgb: expected uint8 of shape (3, h, w), found uint16 of shape (3, 6, 8)",
        "6": "depth: expected floats in metres of shape (6, 8), found uint16 of",
        "7": "depth: expected floats in metres of shape (6, 8), found float32 of shape (8",
        "8": "rgb: expected uint8 of shape (3, h, w), found uint8 of shape (3, 0, 8)",
    }


def test_everything_wrong_is_named_at_once(archive):
    reasons = spoil(archive)
    with pytest.raises(DataError) as caught:
        NyuH5Folder(archive)
    message = str(caught.value)
    assert "9 of 15 examples" in message and "--skip-broken" in message
    for name, reason in reasons.items():
        (line,) = [li for li in message.splitlines() if f"room_2/{name}.h5" in li]
        assert reason in line


def test_skip_broken_leaves_them_out_and_says_so(archive, caplog):
    spoil(archive)
    folder = NyuH5Folder(archive, "all", skip_broken=True)
    assert len(folder) == 7 and len(folder.skipped) == 9
    assert "left out 9 of 16 examples" in caplog.text


def test_dataset_that_is_a_group(tmp_path):
    add(tmp_path / "a.h5", depth=None)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.create_group("depth")
    with pytest.raises(BrokenFileError, match="expected the datasets rgb and depth"):
        read_frame(tmp_path / "a.h5")


def test_paths_that_are_no_dataset(tmp_path):
    with pytest.raises(DataError, match="does not exist; expected a folder with nyu"):
        NyuH5Folder(tmp_path / "none")
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"found no \.h5 file among train"):
        NyuH5Folder(tmp_path)


def test_without_h5py_one_sentence_says_what_to_install(archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match="^reading .* pip install h5py$"):
        NyuH5Folder(archive)


def test_the_layout_is_known_by_what_lies_in_the_folder(archive, tmp_path):
    for path in (archive, archive.parent, archive / "train", archive / "val/official"):
        assert isinstance(open_depth_folder(path, "all"), NyuH5Folder)
    frames = tmp_path / "frames"
    for name in ("rgb", "depth"):
        (frames / "train" / name).mkdir(parents=True)
        for i in range(2):
            values = np.full((6, 8), 500, np.uint16)
            cv2.imwrite(str(frames / "train" / name / f"{i}.png"), values)
    add(frames / "train" / "raw" / "0.h5")
    source = open_depth_folder(frames, "all", units_per_metre=250.0)
    assert isinstance(source, RgbdFolder) and source[0]["depth"].max() == 2
    assert isinstance(open_depth_folder(frames / "train", "all"), RgbdFolder)
    with pytest.raises(DataError, match="does not exist; .* rgb/ and depth/.*, or nyu"):
        open_depth_folder(tmp_path / "none", "all")
    (tmp_path / "other" / "photos").mkdir(parents=True)
    with pytest.raises(DataError, match="expected rgb/.*found photos"):
        open_depth_folder(tmp_path / "other", "all")


def test_threads_read_side_by_side(archive):
    folder = NyuH5Folder(archive, "train")
    batches = evaluation_batches(
        folder, lambda example, _: {"depth": example["depth"]}, batch_size=2, threads=4
    )
    means = [float(depth.mean()) for batch in batches for depth in batch["depth"]]
    assert means == [1, 1, 1, 2, 2, 2]


def test_real_frames(real_data):
    folder = open_depth_folder(real_data("nyu_h5"), "train")
    assert isinstance(folder, NyuH5Folder) and len(folder) == 3
    reference = folder.reference(0)
    assert reference["size"] == (480, 640) and reference["image"].shape == (480, 640, 3)
    depth = reference["depth"]
    assert 0.25 < (depth == 0).mean() < 0.33 and abs(depth.max() - 6.625) < 1e-6
    assert (NyuH5Folder(real_data("nyu_h5"), "validation")[0]["depth"] > 0).all()
