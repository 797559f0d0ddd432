"""Headless Chromium: a page of a folder that reports, and a tab that is driven."""

import base64
import contextlib
import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest


def chromium() -> str:
    """The browser; skips without one."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed")
    return browser


def reported(folder: Path, page: str) -> str:
    """What `page` of `folder` reports by fetch("/result?" + text); skips without a browser."""
    browser = chromium()
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


class Browser:
    """A tab of headless Chromium, driven by the DevTools protocol over a pipe; a context manager.

    https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, profile: Path, *flags: str):
        self._command = [
            chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
            "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}", *flags,
        ]  # fmt: skip
        self._number, self._session = 0, {}

    def __enter__(self):
        requests, self._to = os.pipe()
        self._from, answers = os.pipe()

        def as_3_and_4():  # where Chromium looks for the pipes
            os.dup2(requests, 100)
            os.dup2(answers, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self._process = subprocess.Popen(
            self._command, preexec_fn=as_3_and_4, pass_fds=(requests, answers, 3, 4),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(requests)
        os.close(answers)
        self._reader = os.fdopen(self._from, "rb")
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        return self

    def __exit__(self, *_):
        os.close(self._to)
        self._process.terminate()
        self._process.wait(20)
        self._reader.close()

    def call(self, method: str, **parameters):
        """Calls a method of the protocol and returns its result."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(request).encode() + b"\0")
        while True:
            message = bytearray()
            while (byte := self._reader.read(1)) != b"\0":
                assert byte, "the browser has ended"
                message += byte
            answer = json.loads(message)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script: str):
        """The value of an expression of JavaScript in the page; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60):
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"{script} in {self.run('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def open(self, url: str):
        self.call("Page.enable")
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href.startsWith({url!r}) && document.readyState == 'complete'")

    def drop(self, file: Path, selector: str):
        """Drops a file on an element, as a person does with the mouse."""
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y = self.run(
            f"(() => {{ const b = {box}; return [b.x + b.width / 2, b.y + b.height / 2] }})()"
        )
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def picture(self, file: Path, *, width: int = 1200, height: int = 800, scheme: str = "light"):
        """Writes a PNG of the whole page."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        time.sleep(0.5)  # transitions
        taken = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))
