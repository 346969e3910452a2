"""Preparing with TFDS's real builders from small archives, and what can go wrong."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uvim_fsq.data.tfds.prepare import FACTS, prepare
from uvim_fsq.data.tfds.prepared import find_prepared
from uvim_fsq.data.tfds.source import TfdsSource
from uvim_fsq.errors import DataError

tfds = pytest.importorskip("tensorflow_datasets")
tf = pytest.importorskip("tensorflow")
NYU, COCO, IMAGENET = "nyu_depth_v2", "coco/2017_panoptic", "imagenet2012"


def quiet(line):
    pass


@pytest.fixture
def small(archives, tfds_data, monkeypatch):
    """Lets TFDS and the preparation expect the small archives."""
    archives.register(monkeypatch, tfds_data.raw)
    archives.shrink_facts(monkeypatch)
    return tfds_data


def test_features_and_splits_are_those_that_are_declared(tfds_data):
    features, place = {}, tfds_data.folders["array_record"]
    for name in (NYU, COCO, IMAGENET):
        info = tfds.builder_from_directory(find_prepared(name, place)).info
        features[name] = info.features
        assert info.file_format.value == "array_record"
        assert set(info.splits) == {"train", "validation"}
        assert str(info.version) == {NYU: "0.0.1", COCO: "1.1.0"}.get(name, "5.1.0")
    nyu = features[NYU]
    assert (nyu["image"].shape, nyu["image"].dtype) == ((480, 640, 3), np.uint8)
    assert (nyu["depth"].shape, nyu["depth"].dtype) == ((480, 640), np.float16)
    assert set(features[COCO]) == {
        *("image", "image/filename", "image/id"),
        *("panoptic_image", "panoptic_image/filename", "panoptic_objects"),
    }
    objects = features[COCO]["panoptic_objects"].feature
    assert set(objects) == {"area", "bbox", "id", "is_crowd", "label"}
    assert objects["label"].num_classes == 133 and objects["label"].names[0] == "person"
    assert set(features[IMAGENET]) == {"file_name", "image", "label"}


def test_says_what_it_needs_and_what_came_out(tfds_data):
    for name, counts in {NYU: (5, 2), COCO: (6, 3), IMAGENET: (4, 40)}.items():
        said = "\n".join(tfds_data.said[name])
        assert "GB are free" in said and "is no longer needed" in said
        assert "to download" not in said  # the archives are there
        for split, count in zip(("train", "validation"), counts, strict=True):
            published = FACTS[name].counts[split]
            assert f"{split}: {count} examples" in said
            assert f"published are {published:,} examples of {split}, here" in said


def test_what_is_prepared_is_left_as_it_is(tfds_data):
    place = tfds_data.folders["array_record"]
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}
    said = []
    for name in (NYU, COCO, IMAGENET):
        folder = prepare(name, place, say=said.append)
        assert folder == find_prepared(name, place)
    assert sum("is prepared already" in line for line in said) == 3
    after = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}
    assert after == before


def test_what_was_prepared_as_tfrecord_is_left_too(tfds_data):
    said = []
    prepare(NYU, tfds_data.folders["tfrecord"], say=said.append)
    assert "is prepared already" in said[0] and "train: 5 examples" in said


def test_an_interruption_leaves_nothing_and_the_next_start_finishes(
    small, tmp_path, monkeypatch
):
    from tensorflow_datasets.datasets.nyu_depth_v2 import (
        nyu_depth_v2_dataset_builder as module,
    )

    whole = module.Builder._generate_examples

    def interrupted(self, root_dir):
        for number, example in enumerate(whole(self, root_dir)):
            if number == 2:
                raise KeyboardInterrupt
            yield example

    with monkeypatch.context() as patch:
        patch.setattr(module.Builder, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(NYU, tmp_path, small.raw, say=quiet)
    assert find_prepared(NYU, tmp_path) is None
    with pytest.raises(DataError, match=f"tfds {NYU} --data-dir {tmp_path}"):
        TfdsSource(NYU, tmp_path)
    extracted = set((tmp_path / "downloads" / "extracted").rglob("*.h5"))
    assert len(extracted) == 7
    times = {path: path.stat().st_mtime_ns for path in extracted}
    prepare(NYU, tmp_path, small.raw, say=quiet)
    assert len(TfdsSource(NYU, tmp_path)) == 5
    assert {path: path.stat().st_mtime_ns for path in extracted} == times


_KILLED = """
import importlib.util, sys, time
import pytest

spec = importlib.util.spec_from_file_location("archives", sys.argv[1])
archives = importlib.util.module_from_spec(spec)
spec.loader.exec_module(archives)
from pathlib import Path
from tensorflow_datasets.datasets.nyu_depth_v2 import nyu_depth_v2_dataset_builder as m
from uvim_fsq.data.tfds.prepare import prepare

whole = m.Builder._generate_examples

def slow(self, root_dir):
    for number, example in enumerate(whole(self, root_dir)):
        yield example
        if number == 2:
            print("in the middle", flush=True)
            time.sleep(60)

m.Builder._generate_examples = slow
patch = pytest.MonkeyPatch()
archives.register(patch, Path(sys.argv[2]))
archives.shrink_facts(patch)
prepare("nyu_depth_v2", sys.argv[3], sys.argv[2], say=lambda line: None)
"""


def test_one_at_a_time_and_a_killed_one_leaves_nothing_in_the_way(
    small, archives, tmp_path
):
    arguments = [archives.__file__, small.raw, tmp_path]
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert any("in the middle" in line for line in process.stdout)
        with pytest.raises(DataError, match="another preparation is at work"):
            prepare(NYU, tmp_path, small.raw, say=quiet)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    parent = tmp_path / NYU
    assert len(list(parent.glob("incomplete.*"))) == 1
    assert find_prepared(NYU, tmp_path) is None
    half = tmp_path / "downloads" / "extracted" / "incomplete.abc_TAR_GZ.nyu"
    half.mkdir()
    (half / "0.h5").write_bytes(b"half")
    prepare(NYU, tmp_path, small.raw, say=quiet)
    assert not half.exists() and not list(parent.glob("incomplete.*"))
    assert len(TfdsSource(NYU, tmp_path)) == 5


def test_an_archive_that_is_not_the_published_one_is_named(small, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    data = (small.raw / "nyudepthv2.tar.gz").read_bytes()
    (raw / "nyudepthv2.tar.gz").write_bytes(data[:-1000])
    with pytest.raises(DataError, match="not the published one.*nyudepthv2.tar.gz"):
        prepare(NYU, tmp_path, raw, say=quiet)
    assert find_prepared(NYU, tmp_path) is None


def test_a_download_that_fails_is_one_sentence(small, tmp_path, monkeypatch):
    from tensorflow_datasets.core.download import downloader

    def refuse(self, *arguments, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(downloader._Downloader, "_sync_download", refuse)
    said = []
    with pytest.raises(DataError, match="no route to host.*under their own names") as e:
        prepare(NYU, tmp_path, say=said.append)
    assert "\n" not in str(e.value)
    assert any("to download: nyudepthv2.tar.gz" in line for line in said)


def test_too_small_a_disk_is_seen_before_anything_is_done(small, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr("uvim_fsq.data.tfds.prepare.FACTS", {NYU: FACTS[NYU]})
    with pytest.raises(DataError, match=r"needs up to 115 GB in .* 10 GB") as caught:
        prepare(NYU, tmp_path, small.raw, say=quiet)
    assert "--download-dir" in str(caught.value)
    assert not list((tmp_path / "downloads").rglob("*.h5"))


def test_imagenet_must_be_downloaded_by_hand(small, tmp_path):
    with pytest.raises(DataError, match="account: get ILSVRC2012_img_train.tar and"):
        prepare(IMAGENET, tmp_path, say=quiet)
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(small.raw / "ILSVRC2012_img_val.tar", raw)
    said = []
    folder = prepare(IMAGENET, tmp_path, raw, say=said.append)
    assert any("only the validation split" in line for line in said)
    assert len(TfdsSource(IMAGENET, tmp_path, "validation")) == 40
    shutil.copy(small.raw / "ILSVRC2012_img_train.tar", raw)
    with pytest.raises(DataError, match="prepared without ILSVRC2012_img_train.tar"):
        prepare(IMAGENET, tmp_path, raw, say=quiet)
    shutil.rmtree(folder)
    prepare(IMAGENET, tmp_path, raw, say=quiet)
    assert len(TfdsSource(IMAGENET, tmp_path, "train")) == 4


def test_a_name_that_tfds_does_not_know(tmp_path):
    with pytest.raises(DataError, match="cannot build nyu_depth_v3") as caught:
        prepare("nyu_depth_v3", tmp_path, say=quiet)
    assert "\n" not in str(caught.value) and NYU in str(caught.value)


def test_a_second_start_does_not_wait_for_tensorflow(tfds_data):
    code = (
        "import sys; from uvim_fsq.data.tfds.prepare import prepare; "
        f"prepare({COCO!r}, sys.argv[1]); print('tensorflow' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tfds_data.folders["array_record"])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "False"


def test_the_script_on_prepared_data(tfds_data, tmp_path):
    script = Path(__file__).resolve().parents[3] / "scripts" / "prepare_data.py"
    place = ["--data-dir", str(tfds_data.folders["array_record"])]

    def run(*arguments):
        command = [sys.executable, str(script), *arguments, *place]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    said = run("tfds", IMAGENET)
    assert said[0].startswith("imagenet2012 is prepared already in ")
    assert said[-1] == "validation: 40 examples"
    said = run("imagenet2012-lists", "--count", "13", "--output", "lists")
    paths = sorted((tmp_path / "lists").iterdir())
    assert [line.split(" are in ")[0] for line in said] == ["13 names"] * 2
    assert [len(path.read_text().splitlines()) for path in paths] == [13, 13]
