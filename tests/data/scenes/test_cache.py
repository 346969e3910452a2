"""The cache of scenes: resumed, shared, repaired, refused."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from uvim_fsq.data.scenes import cache as scene_cache
from uvim_fsq.data.scenes import prepare
from uvim_fsq.data.scenes.cache import Stream, default_cache_dir
from uvim_fsq.data.scenes.source import Scenes
from uvim_fsq.errors import DataError

SIZE = (16, 16)


@pytest.fixture
def short_shards(monkeypatch):
    """Shards of 16 scenes, so that few scenes make several."""
    monkeypatch.setattr(scene_cache, "_SHARD_BYTES", 0)


def files(folder):
    """Inode and time of every file, to tell which were written again."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*.npy")
    }


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.npy")}


def leftovers(folder):
    return [path for path in folder.rglob("*") if ".tmp" in path.name]


def start(code, cwd, **options):
    """Another Python running `code` from standard input, as in a notebook without a file."""
    process = subprocess.Popen(
        [sys.executable, "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        **options,
    )
    assert process.stdin is not None
    process.stdin.write(code)
    process.stdin.close()
    return process


def finish(process):
    with process:
        message = process.stderr.read()
    return process.returncode, message


def test_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    source = Scenes(SIZE, count=2)
    assert source.folder.is_relative_to(tmp_path) and len(files(tmp_path)) == 4
    monkeypatch.delenv("UVIM_FSQ_CACHE")
    assert default_cache_dir().parts[-3:] == (".cache", "uvim_fsq", "scenes")


def test_shard_length_depends_on_the_size_alone(tmp_path):
    lengths = [
        Stream(tmp_path, 0, "train", (side, side)).shard_length
        for side in (8, 32, 128, 512)
    ]
    assert lengths == [512, 512, 128, 16]
    shards = Stream(tmp_path, 0, "train", (128, 128)).shards(300)
    assert [(s.first, s.stop) for s in shards] == [(0, 128), (128, 256), (256, 300)]


def test_complete_cache_is_read_and_not_written(tmp_path, capsys):
    Scenes(SIZE, count=5, cache_dir=tmp_path)
    before = files(tmp_path)
    assert "Rendering 5" in capsys.readouterr().err
    Scenes(SIZE, count=5, cache_dir=tmp_path)
    assert capsys.readouterr().err == ""
    assert files(tmp_path) == before and len(before) == 4


def test_longer_run_reuses_full_shards(tmp_path, short_shards):
    first = Scenes(SIZE, count=20, cache_dir=tmp_path)
    before = files(tmp_path)
    second = Scenes(SIZE, count=40, cache_dir=tmp_path)
    after = files(tmp_path)
    assert before.items() <= after.items()
    assert len(list(first.folder.iterdir())) == 4  # 0-16, 16-20; then 16-32, 32-40.
    for i in (0, 15, 16, 19):
        np.testing.assert_array_equal(first[i]["image"], second[i]["image"])


def test_missing_shard_alone_is_rendered_again(tmp_path, short_shards):
    source = Scenes(SIZE, count=40, cache_dir=tmp_path)
    before, bytes_before = files(tmp_path), contents(tmp_path)
    lost = source.folder / "00000016-00000032"
    for path in lost.iterdir():
        path.unlink()
    lost.rmdir()
    Scenes(SIZE, count=40, cache_dir=tmp_path)
    changed = {name for name, value in files(tmp_path).items() if before[name] != value}
    assert len(changed) == 4 and all(lost.name in name for name in changed)
    assert contents(tmp_path) == bytes_before


@pytest.mark.parametrize("name", ["image", "depth", "panoptic", "segments"])
@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "other", "gone"])
def test_broken_shard_is_rendered_again(tmp_path, name, damage):
    source = Scenes(SIZE, count=3, cache_dir=tmp_path)
    before = contents(tmp_path)
    path = source.folder / "00000000-00000003" / f"{name}.npy"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "other":
        np.save(path, np.zeros((3, 5), np.uint8))
    else:
        kept = {"truncated": data[:-7], "longer": data + b"x", "empty": b""}[damage]
        path.write_bytes(kept)
    again = Scenes(SIZE, count=3, cache_dir=tmp_path)
    assert contents(tmp_path) == before
    assert leftovers(tmp_path) == []
    assert again[2]["image"].any()


def test_several_processes_render_what_one_does(
    tmp_path, short_shards, capsys, monkeypatch
):
    monkeypatch.setattr(prepare, "_SECONDS_BETWEEN_LINES", 0)
    for name, workers in (("one", 1), ("two", 2)):
        Scenes(SIZE, count=40, cache_dir=tmp_path / name, workers=workers)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("Rendering 40 train scenes of 16 x 16 into")
        assert lines[-1].startswith(
            "Rendering 40 train scenes of 16 x 16: 40 done, 0 s"
        )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert leftovers(tmp_path) == []


# Shards of 16 scenes in the other process as well.
SCRIPT = """
import sys, time
from uvim_fsq.data.scenes import cache, prepare
cache._SHARD_BYTES = 0
from uvim_fsq.data.scenes.source import Scenes
Scenes(({side}, {side}), count={count}, cache_dir="cache", workers=2)
"""


def test_two_preparations_at_once_do_not_harm_each_other(tmp_path, short_shards):
    script = SCRIPT.format(side=16, count=48)
    both = [start(script, tmp_path) for _ in range(2)]
    for process in both:
        code, message = finish(process)
        assert code == 0, message
    assert leftovers(tmp_path) == []
    Scenes(SIZE, count=48, cache_dir=tmp_path / "alone")
    assert contents(tmp_path / "cache") == contents(tmp_path / "alone")


def test_killed_preparation_is_continued(tmp_path, short_shards):
    process = start(SCRIPT.format(side=64, count=96), tmp_path)
    try:
        deadline = time.monotonic() + 60
        while len(files(tmp_path)) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        children = _children(process.pid)
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert children
        while any(_alive(child) for child in children):
            assert time.monotonic() < deadline, "workers outlive their parent"
            time.sleep(0.05)
        stream = Stream(tmp_path / "cache", 0, "train", (64, 64))
        whole = [shard for shard in stream.shards(96) if shard.is_whole()]
        assert 0 < len(whole) < 6
        kept = {p: p.stat().st_mtime_ns for p in whole[0].folder.iterdir()}
        Scenes((64, 64), count=96, cache_dir=tmp_path / "cache")
        assert {p: p.stat().st_mtime_ns for p in whole[0].folder.iterdir()} == kept
    finally:
        process.kill()


def _children(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    if not os.path.exists(path):
        pytest.skip("needs Linux's list of child processes")
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(child) for child in file.read().split()]
    return found


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


SMALL_FILES = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
# Without this the kernel ends the process instead of failing the write.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_full_disk_gets_one_sentence_and_leaves_nothing(tmp_path, workers):
    """Files may not grow beyond 8 KiB here: a write that fails as on a full disk."""
    script = SCRIPT.format(side=16, count=48).replace("workers=2", f"workers={workers}")
    code, message = finish(start(SMALL_FILES + script, tmp_path))
    assert code == 1
    last = message.strip().splitlines()[-1]
    assert "DataError: The cache of scenes needs to be written below" in last
    assert "File too large; free some space there, or choose another folder" in last
    assert files(tmp_path) == {} and leftovers(tmp_path) == []


def test_too_little_space_is_said_before_rendering(tmp_path):
    with pytest.raises(
        DataError, match=r"needs \d+ MB below .*, where \d+ MB are free"
    ):
        Scenes((4096, 4096), count=10**5, cache_dir=tmp_path)
    assert files(tmp_path) == {}


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another folder"):
        Scenes(SIZE, count=2, cache_dir=tmp_path / "file" / "cache")


def test_what_killed_runs_left_long_ago_is_removed(tmp_path):
    stream = Stream(tmp_path, 0, "train", SIZE)
    old, new = stream.folder / ".tmp-old", stream.folder / ".tmp-new"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (0, 0))
    Scenes(SIZE, count=2, cache_dir=tmp_path)
    assert leftovers(tmp_path) == [new]
