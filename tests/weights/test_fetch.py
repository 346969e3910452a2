"""Weights files by address: fetched once, whole or not at all."""

import os
import sys
import time
import uuid
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights import fetch
from uvim_fsq.weights.fetch import local_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def put():
    """Writes a file of fsspec's memory and returns its address."""
    folder = f"/{uuid.uuid4().hex}"
    filesystem = fsspec.filesystem("memory")

    def write(name, content):
        filesystem.pipe(f"{folder}/{name}", content)
        return f"memory://{folder}/{name}"

    yield write
    if filesystem.exists(folder):
        filesystem.rm(folder, recursive=True)


class Faulty(MemoryFileSystem):
    """The files of fsspec's memory, under another name."""

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace(f"{cls.protocol}:", "memory:"))


class Unreachable(Faulty):
    protocol = "unreachable"

    def info(self, path, **kwargs):
        raise TimeoutError(f"no answer\nfrom the host of {path}")


class HalfWay(Faulty):
    """Says that files are twice as long as they are."""

    protocol = "halfway"

    def info(self, path, **kwargs):
        information = super().info(path, **kwargs)
        return information | {"size": 2 * information["size"]}


class Breaking(Faulty):
    """Breaks off after a few bytes."""

    protocol = "breaking"

    def open(self, path, mode="rb", **kwargs):
        stream: Any = super().open(path, mode, **kwargs)
        whole = stream.read

        def read(size=-1):
            if stream.tell():
                raise ConnectionResetError("reset by peer")
            return whole(3)

        stream.read = read
        return stream


class Unsized(Faulty):
    protocol = "unsized"

    def info(self, path, **kwargs):
        return super().info(path, **kwargs) | {"size": None}


@pytest.fixture(autouse=True, scope="module")
def filesystems():
    for kind in (Unreachable, HalfWay, Breaking, Unsized):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)


def files(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_path_is_returned_as_it_is(tmp_path, monkeypatch):
    path = tmp_path / "vit.npz"
    path.write_bytes(b"weights")
    assert local_file(str(path)) == path
    assert local_file(f"file://{path}") == path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_file("~/vit.npz") == path


@pytest.mark.parametrize("address", ["gone.npz", "", ".", "file:///gone.npz"])
def test_a_path_that_is_no_file(address):
    with pytest.raises(WeightsError, match="is no file: expected the path"):
        local_file(address)


def test_an_address_is_fetched_once_and_said_with_its_size(put, cache, capsys):
    address = put("vit.npz", b"weights" * 500_000)
    path = local_file(address)
    assert path.parent == cache and path.name.endswith("-vit.npz")
    assert path.read_bytes() == b"weights" * 500_000
    assert files(cache) == [path.name]
    assert capsys.readouterr().out == f"fetching {address} (3.5 MB) into {path}\n"
    put("vit.npz", b"others")
    assert local_file(address) == path
    assert path.read_bytes() == b"weights" * 500_000
    assert capsys.readouterr().out == ""


def test_the_cache_is_the_projects(monkeypatch, put, tmp_path):
    monkeypatch.delenv("UVIM_FSQ_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = local_file(put("vit.npz", b"weights"))
    assert path.parent == tmp_path / ".cache" / "uvim_fsq" / "weights"


def test_two_addresses_never_share_a_copy(put):
    one, two = put("a/vit.npz", b"one"), put("b/vit.npz", b"two")
    assert local_file(one).read_bytes() == b"one"
    assert local_file(two).read_bytes() == b"two"


def test_a_name_in_the_cache_is_a_plain_name(put, cache):
    path = local_file(put("v t%.npz?download=true#main", b"weights"))
    assert path.parent == cache and path.name.endswith("-v_t_.npz")


def test_a_size_that_is_unknown(put, capsys):
    address = put("vit.npz", b"weights").replace("memory:", "unsized:")
    assert local_file(address).read_bytes() == b"weights"
    assert "(of unknown size)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("unreachable", r"could not be fetched \(TimeoutError: no answer\): .*network"),
        ("halfway", r"could not be fetched \(OSError: 1\.5 MB of 3\.0 MB arrived\)"),
        ("breaking", r"could not be fetched \(ConnectionResetError: reset by peer\)"),
    ],
)
def test_what_cannot_be_fetched_whole_leaves_nothing(put, cache, protocol, message):
    address = put("vit.npz", b"x" * 1_500_000).replace("memory:", f"{protocol}:")
    with pytest.raises(WeightsError, match=message) as error:
        local_file(address)
    assert "download it by hand and give its path" in str(error.value)
    assert "\n" not in str(error.value)
    assert files(cache) == []


def test_an_interrupt_leaves_nothing(put, cache, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MemoryFileSystem, "get_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        local_file(put("vit.npz", b"weights"))
    assert files(cache) == []


def test_what_a_killed_run_left_is_removed(put, cache):
    cache.mkdir(parents=True)
    for name, age in ((".tmp-old", 2 * 3600), (".tmp-new", 60), ("kept", 2 * 3600)):
        (cache / name).write_bytes(b"half")
        os.utime(cache / name, (time.time() - age, time.time() - age))
    path = local_file(put("vit.npz", b"weights"))
    assert files(cache) == sorted([".tmp-new", "kept", path.name])


def test_an_address_without_a_file(put):
    address = put("vit.npz", b"weights")
    with pytest.raises(
        WeightsError, match="there is no file at memory://.*gone.npz, or"
    ):
        local_file(address.replace("vit", "gone"))
    with pytest.raises(WeightsError, match="is a folder: expected a file in it"):
        local_file(address.removesuffix("/vit.npz"))


def test_a_cache_that_cannot_be_written(put, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("UVIM_FSQ_CACHE", str(tmp_path / "taken"))
    with pytest.raises(WeightsError, match="cannot be written: .*; set UVIM_FSQ_CACHE"):
        local_file(put("vit.npz", b"weights"))


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write anywhere")
def test_a_cache_without_permission(put, cache):
    cache.parent.mkdir()
    cache.parent.chmod(0o500)
    with pytest.raises(WeightsError, match="cannot be written: Permission denied"):
        local_file(put("vit.npz", b"weights"))


def test_a_disk_that_is_too_small(put, cache, monkeypatch):
    usage = fetch.shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(WeightsError, match=r"has 3\.0 MB, and .* has 1\.0 MB free"):
        local_file(put("vit.npz", b"x" * 3_000_000))
    assert files(cache) == []


@pytest.mark.parametrize(
    ("address", "module", "package"),
    [
        ("gs://vit_models/augreg/L_16.npz", "gcsfs", "gcsfs"),
        ("hf://owner/name/vit.npz", "huggingface_hub", "huggingface_hub"),
        ("https://example.org/vit.npz", "aiohttp", "aiohttp requests"),
        ("s3://bucket/vit.npz", "s3fs", "s3fs"),
    ],
)
def test_a_package_that_is_missing(monkeypatch, cache, address, module, package):
    # As in a process that has not used it yet.
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    loaded = sys.modules["fsspec.registry"].__dict__["_registry"]
    monkeypatch.delitem(loaded, address.partition(":")[0], raising=False)
    with pytest.raises(
        WeightsError, match=f"pip install {package}, or download"
    ) as error:
        local_file(address)
    if address.startswith("gs://"):
        page = "https://storage.googleapis.com/vit_models/augreg/L_16.npz"
        assert f"by hand ({page})" in str(error.value)
    assert not cache.exists()


def test_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(
        WeightsError, match="fsspec, which is not installed: pip .*s3fs"
    ):
        local_file("s3://bucket/vit.npz")


def test_an_unknown_protocol():
    with pytest.raises(WeightsError, match="begins with gopher://, which is not known"):
        local_file("gopher://example.org/vit.npz")
