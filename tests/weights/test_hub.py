"""Names on the Hugging Face Hub: fetching from a small server that answers as the Hub does."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from uvim_fsq.errors import WeightsError
from uvim_fsq.weights import hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# Model\n",
    "config.json": b"{}\n",
    "model.safetensors": bytes(range(200)),
    "setup.py": b"raise SystemExit\n",
}


@pytest.mark.parametrize(
    "text, name, address",
    [
        ("owner/name", True, False),
        ("owner/name.v2-x@v1.0", True, False),
        ("owner/name@refs/pr/1", True, False),
        ("hf://owner/name", True, True),
        ("hf://owner/name@main", True, True),
        ("hf:/owner/name", True, True),  # As pathlib.Path spells it.
        ("name", False, False),
        ("./owner/name", False, False),
        ("../name", False, False),
        ("/owner/name", False, False),
        ("a/b/c", False, False),
        ("owner/", False, False),
        ("~/name", False, False),
        ("gs://owner/name", False, False),
        ("owner/name@", False, False),
    ],
)
def test_what_is_a_name(text, name, address):
    assert (hub.is_name(text), hub.is_address(text)) == (name, address)


def test_what_is_no_name_is_not_asked_for():
    with pytest.raises(WeightsError, match="expected OWNER/NAME"):
        hub.snapshot("a/b/c")


@pytest.mark.parametrize("name", ["owner/name", "hf://owner/name"])
def test_without_the_library(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match="pip install huggingface_hub") as error:
        hub.snapshot(name)
    assert ("is no folder here" in str(error.value)) == (name == "owner/name")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as a snapshot needs."""

    def log_message(self, format, *arguments):
        """Says nothing."""

    def do_HEAD(self):
        self.answer(*self.found())

    def do_GET(self):
        status, headers, body = self.found()
        self.answer(status, headers, body)
        self.wfile.write(body)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()

    def found(self):
        path = self.path.split("?")[0]
        files = dict(FILES)
        if "/owner/no-bundle" in path:
            del files["model.safetensors"]
            path = path.replace("no-bundle", "name")
        if path.startswith("/api/models/owner/name/tree/"):
            rows = [
                {"type": "file", "path": name, "size": len(body), "oid": tag(body)}
                for name, body in files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(rows).encode()
        if path == "/api/models/owner/name/revision/gone":
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if path.startswith("/api/models/owner/name"):
            siblings = [{"rfilename": name} for name in files]
            info = {"id": "owner/name", "sha": COMMIT, "siblings": siblings}
            return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
        name = path.rpartition("/")[2]
        if path.startswith("/owner/name/resolve/") and name in files:
            body = files[name]
            return 200, {"ETag": f'"{tag(body)}"', "X-Repo-Commit": COMMIT}, body
        return 404, {"X-Error-Code": "RepoNotFound"}, b""


def tag(body):
    return hashlib.sha1(body).hexdigest()


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


PROGRAM = """
import json, sys
from uvim_fsq.weights import hub
from uvim_fsq.errors import WeightsError

results = {}
for name in sys.argv[1:]:
    try:
        results[name] = str(hub.snapshot(name))
    except WeightsError as error:
        results[name] = str(error)
print(json.dumps(results))
"""


def snapshots(cache, names, **environment):
    """Folders or errors by name, from a process of its own: the library reads its settings once."""
    pytest.importorskip("huggingface_hub")
    environment |= {"HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def fetched(address, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    names = ["owner/name", "hf://owner/name@main", "owner/no-bundle"]
    names += ["owner/absent", "owner/name@gone"]
    return cache, snapshots(cache, names, HF_ENDPOINT=address)


def test_a_bundle_is_fetched_and_nothing_else(fetched):
    _, results = fetched
    folder = Path(results["owner/name"])
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {name: FILES[name] for name in FILES if name != "setup.py"}
    assert hub.cached_name(folder) == "name"
    assert results["hf://owner/name@main"] == str(folder)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("owner/absent", "owner/absent is no folder here, and could not be fetched"),
        ("owner/absent", "there is no such repository, or it is private"),
        ("owner/name@gone", "the repository has no such revision"),
        ("owner/no-bundle", "is no bundle of uvim-fsq: it has no model.safetensors"),
    ],
)
def test_what_the_hub_has_not(fetched, name, reason):
    assert reason in fetched[1][name]


def test_what_was_fetched_is_found_offline(fetched):
    cache, online = fetched
    offline = snapshots(cache, ["owner/name", "owner/other"], HF_HUB_OFFLINE="1")
    assert offline["owner/name"] == online["owner/name"]
    assert "is no folder here, and could not be fetched" in offline["owner/other"]
    assert "check the network, and that HF_HUB_OFFLINE" in offline["owner/other"]


def test_names_of_folders_that_are_no_snapshots(tmp_path):
    assert hub.cached_name(tmp_path) is None
    assert hub.cached_name(tmp_path / "models--a--b" / "blobs" / "c") is None
    assert hub.cached_name(tmp_path / "models--a--b--c" / "snapshots" / "d") == "b--c"
