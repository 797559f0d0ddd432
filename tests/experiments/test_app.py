"""The page of `ar3d app`, by its requests."""

import contextlib
import csv
import json
import socket
import sys
import threading
import time

import av
import keras
import numpy as np
import pytest
from browser import Browser, chromium  # tests/browser.py
from starlette.testclient import TestClient

from ar3d_keras import Conv3DClassifier, predict
from ar3d_keras.cli import main
from ar3d_keras.experiments.app import serve
from ar3d_keras.experiments.app.corrections import Correction, Corrections
from ar3d_keras.experiments.app.guard import Guard, is_own_name
from ar3d_keras.experiments.app.jobs import Jobs
from ar3d_keras.experiments.load import open_classifier
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.saved_model import SignatureNetwork
from ar3d_keras.videos.label_csv import read_label_csv
from ar3d_keras.videos.sampling import ClipShape

CLASSES = ("걷기", "Jump <b>", "r\udcffun")
SHAPE = ClipShape(4, 16, 16, resize_height=18, resize_width=24, stride=2)
ADDRESS = "http://127.0.0.1"


@pytest.fixture(scope="module")
def network(tmp_path_factory, eager):
    """The file of a gated network."""
    file = tmp_path_factory.mktemp("network") / "tiny.keras"
    keras.utils.set_random_seed(1)
    model = Conv3DClassifier(
        3, attention=True, frames=4, height=16, width=16, filters=4, pool=(2, 4, 4), dense=8
    )
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([30 * kernel, bias])
    model.class_names, model.clip_shape = CLASSES, SHAPE
    model.save(file)
    return file


@pytest.fixture(scope="module")
def film(write_timed, tmp_path_factory):
    """1.2 seconds, whose frames change."""
    return write_timed(tmp_path_factory.mktemp("film") / "film.mp4", np.arange(30) / 25)


@contextlib.contextmanager
def client_of(classifier, folder, **options):
    kept = Corrections(folder / "corrections", classifier.class_names, classifier.origin)
    with (
        serve.application(classifier, kept, **options) as app,
        TestClient(app, base_url=ADDRESS) as client,
    ):
        client.corrections = kept
        yield client


@pytest.fixture(scope="module")
def page(network, tmp_path_factory, eager):
    """A client of the page of a network, with windows of 0.4 s; uploads above 0.2 MB are refused."""
    with (
        eager(),
        client_of(
            open_classifier(network, None, network.parent),
            tmp_path_factory.mktemp("page"),
            window_seconds=0.4,
            max_megabytes=0.2,
            max_minutes=0.05,
        ) as client,
    ):
        yield client


def send(client, video, name=None) -> str:
    answer = client.post("/videos", params={"name": name or video.name}, content=video.read_bytes())
    assert answer.status_code == 202, answer.text
    return f"/videos/{answer.json()['id']}"


def finished(client, url) -> dict:
    for _ in range(1200):
        status = client.get(url).json()
        if status["state"] in ("done", "failed"):
            return status
        time.sleep(0.05)
    raise AssertionError(status)


@pytest.fixture(scope="module")
def answered(page, film):
    """The address of a video that was predicted."""
    url = send(page, film, "folder/a <i>film.mp4")
    assert finished(page, url)["error"] is None
    return url


def test_the_answer_has_the_probabilities_of_predict(page, answered, film, network, eagerly):
    [expected] = predict(film, run=network, window_seconds=0.4)
    html = page.get(f"{answered}/answer").text
    assert f"{100 * expected.probabilities.max():.1f} %" in html
    assert html.count("<svg") == 3
    assert html.count("V100Z") == 3 * len(expected.segments) == 9


def test_names_of_files_and_classes_are_escaped(page, answered):
    assert page.get(answered).json()["name"] == "a <i>film.mp4"
    for text in (
        page.get("/").text,
        *(page.get(answered + end).text for end in ("/answer", "/page")),
    ):
        assert "<i>film" not in text and "Jump <b>" not in text
        assert "Jump &lt;b&gt;" in text or "a &lt;i&gt;film" in text


def test_the_videos_can_be_played_from_the_middle(page, answered, film, tmp_path):
    for name in ("video.mp4", "overlay.mp4"):
        content = page.get(f"{answered}/{name}").content
        part = page.get(f"{answered}/{name}", headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, content[100:200])
        (tmp_path / name).write_bytes(content)
        with av.open(str(tmp_path / name)) as video:
            assert video.streams.video[0].codec_context.name in ("h264", "vp9")
            assert video.streams.video[0].frames == 30
    assert page.get(f"{answered}/upload.mp4").status_code == 404


def test_a_saved_page_needs_nothing_beside_it(page, answered):
    saved = page.get(f"{answered}/page")
    assert saved.headers["content-disposition"] == 'attachment; filename="a_i_film.html"'
    assert "data:video/mp4;base64," in saved.text
    assert "http" not in saved.text.split("base64,")[0].replace("http-equiv", "")


def correct(client, url, **content):
    return client.post(f"{url}/correction", json=content)


def test_a_correction_is_a_row_that_training_takes(page, answered, film):
    assert correct(page, answered, label="Jump <b>", by="Ada").status_code == 200
    replaced = correct(page, answered, label="걷기", by="Ada", start=0.2, end=0.6)
    assert replaced.status_code == 200
    assert correct(page, answered, label="Jump <b>", by="Bo", start=0.6, end=1).status_code == 200
    file = page.corrections.file
    rows = read_label_csv(file)  # two rows that do not contradict each other
    assert [(row.label, row.start, row.end) for row in rows] == [
        ("걷기", 0.2, 0.6),
        ("Jump <b>", 0.6, 1.0),
    ]
    assert (file.parent / rows[0].path).read_bytes() == film.read_bytes()
    assert [row.extra["by"] for row in rows] == ["Ada", "Bo"]
    assert rows[0].extra["predicted"] in (*CLASSES[:2], r"r\udcffun")
    with file.open(encoding="utf-8", newline="") as lines:
        assert next(csv.reader(lines))[:4] == ["path", "label", "start", "end"]


@pytest.mark.parametrize(
    "content",
    [
        {"label": "Swim"},
        {"label": ""},
        {"label": "r\\udcffun"},
        {"label": "걷기", "start": 1},
        {"label": "걷기", "start": 0.5, "end": 0.5},
        {"label": "걷기", "start": 0, "end": 99},
        {"label": "걷기", "start": float("nan"), "end": 1},
        {"label": "걷기", "by": "=1+1"},
        {"label": "걷기", "by": "a\nb"},
        {"label": "걷기", "by": "a" * 100},
        {"label": 1},
        {"by": "Ada"},
        ["걷기"],
    ],
)
def test_wrong_corrections_write_nothing(page, answered, content):
    before = page.corrections.file.exists() and page.corrections.file.read_bytes()
    answer = page.post(f"{answered}/correction", content=json.dumps(content))
    assert answer.status_code == 400
    assert len(answer.json()["error"].splitlines()) == 1
    assert before == (page.corrections.file.exists() and page.corrections.file.read_bytes())
    assert page.post(f"{answered}/correction", content=b"a" * 20_000).status_code == 413


@pytest.mark.parametrize("content", [b"not a video", b"ffconcat version 1.0\nfile other.mp4\n"])
def test_what_is_no_video_costs_its_request_only(page, content):
    answer = page.post("/videos", params={"name": "notes.mp4"}, content=content)
    status = finished(page, f"/videos/{answer.json()['id']}")
    assert status["state"] == "failed"
    assert "notes.mp4" in status["error"] and len(status["error"].splitlines()) == 1
    assert page.get(f"/videos/{answer.json()['id']}/answer").status_code == 409


def test_empty_large_and_long_videos(page, write_timed, tmp_path):
    assert page.post("/videos", params={"name": "e.mp4"}, content=b"").status_code == 400
    assert page.post("/videos", params={"name": "l.mp4"}, content=b"a" * 300_000).status_code == 413
    chunks = (b"a" * 100_000 for _ in range(3))  # no length is told
    assert page.post("/videos", params={"name": "l.mp4"}, content=chunks).status_code == 413
    long = write_timed(tmp_path / "long.mp4", np.arange(50) / 10)  # 5 s, and 3 are taken
    assert "max_minutes" in finished(page, send(page, long))["error"]


def test_a_removed_video_is_gone(page, film):
    url = send(page, film)
    assert page.delete(url).status_code == 204
    assert page.get(url).status_code == 404
    assert page.delete(url).status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Origin": ADDRESS, "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ADDRESS + ":9"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": ""}, 403),
    ],
)
def test_requests_of_other_sites_are_refused(page, headers, status):
    answer = page.post("/videos", params={"name": "a.mp4"}, content=b"x", headers=headers)
    assert answer.status_code == status
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    if "Host" in headers:
        assert page.get("/", headers=headers).status_code == 403


def test_which_names_a_server_has():
    for header in ("localhost", "localhost:8600", "LOCALHOST", "127.0.0.1:1", "[::1]:8600"):
        assert is_own_name(header, "127.0.0.1") and is_own_name(header, "0.0.0.0")
    for header in ("192.168.1.2:80", "lab.example", "", "a:b:c", "localhost.evil.example"):
        assert not is_own_name(header, "127.0.0.1")
    assert is_own_name("192.168.1.2:80", "0.0.0.0")  # rebinding needs a name
    assert is_own_name("lab.example:80", "lab.example")
    assert not is_own_name("evil.example", "0.0.0.0")
    assert Guard(None, "localhost").refusal("GET", {"host": "localhost"}) is None


class Scripted(SignatureNetwork):
    """Answers what it is told; waits while `gate` is closed."""

    def __init__(self):
        self.has_attention, self.gate, self.calls = False, threading.Event(), 0

    def _call(self, signature, output, clips):
        self.calls += 1
        assert self.gate.wait(60)
        return np.full((len(clips), 2), np.nan if self.calls == 1 else 0.5, np.float32)


def test_one_prediction_at_a_time_and_the_queue_is_bounded(film, tmp_path, monkeypatch):
    monkeypatch.setattr("ar3d_keras.experiments.app.jobs.MOST_WAITING", 2)
    network = Scripted()
    classifier = Classifier(network, ("a", "b"), SHAPE, "scripted")
    with client_of(classifier, tmp_path) as client:
        urls = [send(client, film) for _ in range(3)]
        while client.get(urls[0]).json()["state"] != "predicting":
            time.sleep(0.02)
        assert [client.get(url).json()["ahead"] for url in urls] == [0, 1, 2]
        more = client.post("/videos", params={"name": "more.mp4"}, content=b"x")
        assert more.status_code == 400
        assert client.get(f"{urls[0]}/answer").status_code == 409
        assert network.calls == 1
        client.delete(urls[1])
        network.gate.set()
        # Its output is not a number: one line, and the next video is predicted.
        assert finished(client, urls[0])["state"] == "failed"
        assert finished(client, urls[2])["state"] == "done"
        assert network.calls == 2
        assert client.get(f"{urls[2]}/overlay.mp4").status_code == 404  # no attention
        assert "disabled" not in client.get(f"{urls[2]}/answer").text
        assert client.get(f"{urls[2]}/page").status_code == 200


def test_uploads_are_deleted_at_the_end_and_the_oldest_before(film, tmp_path, monkeypatch):
    monkeypatch.setattr("ar3d_keras.experiments.app.jobs.KEPT", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network = Scripted()
    network.gate.set()
    network.calls = 1
    with client_of(Classifier(network, ("a", "b"), SHAPE, "scripted"), tmp_path) as client:
        [first, second] = [send(client, film) for _ in range(2)]
        assert finished(client, second)["state"] == "done"
        while client.get(first).status_code != 404:
            time.sleep(0.02)
        assert len(list(tmp_path.glob("ar3d-app-*/*"))) == 1
    assert not list(tmp_path.glob("ar3d-app-*"))


def test_a_bug_is_said_and_the_worker_goes_on(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("threading.excepthook", seen.append)
    with Jobs(tmp_path, lambda job: [][1] if job.name == "a" else job.enter("done")) as jobs:
        made = [jobs.new(name, "") for name in "ab"]
        for job in made:
            jobs.submit(job)
        while not all(job.finished for job in made):
            time.sleep(0.01)
    assert [job.state for job in made] == ["failed", "done"]
    assert seen[0].exc_type is IndexError


def test_a_broken_csv_of_corrections(tmp_path, user_error):
    (tmp_path / "corrections.csv").write_text("name,label\na,b\n")
    with user_error("corrections.csv"):
        Corrections(tmp_path, ("a",), "tiny")
    (tmp_path / "file").touch()
    with user_error("`corrections`", "file"):
        Corrections(tmp_path / "file", ("a",), "tiny")


def test_a_correction_keeps_what_a_person_wrote(film, tmp_path):
    kept = Corrections(tmp_path, ("a", "b"), "tiny")
    (tmp_path / "corrections.csv").write_text("path,label,group,note\nx.mp4,z,g1,hello\n")
    assert kept.add(Correction("a"), film, "../=cmd.mp4", "b") == 0
    assert kept.add(Correction("b"), film, "other.mp4", "b") == 0  # another name, another file
    rows = read_label_csv(kept.file)
    assert (rows[0].group, rows[0].extra["note"]) == ("g1", "hello")
    assert all((tmp_path / row.path).is_file() for row in rows[1:])
    assert [row.path.startswith("videos/cmd-") for row in rows[1:]] == [True, False]


@pytest.fixture
def refused(capsys):
    def run(*arguments):
        assert main(["app", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    return run


def test_a_start_that_fails_is_one_line(refused, network, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "--port" in refused("--run", network, "--port", port)
    url = f"http://127.0.0.1:{port}/v1/models/ar3d"
    assert url in refused("--port", 0, "--server", url)
    for flags in (
        ["--run", "nothing", "--runs-dir", tmp_path],
        ["--run", network, "--server", "http://a/v1/models/b"],
        ["--server", "file:///etc/v1/models/x"],
        ["--host", "no.such.host.invalid", "--run", network],
        ["--run", network, "--max-minutes", 0],
        ["--run", network, "--max-megabytes", -1],
        ["--run", network, "--window-seconds", 0],
        ["--run", network, "--workers", 0],
        ["--run", network, "--port", 70_000],
    ):
        refused("--port", 0, *flags)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install ar3d-keras[app]" in refused("--run", network)


@pytest.fixture
def address(network, tmp_path, eagerly):
    """The page in a server of its own, and its corrections."""
    classifier = open_classifier(network, None, network.parent)
    kept = Corrections(tmp_path / "corrections", classifier.class_names, classifier.origin)
    with (
        serve.listening("127.0.0.1", 0) as listener,
        serve.application(classifier, kept, window_seconds=0.4) as app,
    ):
        server = serve.server_of(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"{ADDRESS}:{listener.getsockname()[1]}/", kept
        server.should_exit = True
        thread.join(30)


def test_a_person_drops_a_video_sees_the_answer_and_corrects_it(address, film, tmp_path):
    chromium()
    url, kept = address
    with Browser(tmp_path / ".profile") as page:
        page.open(url)
        page.drop(film, "#drop")
        page.wait_for("!!document.querySelector('[data-done]')")
        assert page.run("document.querySelectorAll('.curve path').length") == 3
        assert page.run("document.querySelector('.verdict strong').textContent") in (
            *CLASSES[:2],
            r"r\udcffun",
        )
        page.wait_for("document.querySelector('video').currentSrc.endsWith('overlay.mp4')")
        page.wait_for("document.querySelector('video').readyState >= 3")
        page.run(
            "(async () => { const video = document.querySelector('video'); await video.play();"
            " const seen = new Promise((go) => video.ontimeupdate = () => video.currentTime > 0.3 && go());"
            " await seen; video.pause(); })()"
        )
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
        page.run(
            "(() => { const form = document.querySelector('.correction');"
            " form.label.value = 'Jump <b>'; form.by.value = 'Ada'; form.requestSubmit(); })()"
        )
        page.wait_for("document.querySelector('.sent').textContent")
    [row] = read_label_csv(kept.file)
    assert (row.label, row.start, row.extra["by"]) == ("Jump <b>", None, "Ada")
    assert (kept.folder / row.path).read_bytes() == film.read_bytes()
