"""score-panoptic: scores of files, tables, the cross-check, and what is refused."""

import argparse
import json
import sys
import types

import numpy as np
import pytest

from uvim_fsq.cli import score_panoptic
from uvim_fsq.cli.failure import explained
from uvim_fsq.data.coco.format import CocoImage, describe, write_index
from uvim_fsq.data.coco.png import write_ids
from uvim_fsq.errors import DataError
from uvim_fsq.evaluation.panoptic_files import score_files
from uvim_fsq.types import Category

CATEGORIES = (
    Category(1, "person", True, (220, 20, 60)),
    Category(2, "bicycle", True, (1, 1, 1)),
    Category(184, "tree", False, (0, 130, 0)),
)


def write_set(folder, maps, category=1):
    """`folder/panoptic.json` and its PNGs: id 1 is a person (or `category`), id 2 a tree."""
    images, annotations = {}, {}
    for number, ids in maps.items():
        name = f"{number:012d}"
        segments = [
            {"id": each, "category_id": {1: category, 2: 184}[each]}
            for each in np.unique(ids).tolist()
            if each
        ]
        write_ids(folder / "panoptic" / f"{name}.png", ids)
        images[number] = CocoImage(f"{name}.jpg", *ids.shape)
        annotations[number] = (f"{name}.png", describe(ids, segments))
    write_index(folder / "panoptic.json", CATEGORIES, images, annotations)
    return folder / "panoptic.json"


def halves(right, h=4, w=8):
    """A person from the left up to a column, a tree from there on."""
    ids = np.full((h, w), 2, np.int32)
    ids[:, :right] = 1
    return ids


@pytest.fixture
def files(tmp_path):
    """Ground truth and predictions of two pictures: one right, one two columns off."""
    truth = write_set(tmp_path / "truth", {11: halves(4), 12: halves(4)})
    predictions = write_set(tmp_path / "mine", {11: halves(4), 12: halves(6)})
    return truth, predictions


def run(*words):
    """Exit code of the command."""
    parser = argparse.ArgumentParser()
    score_panoptic.add(parser.add_subparsers(dest="command"))
    options, rest = parser.parse_known_args(["score-panoptic", *map(str, words)])
    assert options.command == "score_panoptic"
    return explained(lambda: score_panoptic.run(options, rest))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_scores_by_hand(files):
    """Person: IoU 1 and 4 / 6. Tree: 1 and 2 / 4, which is no match."""
    seen = []
    found = score_files(*files, threads=2, report=lambda *done: seen.append(done))
    assert found.scores["pq_class/person"] == pytest.approx(100 * (1 + 4 / 6) / 2)
    assert found.scores["pq_class/tree"] == pytest.approx(100 * 1 / 2)
    assert found.scores["pq_stuff"] == found.scores["pq_class/tree"]
    assert (found.scores["classes"], found.scores["images"]) == (2, 2)
    assert [row["id"] for row in found.per_image] == [11, 12]
    assert found.per_image[0]["pq"] == pytest.approx(100)
    assert found.per_image[1]["pq"] == pytest.approx(100 * 4 / 6 / 2)
    assert found.counts.tp.tolist() == [2, 0, 1]
    assert seen == [(1, 2), (2, 2)]


def test_golden_scores_do_not_depend_on_threads(golden_path):
    folder = golden_path("eval/pq_sample")
    result = json.loads((folder / "results.json").read_text())
    expected = result["gt_void_crowd|pred_mixed"]
    names = folder / "gt_void_crowd.json", folder / "pred_mixed.json"
    one, three = (score_files(*names, threads=n) for n in (1, 3))
    assert one.scores == three.scores
    for group, title in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        for kind in ("pq", "sq", "rq"):
            found = one.scores[f"{kind}{group}"] / 100
            assert found == pytest.approx(expected[title][kind], rel=0, abs=1e-9)


def test_tables_and_output(files, tmp_path, capsys):
    output = tmp_path / "new" / "scores.json"
    assert run(*files, "--output", output, "--workers", "2") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["All", "66.67", "91.67", "75.00", "2"] in lines
    assert ["Things", "83.33", "83.33", "100.00", "1"] in lines
    assert ["Stuff", "50.00", "100.00", "50.00", "1"] in lines
    assert ["tree", "stuff", "50.00", "100.00", "50.00", "1", "1", "1"] in lines
    assert not [line for line in lines if line[:1] == ["bicycle"]]
    saved = json.loads(output.read_text())
    assert saved["scores"]["pq"] == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)
    assert saved["per_image"][0] == {
        **{"id": 11, "file_name": "000000000011.jpg"},
        **{"pq": 100.0, "sq": 100.0, "rq": 100.0},
    }
    assert run(*files, "--output", output) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(*files, "--output", output, "--overwrite") == 0
    assert [path.name for path in output.parent.iterdir()] == ["scores.json"]


def test_folders_and_predictions_that_are_only_annotations(files, tmp_path):
    truth, predictions = files

    def strip(content):
        del content["images"], content["categories"]
        for entry in content["annotations"]:
            for segment in entry["segments_info"]:
                del segment["area"], segment["bbox"], segment["iscrowd"]

    edit(predictions, strip)
    expected = score_files(*files).scores
    (tmp_path / "mine" / "panoptic").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="mine/panoptic lacks 2 of the ground truth's"):
        score_files(*files)
    found = score_files(*files, prediction_folder=tmp_path / "elsewhere")
    assert found.scores == expected
    (tmp_path / "truth" / "panoptic").rename(tmp_path / "truth pngs")
    folders = "--gt-folder", tmp_path / "truth pngs", "--pred-folder"
    assert run(*files, *folders, tmp_path / "elsewhere") == 0


def fake_pq_compute(shift):
    """What COCO's program would return, from our own scores, one of them shifted."""

    def pq_compute(*files):
        found = score_files(*files)
        result = {
            title: {
                **{k: found.scores[f"{k}{group}"] / 100 for k in ("pq", "sq", "rq")},
                "n": found.scores[f"classes{group}"],
            }
            for title, group in (
                ("All", ""),
                ("Things", "_things"),
                ("Stuff", "_stuff"),
            )
        }
        result["per_class"] = {
            each.id: {
                kind: found.scores.get(f"{kind}_class/{each.name}", 0) / 100
                for kind in ("pq", "sq", "rq")
            }
            for each in found.categories
        }
        result["per_class"][184]["rq"] += shift
        return result

    return pq_compute


def test_cross_check(files, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "panopticapi", None)
    assert run(*files, "--cross-check") == 2
    captured = capsys.readouterr()
    assert "--cross-check panopticapi after git clone" in captured.err
    assert not captured.out

    def install(pq_compute):
        module = types.ModuleType("panopticapi.evaluation")
        module.pq_compute = pq_compute
        monkeypatch.setitem(sys.modules, "panopticapi", types.ModuleType("panopticapi"))
        monkeypatch.setitem(sys.modules, "panopticapi.evaluation", module)

    install(fake_pq_compute(0.0))
    assert run(*files, "--cross-check") == 0
    assert "cross-check of 21 values with panopticapi" in capsys.readouterr().out
    install(fake_pq_compute(1e-7))
    assert run(*files, "--cross-check") == 1
    captured = capsys.readouterr()
    assert "largest difference 1e-05 (rq_class/tree)" in captured.out
    assert "rq_class/tree is 50.0 here and 50.00000999" in captured.err

    def empty_group(*_):
        raise ZeroDivisionError

    install(empty_group)
    assert run(*files, "--cross-check") == 1
    assert "in which no things, or no stuff, occur" in capsys.readouterr().err

    def stumble(*_):
        print("100 images processed", file=sys.stderr)
        raise KeyError("area")

    install(stumble)
    assert run(*files, "--cross-check") == 1
    captured = capsys.readouterr()
    assert "(KeyError: 'area'): it needs plain RGB PNGs" in captured.err
    assert captured.err.count("\n") == 1


def test_cross_check_with_a_checkout(files, tmp_path, capsys, monkeypatch):
    """Nothing is installed: the folder of the repository, or the package in it, is named."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("panopticapi", "panopticapi.evaluation"):
        monkeypatch.setitem(sys.modules, name, None)  # so that it is put back
    checkout = tmp_path / "api"
    package = checkout / "panopticapi"
    package.mkdir(parents=True)
    assert run(*files, "--cross-check", checkout) == 2
    captured = capsys.readouterr()
    assert "expected panopticapi/evaluation.py in it" in captured.err
    assert captured.err.count("\n") == 1
    (package / "__init__.py").touch()
    (package / "evaluation.py").write_text("import a_module_that_lacks\n")
    assert run(*files, "--cross-check", checkout) == 2
    assert "No module named 'a_module_that_lacks'" in capsys.readouterr().err
    (package / "evaluation.py").write_text("pq = 3\n")
    assert run(*files, "--cross-check", checkout) == 2
    assert "not the program that is known here" in capsys.readouterr().err
    (package / "evaluation.py").write_text(
        "from uvim_fsq.evaluation.panoptic_files import score_files\n"
        "def pq_compute(*files):\n"
        "    print('Evaluation panoptic segmentation metrics:')\n"
        "    scores = score_files(*files).scores\n"
        "    def group(ending):\n"
        "        kinds = {k: scores[k + ending] / 100 for k in ('pq', 'sq', 'rq')}\n"
        "        return {**kinds, 'n': scores['classes' + ending]}\n"
        "    ids = {1: 'person', 2: 'bicycle', 184: 'tree'}\n"
        "    per_class = {\n"
        "        i: {k: scores.get(f'{k}_class/{n}', 0) / 100 for k in ('pq', 'sq', 'rq')}\n"
        "        for i, n in ids.items()\n"
        "    }\n"
        "    groups = {'All': '', 'Things': '_things', 'Stuff': '_stuff'}\n"
        "    found = {title: group(ending) for title, ending in groups.items()}\n"
        "    return {**found, 'per_class': per_class}\n"
    )
    for folder in (checkout, package):
        assert run(*files, "--cross-check", folder) == 0
        captured = capsys.readouterr()
        assert "cross-check of 21 values with panopticapi" in captured.out
        assert "Evaluation panoptic" not in captured.out + captured.err


def test_names_of_classes_are_no_markup(files, capsys):
    truth, predictions = files
    name = "tree [bold]oak[/bold] [glass]"
    edit(truth, lambda content: content["categories"][2].update(name=name))
    assert run(truth, predictions) == 0
    assert f"{name}  stuff" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "--workers must be at least 1, found 0"),
        (["--wokers", "3"], "there is no option --wokers"),
        (["--gt-folder", "nowhere"], "nowhere lacks 2 of the ground truth's"),
    ],
)
def test_wrong_options(files, capsys, words, message):
    assert run(*files, *words) == 2
    assert message in capsys.readouterr().err


def test_what_is_wrong_in_the_files_is_one_sentence(files, tmp_path, capsys):
    truth, predictions = files
    first = tmp_path / "mine" / "panoptic" / "000000000011.png"
    second = first.with_name("000000000012.png")

    def refused(message, prediction=predictions, reference=truth):
        assert run(reference, prediction) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1
        assert not captured.out

    refused("no such file", prediction=tmp_path / "nothing.json")
    write_ids(second, halves(4, w=9))
    refused("must have the same size, found (4, 9) and (4, 8)")
    write_ids(second, halves(4) + 1)
    refused("000000000012.png: the map of the prediction has segment 3, which its")
    write_ids(second, halves(8))
    refused("segment 2 of the prediction has no pixels")
    first.unlink()
    refused(
        "mine/panoptic lacks 1 of the ground truth's annotated pictures: 000000000011"
    )
    edit(predictions, lambda content: content["annotations"].pop())
    refused("panoptic.json lacks 1 of the ground truth's annotated pictures: 12;")
    edit(
        predictions,
        lambda content: content["annotations"].append(content["annotations"][0]),
    )
    refused("the annotation of image 11 is listed twice")
    edit(truth, lambda content: content["images"][0].update(height=5))
    write_set(tmp_path / "mine", {11: halves(4), 12: halves(6)})
    refused("its size, 4 x 8, is not that of its picture, 5 x 8")
    edit(truth, lambda content: content["categories"][0].update(name="tree"))
    refused("categories 1 and 184 are both called 'tree': give each a name of its own")
    edit(truth, lambda content: content["categories"][0].update(name="person"))
    edit(truth, lambda content: content["annotations"].clear())
    refused("has no annotations: there is nothing to score")
    other = write_set(tmp_path / "other", {11: halves(4)}, category=2)
    edit(other, lambda content: content["categories"].pop(1))
    refused("of category 2, which is not among", reference=other)


def test_areas_in_the_truth_are_those_of_its_pngs(files, capsys):
    """With an area four times as large a perfect prediction would score 0."""
    truth, _ = files
    expected = score_files(truth, truth).scores
    assert expected["pq"] == 100

    def scale(content):
        for entry in content["annotations"]:
            entry["segments_info"][0]["area"] *= 4

    def remove(content):
        for entry in content["annotations"]:
            for segment in entry["segments_info"]:
                del segment["area"]

    edit(truth, scale)
    assert run(truth, truth) == 2
    message = (
        "000000000011.png: its segment 1 has 16 pixels, and the JSON says `area` 64"
    )
    captured = capsys.readouterr()
    assert message in captured.err and not captured.out
    edit(truth, remove)
    assert score_files(truth, truth).scores == expected
    edit(truth, lambda content: content.pop("images"))
    found = score_files(truth, truth)
    assert found.scores == expected
    assert found.per_image[0]["file_name"] == "000000000011.png"


def test_wrong_entries_and_contradictions(files, capsys, caplog):
    truth, predictions = files

    def contradict(content):
        segments = content["annotations"][1]["segments_info"]
        segments.append({**segments[0], "category_id": 2})

    edit(predictions, contradict)
    found = score_files(truth, predictions)
    assert found.scores["pq_class/bicycle"] == 0
    assert "1 segments are listed twice and contradict themselves" in caplog.text
    edit(
        predictions,
        lambda content: content["annotations"][1].update(file_name="../a.png"),
    )
    assert run(truth, predictions) == 2
    captured = capsys.readouterr()
    assert "annotation of image 12 must be a path below the folder" in captured.err
    assert captured.err.count("\n") == 1
    edit(truth, lambda content: content["annotations"].pop(1))
    assert score_files(truth, predictions).scores["pq"] == 100


def test_a_set_without_any_segment(tmp_path, capsys):
    nothing = write_set(tmp_path, {1: np.zeros((2, 2), np.int32)})
    assert run(nothing, nothing) == 2
    assert "none of the 1 pictures has a segment" in capsys.readouterr().err
