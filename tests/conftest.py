"""What all tests share: small real videos whose pictures say which frame they are, and a run.

A run that many tests read is made once, by whichever worker of `pytest -n` comes first.
"""

import contextlib
import fcntl
import http.server
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from processes import TINY, flags, python  # tests/processes.py

from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import load_cv2

# A machine that is busy with other work must not fail a property.
# The same examples in every run: CI must judge the change, not the draw. For new ones:
# pytest --hypothesis-profile=default
settings.register_profile(
    "ar3d", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ar3d")

# Videos for development that are no part of the project: see DESIGN.md, and skip without them.
REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"

# Frame n has red 30 + 12 (n mod 16) and blue 30 + 12 (n div 16) all over; steps of 12 survive the
# codec. Green is bright in the left half and dark in the right, which tells a mirrored clip.
STEP, BASE, NUMBERS = 12, 30, 256


def pytest_collection_modifyitems(items):
    """The longest first, so that no worker of `pytest -n` waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_backends.py")


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_user(request, tmp_path_factory):
    """No test depends on the user's home folder, cache, time zone or git configuration."""
    home = tmp_path_factory.mktemp("home")
    # One list of fonts for all processes: matplotlib takes seconds to make it.
    fonts = _of_all_workers(request, tmp_path_factory) / "matplotlib"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        patch.setenv("MPLCONFIGDIR", str(fonts))
        patch.setenv("TZ", "Asia/Kathmandu")  # 5:45 hours from UTC
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        time.tzset()
        yield
    time.tzset()


def _of_all_workers(request, tmp_path_factory) -> Path:
    """The temporary folder of the whole session, under `pytest -n` too."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(request.config, "workerinput") else own


@pytest.fixture(scope="session")
def make_once(request, tmp_path_factory):
    """make_once(name, make): the folder that `make(folder)` filled, in one worker for all.

    Tests copy what they change.
    """
    shared = _of_all_workers(request, tmp_path_factory)

    def folder_of(name, make) -> Path:
        folder, made = shared / f"shared-{name}", shared / f"shared-{name}.made"
        with (shared / f"shared-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # a worker failed in it
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return folder_of


@pytest.fixture(scope="session")
def tiny_demo(make_once):
    """Three classes of the demo set, 12 groups of one clip: 9 train, 12 val and 15 test videos."""
    classes = "Grow", "MoveDown", "MoveUp"

    def make(folder):
        from ar3d_keras.videos.demo import make_demo

        data = make_demo(folder / "demo", groups=12, clips=1)
        for place in data.iterdir():
            if place.is_dir() and place.name not in classes:
                shutil.rmtree(place)

    return make_once("demo", make) / "demo"


@pytest.fixture(scope="session")
def trained(tiny_demo, make_once):
    """The run folder of `python train.py --attention` in a process of its own."""

    def make(folder):
        given = {"data": tiny_demo, "name": "tiny", "runs_dir": folder, **TINY}
        done = python("train.py", "--attention", "--profile", "--tensorboard", *flags(**given))
        assert done.returncode == 0, done.stderr
        (folder / "tiny/stdout.txt").write_text(done.stdout)
        (folder / "tiny/stderr.txt").write_text(done.stderr)

    return make_once("runs", make) / "tiny"


@pytest.fixture(scope="module")
def plain_reports():
    """Reports without examples and explanations, of blank pictures: drawing is most of a short run.

    The run `trained` has them all.
    """
    blank = load_cv2().imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    with pytest.MonkeyPatch.context() as patch:
        for drawn in ("plots.confusion", "report.draw_reliability"):
            patch.setattr(f"ar3d_keras.reports.{drawn}", lambda *_, **__: None)
        patch.setattr("ar3d_keras.reports.drawing.png_bytes", lambda figure: blank)
        patch.setattr("ar3d_keras.reports.plots.curves_png", lambda *_, **__: blank)
        patch.setattr("ar3d_keras.reports.examples.choose_examples", lambda _: np.empty(0, int))
        yield


@pytest.fixture(scope="session")
def eager():
    """`with eager():` TensorFlow runs networks without a graph: to trace one takes far longer than
    the few steps of a test.

    For trainings that are compared with each other or are not under test themselves.
    """
    import tensorflow as tf

    @contextlib.contextmanager
    def run():
        tf.config.run_functions_eagerly(True)
        try:
            yield
        finally:
            tf.config.run_functions_eagerly(False)

    return run


@pytest.fixture
def eagerly(eager):
    """The whole test in `with eager():`."""
    with eager():
        yield


@pytest.fixture(scope="module")
def all_eagerly(eager):
    """The same for all tests of a file and their fixtures."""
    with eager():
        yield


@pytest.fixture(scope="session", autouse=True)
def _weights_without_compiling():
    """On JAX, NumPy draws initial weights: JAX compiles its generator for each shape of kernels."""
    import keras

    def drawn(self, shape, dtype=None):
        limit = np.sqrt(3 * self.scale / np.prod(shape[:-1]))
        return keras.ops.convert_to_tensor(np.random.uniform(-limit, limit, shape), dtype)

    with pytest.MonkeyPatch.context() as patch:
        if keras.backend.backend() == "jax":
            patch.setattr(keras.initializers.VarianceScaling, "__call__", drawn)
        yield


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    """An empty cache folder for every test; hidden, so that a catalog of tmp_path ignores it."""
    home = tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def _picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """Frame `number` as BGR uint8 (height, width, 3)."""
    height, width = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = BASE + STEP * (number // 16), 60, BASE + STEP * (number % 16)
    picture[:, : width // 2, 1] = 160
    return picture


@pytest.fixture(scope="session")
def write_video():
    """write_video(path, frames=20, first=0, size=(48, 64)): frames numbered from `first` on."""
    cv2 = load_cv2()

    def write(path, frames=20, first=0, size=(48, 64), codec="XVID") -> Path:
        assert first + frames <= NUMBERS
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written under a plain name: OpenCV's writer knows fewer names than its reader.
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / f"video{path.suffix}"
            writer = cv2.VideoWriter(
                str(plain), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25, size[::-1]
            )
            assert writer.isOpened()
            for number in range(first, first + frames):
                writer.write(_picture(number, size))
            writer.release()
            shutil.copyfile(plain, path)
        return path

    return write


@pytest.fixture(scope="session")
def write_timed():
    """write_timed(path, times, numbers=None, ...): a video with these time stamps, in seconds.

    numbers: what each frame shows, modulo 256; None: 0, 1, 2, ...
    gop: distance of key frames. options: of the encoder.
    """
    import fractions

    import av

    def write(path, times, numbers=None, size=(48, 64), codec="libx264", gop=12, options=None):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        given = options or {}
        if codec == "libx264":
            given = {"crf": "12", "sc_threshold": "0", **given}
        numbers = range(len(times)) if numbers is None else numbers
        known = {}
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30, options=given)
            stream.height, stream.width = size
            stream.pix_fmt = pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.gop_size = gop
            stream.codec_context.thread_count = 1
            # AVI and Matroska round what they can: 30 is AVI's rate, 1000 Matroska's.
            base = fractions.Fraction(1, 30 if path.suffix == ".avi" else 12000)
            stream.codec_context.time_base = stream.time_base = base
            for time, number in zip(times, numbers, strict=True):
                if number % NUMBERS not in known:
                    known[number % NUMBERS] = av.VideoFrame.from_ndarray(
                        _picture(number % NUMBERS, size), format="bgr24"
                    ).reformat(format=pixels)
                frame = known[number % NUMBERS]
                frame.pts, frame.time_base = round(time / base), base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def write_frames():
    """write_frames(folder, frames=20, first=0): the same as a folder img_1.png, img_2.png, ..."""
    cv2 = load_cv2()

    def write(folder, frames=20, first=0, size=(48, 64)) -> Path:
        folder = Path(folder)
        folder.mkdir(parents=True)
        for number in range(first, first + frames):
            image = cv2.imencode(".png", _picture(number, size))[1]
            image.tofile(folder / f"img_{number - first + 1}.png")
        return folder

    return write


@pytest.fixture(scope="session")
def frame_numbers():
    """frame_numbers(clip): which frames of the video a uint8 RGB (T, H, W, 3) clip shows."""

    def numbers(clip) -> list[int]:
        red, _, blue = np.moveaxis(np.mean(clip, axis=(1, 2)), -1, 0)
        low, high = (np.rint((colour - BASE) / STEP).astype(int) for colour in (red, blue))
        assert np.abs(red - BASE - STEP * low).max() < 5  # else the codec spoilt the numbers
        assert np.abs(blue - BASE - STEP * high).max() < 5
        return (16 * high + low).tolist()

    return numbers


@pytest.fixture
def stream():
    """stream(pictures): the address of an MJPEG stream; picture n is as grey as n, 25 a second.

    pictures: how many there are, over all connections; then the camera is gone.
    drops: numbers of pictures after which the connection is closed once.
    damaged: numbers of pictures that are no JPEG.
    stream.sent: how many were sent; a busy machine sends fewer a second.
    """
    servers = []

    def serve(pictures=10**6, drops=(), damaged=()):
        serve.sent = 0

        class Pictures(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if serve.sent == pictures:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                for number in range(serve.sent, pictures):
                    frame = np.full((48, 64, 3), number % 250, np.uint8)
                    picture = load_cv2().imencode(".jpg", frame)[1].tobytes()
                    if number in damaged:
                        picture = b"no JPEG" * 20
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    try:
                        self.wfile.write(b"--next\r\n" + head.encode() + picture + b"\r\n")
                    except OSError:
                        return
                    serve.sent = number + 1
                    time.sleep(0.04)
                    if number in drops:
                        return

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    serve.sent = 0
    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def make_ucf(write_video):
    """make_ucf(root, ...): class folders of tiny videos with UCF-101's names, all different."""

    def make(root, classes=("Archery", "HandstandPushups"), groups=3, clips=1, frames=20) -> Path:
        made = 0
        for name in classes:
            spelled = name.replace("Handstand", "HandStand")  # as UCF-101 itself does
            for group in range(1, groups + 1):
                for clip in range(1, clips + 1):
                    file = Path(root, name, f"v_{spelled}_g{group:02d}_c{clip:02d}.avi")
                    write_video(file, frames, first=(made * frames) % (NUMBERS - frames))
                    made += 1
        return Path(root)

    return make


@pytest.fixture(scope="session")
def ucf_set(make_ucf, tmp_path_factory):
    """2 classes x 5 groups, 20 frames each. Shared: a test that changes files copies it first."""
    return make_ucf(tmp_path_factory.mktemp("ucf"), groups=5)


@pytest.fixture
def realdata():
    """realdata("odd/video_90.mov"): the real file, or the test is skipped and says why."""

    def find(name: str) -> Path:
        if not (REALDATA / name).exists():
            pytest.skip(f"{REALDATA / name} is not there: it is no part of the project")
        return REALDATA / name

    return find


@pytest.fixture
def unprivileged(tmp_path):
    """A folder, entered as a user to whom permissions apply: root gives up its power."""
    if os.geteuid():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def user_error():
    """`with user_error("part", ...)`: one UserError, of one line, that says all the parts."""

    @contextlib.contextmanager
    def expect(*parts: str):
        with pytest.raises(UserError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert not message.endswith(".")  # a sentence in a line of ours
        for part in parts:
            assert part in message, message

    return expect
