"""The look at depth before it is used: what is said, warned of and refused, for every source."""

import cv2
import numpy as np
import pytest

from uvim_fsq.data.folders.rgbd import RgbdFolder
from uvim_fsq.errors import DataError, ScoreError
from uvim_fsq.evaluators.depth import DepthEvaluator
from uvim_fsq.settings import DepthConfig
from uvim_fsq.tasks.depth.values import look_at_depth


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))


def folder(root, depth, count=3, **options):
    """A folder of frames whose depth maps are all this array."""
    for name in ("rgb", "depth"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = np.full((*depth.shape, 3), 100, np.uint8)
        cv2.imwrite(str(root / "rgb" / f"{i:04d}.png"), image)
        if depth.dtype == np.uint16:
            cv2.imwrite(str(root / "depth" / f"{i:04d}.png"), depth)
        else:
            np.save(root / "depth" / f"{i:04d}.npy", depth)
    return RgbdFolder(root, "all", **options)


METRES = np.linspace(0.5, 4.0, 96).reshape(8, 12)


def test_median_valid_share_and_share_beyond_are_said(tmp_path, capsys):
    depth = np.rint(METRES * 1000).astype(np.uint16)
    depth[0] = 0
    depth[-1, :6] = 20_000
    DepthConfig().check_source(folder(tmp_path, depth), "train")
    (line,) = capsys.readouterr().out.splitlines()
    assert "depth of train: median 2.47 m, from 0.961 m to 20 m" in line
    assert "87.5 % of pixels are valid, 7.1 % of the valid at or beyond 10 m" in line
    assert "(3 of 3 examples)" in line


def test_sample_is_spread_and_the_same_each_time(tmp_path):
    class Frames:
        categories = ()

        def __init__(self):
            self.asked = []

        def reference(self, index):
            return self[index]

        def example_id(self, index):
            return str(index)

        def __len__(self):
            return 1000

        def __getitem__(self, index):
            self.asked.append(index)
            return {"depth": np.full((2, 2), 1.0 + index / 1000, np.float32)}

    source = Frames()
    values = look_at_depth(DepthConfig(), source)
    asked, source.asked = source.asked, []
    assert look_at_depth(DepthConfig(), source) == values and source.asked == asked
    assert len(asked) == 64 and asked[0] == 0 and asked[-1] == 999
    assert max(np.diff(asked)) <= 16 and values.median == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize(
    ("depth", "options", "said"),
    [
        (np.zeros((8, 12), np.uint16), {}, "no pixel has a valid depth"),
        (np.full((8, 12), np.nan), {}, "no pixel has a valid depth"),
        (np.full((8, 12), 65535, np.uint16), {}, "or 65535 and beyond task.max_depth"),
        (METRES * 1000, {}, "100.0 % of valid.*the median is 2,250 m.*units-per-metre"),
        ((METRES * 5000).astype(np.uint16), {}, "at or beyond.*raise --task.max-depth"),
        (METRES, {"units_per_metre": 1000.0}, "in the first of 256 bins, which is not"),
    ],
)
def test_depth_that_cannot_be_is_refused_with_what_to_set(
    tmp_path, depth, options, said
):
    with pytest.raises(DataError, match=f"3 of 3 examples looked at: .*{said}"):
        DepthConfig().check_source(folder(tmp_path, depth, **options), "train")


@pytest.mark.parametrize(
    ("depth", "task", "said"),
    [
        (1 / METRES, DepthConfig(), "no disparity, inverse or relative depth"),
        (METRES / 40, DepthConfig(max_depth=0.2), "is a median of 0.0563 m right"),
        (METRES * 80, DepthConfig(max_depth=500.0), "is a median of 180 m right"),
        (np.where(np.arange(96).reshape(8, 12) < 95, 0, 5.0), DepthConfig(), None),
    ],
)
def test_depth_that_is_odd_and_may_be_right_is_warned_of(
    tmp_path, capsys, depth, task, said
):
    if said is None:
        depth = np.kron(depth, np.ones((8, 8))) * (np.indices((64, 96)).sum(0) % 2)
        said = "only 0.5 % of pixels have depth"
    task.check_source(folder(tmp_path, depth), "train")
    assert said in capsys.readouterr().out


def test_largest_number_of_sixteen_bits_is_missing_where_it_is_beyond(tmp_path, capsys):
    depth = np.rint(METRES * 1000).astype(np.uint16)
    depth[:4] = 65535
    source = folder(tmp_path, depth)
    DepthConfig().check_source(source, "train")
    said = capsys.readouterr().out
    assert "50.0 % of pixels are valid, 50.0 % hold 65535, 0.0 % of the valid" in said
    assert "WARNING: 50.0 % of pixels hold the largest number" in said
    sizes = {"image_size": (8, 12), "crop_area": (1.0, 1.0), "flip": False}
    generator = np.random.default_rng(0)
    for train in (True, False):
        task = DepthConfig(**sizes).build()
        target = task.preprocess(source[0], generator, train)["target"]
        assert target[:4].max() == 0 and target[4:].min() > 2
    assert task.reference(source.reference(0))["depth"][:4].max() == 0
    far = DepthConfig(**sizes, max_depth=80.0).build()
    target = far.preprocess(source[0], generator, train=False)["target"]
    np.testing.assert_allclose(target[:4], 65.535)


def test_scores_of_nothing_are_one_sentence():
    reference = {"depth": np.zeros((2, 2))}
    evaluator = DepthEvaluator()
    stats = [evaluator.update({"prediction": np.ones((2, 2)), "reference": reference})]
    with pytest.raises(ScoreError, match="none of the 1 pictures has a pixel"):
        evaluator.aggregate(stats)
