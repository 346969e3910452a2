"""Pictures of panoptic maps: what is tinted how, where names stand, and what the legend lists."""

import cv2
import numpy as np
import pytest

from uvim_fsq.tasks.panoptic.overlay import overlay, picture_with_legend
from uvim_fsq.tasks.panoptic.task import PanopticTask
from uvim_fsq.types import Category

PERSON = Category(7, "person", True, (220, 20, 60))
GRASS = Category(200, "grass", False, (60, 180, 60))
CATEGORIES = (PERSON, GRASS)


def labels(ids, category_ids, crowd=()):
    return {
        "panoptic": np.asarray(ids, np.int32),
        "segments": [
            {"id": i, "category_id": category, "iscrowd": int(i in crowd)}
            for i, category in category_ids.items()
        ],
    }


def grey(height, width, level=128):
    return np.full((height, width, 3), level, np.uint8)


def quarters(side=64):
    """Two persons above, grass and void below."""
    half = side // 2
    ids = np.array([[1, 2], [5, 0]]).repeat(half, 0).repeat(half, 1)
    return labels(ids, {1: 7, 2: 7, 5: 200})


def centres(picture):
    """Colours inside the four quarters, away from their borders."""
    h, w = picture.shape[0] // 4, picture.shape[1] // 4
    parts = [
        picture[y - 2 : y + 3, x - 2 : x + 3] for y in (h, 3 * h) for x in (w, 3 * w)
    ]
    return [part.reshape(-1, 3).astype(float).mean(0) for part in parts]


def test_classes_have_their_colours_and_objects_their_shades():
    picture = overlay(grey(512, 512), quarters(512), CATEGORIES)
    assert picture.dtype == np.uint8 and picture.shape == (512, 512, 3)
    first, second, grass, _ = centres(picture)
    for found, colour in ((first, PERSON.color), (grass, GRASS.color)):
        np.testing.assert_allclose(found, 0.45 * 128 + 0.55 * np.array(colour), atol=1)
    assert 20 < np.abs(first - second).max() < np.abs(first - grass).max()
    assert second[0] > second[1:].max(), "still red"


def test_pieces_of_stuff_have_one_colour():
    ids = labels(np.array([[1, 2]]).repeat(300, 0).repeat(150, 1), {1: 200, 2: 200})
    picture = overlay(grey(300, 300), ids, CATEGORIES)
    np.testing.assert_array_equal(picture[150, 20], picture[150, 280])


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (250, 10, 10)]
)
def test_neighbouring_objects_differ_whatever_the_colour_of_their_class(colour):
    ids = labels(
        np.arange(1, 8).repeat(50)[None].repeat(300, 0), dict.fromkeys(range(1, 8), 1)
    )
    picture = overlay(grey(300, 350), ids, [Category(1, "a", True, colour)])
    shown = picture[150, 25::50].astype(int)
    assert np.abs(np.diff(shown, axis=0)).max(1).min() > 12


def test_void_and_unlabelled_ids_are_dark_and_hatched():
    ids = quarters(320)
    ids["segments"] = ids["segments"][1:]
    picture = overlay(grey(320, 320, 200), ids, CATEGORIES)
    for part in (picture[5:150, 5:150], picture[170:315, 170:315]):
        levels, counts = np.unique(part, return_counts=True)
        assert len(levels) == 2 and levels[0] < 70 and levels[1] > levels[0] + 40
        assert counts[0] > 3 * counts[1]
    assert picture[5:150, 170:315].min() == picture[5:150, 170:315, 1].max()


@pytest.mark.parametrize("side, thickness", [(64, 1), (512, 1), (2100, 3)])
@pytest.mark.parametrize("upright", [False, True])
def test_borders_are_light_and_lie_between_segments(side, thickness, upright):
    ids = labels(
        np.array([[1, 5]]).repeat(side, 0).repeat(side // 2, 1), {1: 200, 5: 200}
    )
    if upright:
        ids["panoptic"] = ids["panoptic"].T
    picture = overlay(grey(side, side, 0), ids, CATEGORIES).astype(int).sum(-1)
    row = picture[:, side // 2] if upright else picture[side // 2]
    edge = np.flatnonzero(row > row[0])
    assert (
        len(edge) == thickness
        and side // 2 - 3 <= edge.min() <= edge.max() <= side // 2 + 1
    )
    assert row[edge[0]] > row[0] + (400 if side > 256 else 100)


def test_maps_of_another_size_are_brought_to_the_image():
    np.testing.assert_array_equal(
        overlay(grey(64, 64), quarters(32), CATEGORIES),
        overlay(grey(64, 64), quarters(64), CATEGORIES),
    )


def test_the_task_shows_predictions_references_and_targets_alike():
    task = PanopticTask(CATEGORIES, (64, 64))
    reference = {"id": "a", "image": grey(64, 64), **quarters(64)}
    target = task.preprocess(reference, np.random.default_rng(0), False)["target"]
    image = reference["image"]
    shown = [
        task.visualize(image, labels)
        for labels in (reference, target, task.restore(target, (64, 64)))
    ]
    for picture in shown[1:]:
        np.testing.assert_array_equal(picture, shown[0])
    ignored = {name: np.full((64, 64), -1) for name in target}
    assert task.visualize(image, ignored).mean() < 70


def written(ids, image, categories=CATEGORIES):
    """Where the picture differs from the overlay below its names, and its legend."""
    picture = picture_with_legend(image, ids, categories)
    height, width = image.shape[:2]
    plain = overlay(image, ids, categories)
    names = (picture[:height, :width] != plain).any(-1)
    return names, picture[height:]


def test_names_stand_inside_their_segments_if_there_is_room():
    ids = np.zeros((480, 640), np.int32)
    ids[20:200, 30:300], ids[250:262, 30:600], ids[300:400, 400:430] = 1, 2, 3
    ids[300:470, 20:320] = 4
    names, _ = written(labels(ids, {1: 7, 2: 7, 3: 7, 4: 200}), grey(480, 640))
    assert set(np.unique(ids[names])) == {1, 4}
    for i in (1, 4):
        rows, columns = np.nonzero(names & (ids == i))
        inside = np.nonzero(ids == i)
        # In the middle, as far from the borders as the shape allows.
        assert abs(rows.mean() - inside[0].mean()) < 6
        assert 20 < np.ptp(columns) < 70 and 8 < np.ptp(rows) < 24


def test_thin_segments_have_no_name_however_far_they_reach():
    ids = np.zeros((480, 640), np.int32)
    ids[10:470, 10:630], ids[24:456, 24:616] = 1, 0
    names, legend = written(labels(ids, {1: 7}), grey(480, 640))
    assert not names.any() and PERSON.color in swatches(legend)


def test_names_find_the_wide_part_of_a_segment():
    ids = np.zeros((480, 640), np.int32)
    ids[:, :8], ids[380:, :] = 1, 1
    names, _ = written(labels(ids, {1: 7}), grey(480, 640))
    rows, columns = np.nonzero(names)
    assert rows.min() > 390 and columns.min() > 20


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_names_can_be_read_on_every_ground(level, colour):
    ids = labels(np.ones((480, 640)), {1: 1})
    image = grey(480, 640, level)
    picture = picture_with_legend(image, ids, [Category(1, "person", True, colour)])
    letters = picture[:470][(picture[:470] != picture[0, 0]).any(-1)].mean(-1)
    assert letters.max() > 240 and letters.min() < 90


def test_crowds_are_named_as_such_and_not_counted():
    ids = labels(np.array([[1, 2]]).repeat(400, 0).repeat(300, 1), {1: 7, 2: 7})
    crowd = {
        **ids,
        "segments": [ids["segments"][0], {**ids["segments"][1], "iscrowd": 1}],
    }
    (plain, counted), (names, uncounted) = (
        written(x, grey(400, 600)) for x in (ids, crowd)
    )
    np.testing.assert_array_equal(plain[:, :300], names[:, :300])
    assert names[:, 300:].sum() > 1.5 * plain[:, 300:].sum()
    # "person (2)" against "person".
    assert (counted < 128).sum() > (uncounted < 128).sum() + 30


def swatches(legend):
    """The distinct colours of large uniform blocks, without the white ground."""
    colours, counts = np.unique(legend.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(c.tolist()) for c, n in zip(colours, counts, strict=True) if n > 100}


def test_the_legend_lists_what_is_there():
    categories = (*CATEGORIES, Category(9, "sky", False, (70, 130, 180)))
    ids = quarters(400)
    ids["segments"].append({"id": 77, "category_id": 9, "iscrowd": 0})
    _, legend = written(ids, grey(400, 400), categories)
    found = swatches(legend)
    assert PERSON.color in found and GRASS.color in found and (20, 20, 20) in found
    assert (70, 130, 180) not in found, "not in the picture"
    full = labels(np.ones((400, 400)), {1: 200})
    assert (20, 20, 20) not in swatches(written(full, grey(400, 400))[1])


def test_the_largest_class_comes_first_and_many_need_columns_and_rows():
    many = [
        Category(n, f"class number {n}", False, (5 * n, 200, 250 - 5 * n))
        for n in range(1, 31)
    ]
    ids = np.arange(900).reshape(30, 30) // 30 + 1
    ids[ids == 1] = 17
    ids = labels(ids.repeat(20, 0).repeat(20, 1), {n: n for n in range(2, 31)})
    _, legend = written(ids, grey(600, 600), many)
    assert swatches(legend) >= {c.color for c in many[1:]}
    place = {
        n: tuple(np.argwhere((legend == many[n - 1].color).all(-1))[0])
        for n in (2, 17, 30)
    }
    assert place[17] == min(place.values())
    assert place[30][1] > 250


@pytest.mark.parametrize(
    "size, shown",
    [((32, 32), 512), ((24, 64), 192), ((480, 640), 480), ((1200, 900), 1200)],
)
def test_small_pictures_are_enlarged_and_large_ones_are_not(size, shown):
    ids = labels(np.full(size, 1), {1: 7})
    picture = picture_with_legend(grey(*size), ids, CATEGORIES)
    scale = shown / size[0]
    assert picture.shape[1] == size[1] * scale
    white = (picture == 255).all(-1).all(1)
    assert np.argmax(white) == shown, "the legend begins below the picture"
    letters = np.abs(picture[:shown].astype(int) - picture[0, 0]).sum(-1) > 60
    expected = 13 * max(1.0, max(size) / 700)
    assert 0.8 * expected < np.ptp(np.nonzero(letters)[0]) < 1.2 * expected


@pytest.mark.parametrize("size", [(1, 1), (300, 10), (10, 300), (2, 3)])
@pytest.mark.parametrize("category_ids", [{}, {1: 7}])
def test_odd_sizes_and_empty_maps(size, category_ids):
    ids = labels(np.full(size, 1), category_ids)
    assert overlay(grey(*size), ids, CATEGORIES).shape == (*size, 3)
    picture = picture_with_legend(grey(*size), ids, CATEGORIES)
    assert picture.dtype == np.uint8 and picture.shape[0] > 50 and picture.shape[1] > 50
    colour = PERSON.color if category_ids else (20, 20, 20)
    assert (picture == colour).all(-1).sum() > 80


def test_pictures_can_be_saved(tmp_path):
    picture = picture_with_legend(grey(64, 64), quarters(64), CATEGORIES)
    assert cv2.imwrite(str(tmp_path / "a.png"), picture)
