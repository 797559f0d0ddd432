"""Weights fetched by address: kept, checked by their hash, and what is refused."""

import functools
import hashlib
import http.server
import threading

import pytest

from ar3d_keras import Reporter
from ar3d_keras.models import fetch as fetching
from ar3d_keras.networks import NETWORKS, PUBLISHED

DATA = b"weights" * 300_000


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The folder that a local server serves as torchvision's address; its cache is empty."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


def publish(monkeypatch, data):
    name = f"r3d_18-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    monkeypatch.setitem(PUBLISHED, "torchvision:r3d_18", ("r3d", name))
    return name


def test_a_file_is_fetched_once(server, monkeypatch):
    (server / publish(monkeypatch, DATA)).write_bytes(DATA)
    file = fetching.fetch("torchvision:r3d_18", Reporter())
    assert file.read_bytes() == DATA
    for served in server.iterdir():
        served.unlink()
    assert fetching.fetch("torchvision:r3d_18", Reporter()) == file  # from the cache


def test_another_file_at_the_address_is_refused_and_not_kept(
    server, monkeypatch, tmp_path, user_error
):
    (server / publish(monkeypatch, DATA)).write_bytes(DATA[:-1])
    with user_error("r3d_18-", hashlib.sha256(DATA[:-1]).hexdigest()[:8]):
        fetching.fetch("torchvision:r3d_18", Reporter())
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_an_address_without_the_file_or_without_a_server(server, monkeypatch, user_error):
    publish(monkeypatch, DATA)
    with user_error("`init_from`", "torchvision:r3d_18", "404"):
        fetching.fetch("torchvision:r3d_18", Reporter())
    monkeypatch.setattr(fetching, "ADDRESS", "http://127.0.0.1:9/")
    with user_error("`init_from`", "torchvision:r3d_18"):
        fetching.fetch("torchvision:r3d_18", Reporter())
    with user_error("`init_from`", "torchvision:r3d", *PUBLISHED):
        fetching.fetch("torchvision:r3d", Reporter())


def test_published_networks_exist():
    assert {network for network, _ in PUBLISHED.values()} <= NETWORKS.keys()
