"""Headless Chromium on a page of a folder that a small server gives."""

import contextlib
import http.server
import queue
import shutil
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest


def reported(folder: Path, page: str) -> str:
    """What `page` of `folder` reports by fetch("/result?" + text); skips without a browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed")
    results: queue.Queue[str] = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_GET(self):
            if self.path.startswith("/result?"):
                results.put(urllib.parse.unquote(self.path.partition("?")[2]))
            if not self.path.endswith(".mp4"):
                return super().do_GET()
            # Browsers seek only where the server sends parts of a file.
            content = (folder / self.path.lstrip("/")).read_bytes()
            first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            self.send_response(206)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - first))
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(content[first:])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running = subprocess.Popen(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu",
                "--autoplay-policy=no-user-gesture-required",
                f"--user-data-dir={folder / 'profile'}",
                f"http://127.0.0.1:{server.server_port}/{page}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return results.get(timeout=60)
        finally:
            running.terminate()
            running.wait(20)
            server.shutdown()
