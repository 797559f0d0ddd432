"""A server with an exported SavedModel, and the clients of examples/serving.

The server is stand_in.py, and also TensorFlow Serving if it is installed:

    AR3D_MODEL_SERVER=$(which tensorflow_model_server) pytest tests/serving/test_server.py
    AR3D_MODEL_SERVER=docker pytest tests/serving/test_server.py     # the image tensorflow/serving
"""

import base64
import contextlib
import os
import re
import runpy
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import keras
import numpy as np
import pytest
import requests
import stand_in  # tests/serving/stand_in.py
import tensorflow as tf
import tiny  # tests/serving/tiny.py
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from ar3d_keras.errors import UserError
from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.inference.classifier import describe
from ar3d_keras.inference.rest import from_server, predict
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.videos.reader import count_frames, frame_index, load_cv2, read_frames
from ar3d_keras.videos.sampling import ClipShape, frames_at, uniform_clip

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "serving"
NAMES = ("걷기 walk", "run", "jump, high", "sit")
SHAPE = ClipShape(4, 16, 16, resize_height=20, resize_width=24, stride=2)
MISSING = "no TensorFlow Serving here: name it in AR3D_MODEL_SERVER (a path, or docker)"


@dataclass
class Server:
    """Its addresses, the network whose outputs it should return, and its version labels."""

    grpc: str
    rest: str
    model: keras.Model
    labels: tuple[str, ...] = ()

    def predict(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "ar3d", signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        with grpc.insecure_channel(self.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            answer = stub.Predict(request, 60)
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def post(self, body: dict) -> requests.Response:
        return requests.post(f"{self.rest}:predict", json=body, timeout=60)


@pytest.fixture(scope="module", params=["stand-in", "TensorFlow Serving"])
def server(request, tmp_path_factory):
    real = request.param != "stand-in"
    binary = os.environ.get("AR3D_MODEL_SERVER")
    if real and not binary:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("served")
    model = tiny.network(4, height=16, width=16)
    model.save(folder / "network.keras")
    export_saved_model(folder / "network.keras", folder / "ar3d", describe(NAMES, SHAPE))
    if real:
        ports, log = (free_port(), free_port()), folder / "log"
        with running(command(binary, folder / "ar3d", *ports), log) as process:
            wait_for(rest_url(ports[1]), process, log)
            yield Server(f"127.0.0.1:{ports[0]}", rest_url(ports[1]), model)
    else:
        with stand_in.serving(folder / "ar3d", "ar3d", {"stable": 1}) as ports:
            yield Server(f"127.0.0.1:{ports[0]}", rest_url(ports[1]), model, ("stable",))


def rest_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/models/ar3d"


def command(binary: str, base: Path, grpc_port: int, rest_port: int) -> list:
    # By default the server takes 4 calls a core, and refuses those beyond.
    batching = ["--enable_batching", "--grpc_max_threads=32", "--batching_parameters_file"]
    if binary == "docker":
        return ["docker", "run", "--rm", "--init", "-p", f"{grpc_port}:8500", "-p", f"{rest_port}:8501",
                "-v", f"{base}:/models/ar3d:ro", "-v", f"{EXAMPLES}:/examples:ro",
                "-e", "MODEL_NAME=ar3d", "tensorflow/serving",
                *batching[:2], f"{batching[2]}=/examples/batching.config"]  # fmt: skip
    return [binary, f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=ar3d",
            f"--model_base_path={base}", *batching[:2],
            f"{batching[2]}={EXAMPLES / 'batching.config'}"]  # fmt: skip


def free_port() -> int:
    with socket.socket() as scan:
        scan.bind(("127.0.0.1", 0))
        return scan.getsockname()[1]


@contextlib.contextmanager
def running(arguments: list, log: Path):
    with log.open("w") as lines:
        process = subprocess.Popen(arguments, stdout=lines, stderr=lines)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_for(rest: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(requests.RequestException):
            if "AVAILABLE" in requests.get(rest, timeout=5).text:
                return
        time.sleep(0.2)
    raise AssertionError("the server did not get ready")


@pytest.fixture
def clips():
    return np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3), np.uint8)


def jpeg(frame: np.ndarray) -> bytes:
    return load_cv2().imencode(".jpg", frame)[1].tobytes()


@dataclass
class Done:
    """What a client printed, and its error message; None if it succeeded."""

    stdout: str
    error: str | None


@pytest.fixture
def client(monkeypatch, capsys):
    """client("rest_client.py", ...): runs a client in this process, which saves its imports."""

    def run(name, *arguments) -> Done:
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        error = None
        try:
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        except SystemExit as exit:
            error = exit.code  # Python prints the message and exits with code 1
        return Done(capsys.readouterr().out, error)

    return run


def test_grpc_equals_keras(server, clips):
    answer = server.predict("serving_default", {"clip": clips})
    expected = server.model.predict_on_batch(clips)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    best = [NAMES[place].encode() for place in expected.argmax(1)]
    assert answer["top_classes"][:, 0].tolist() == best
    maps = server.predict("attention", {"clip": clips})["attention"]
    expected = attention_network(server.model).predict_on_batch(clips)["attention"]
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_rest_equals_grpc(server, clips):
    rows = server.post({"instances": [{"clip": clip.tolist()} for clip in clips]})
    columns = server.post({"inputs": {"clip": clips.tolist()}})
    expected = server.predict("serving_default", {"clip": clips})
    for found in (rows.json()["predictions"][2]["probabilities"],
                  columns.json()["outputs"]["probabilities"][2]):  # fmt: skip
        np.testing.assert_allclose(found, expected["probabilities"][2], atol=1e-6)
    assert rows.json()["predictions"][0]["classes"] == list(NAMES)


def test_the_classifier_of_a_server_equals_keras(server, clips):
    served = from_server(server.rest + "/")
    assert (served.class_names, served.shape) == (NAMES, SHAPE)
    expected = server.model.predict_on_batch(clips)
    np.testing.assert_allclose(served.network.predict_on_batch(clips), expected, atol=1e-6)
    assert served.network.has_attention
    maps = attention_network(server.model).predict_on_batch(clips[:1])["attention"]
    np.testing.assert_allclose(served.network.attention(clips[:1]), maps, atol=1e-5)
    with pytest.raises(UserError, match="nonsense"):
        predict(server.rest, "nonsense", [""])
    for url in (server.rest.replace("ar3d", "other"), "http://127.0.0.1:9/v1/models/ar3d", "ar3d"):
        with pytest.raises(UserError):
            from_server(url)


def test_jpegs_over_rest_equal_jpegs_over_grpc(server, clips):
    frames = [[jpeg(frame) for frame in clip] for clip in clips]
    rows = [
        {"jpeg_bytes": [{"b64": base64.b64encode(frame).decode()} for frame in clip]}
        for clip in frames
    ]
    answer = server.post({"signature_name": "jpeg", "instances": rows}).json()["predictions"]
    expected = server.predict("jpeg", {"jpeg_bytes": np.array(frames, object)})
    for row, probabilities in zip(answer, expected["probabilities"], strict=True):
        np.testing.assert_allclose(row["probabilities"], probabilities, atol=1e-6)
        assert row["error"] == ""


def test_one_bad_request_does_not_fail_the_others_in_its_batch(server, clips):
    good = [jpeg(frame) for frame in clips[0]]
    bad = [*good[:2], good[2][:40], good[3]]
    expected = server.predict("jpeg", {"jpeg_bytes": np.array([good], object)})

    def ask(frames):
        return server.predict("jpeg", {"jpeg_bytes": np.array([frames], object)})

    with ThreadPoolExecutor(8) as pool:  # at once, so that a server that batches merges them
        answers = list(pool.map(ask, [good, bad] * 4))
    for answer in answers[::2]:
        assert answer["error"].tolist() == [b""]
        np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-5)
    for answer in answers[1::2]:
        assert answer["error"][0]
        assert not answer["probabilities"].any()


def test_the_error_of_a_bad_request_says_what_is_wrong_and_the_server_goes_on(server, clips):
    wrong = server.post({"instances": [{"clip": clips[0, :2].tolist()}]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]
    with pytest.raises(grpc.RpcError) as caught:
        server.predict("nonsense", {"clip": clips})
    assert "nonsense" in caught.value.details()
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    unknown = server.post({"signature_name": "nonsense", "instances": [{"clip": 1}]})
    assert unknown.status_code == 400
    assert server.post({"instances": [{"clips": clips[0].tolist()}]}).status_code == 400
    fractions = (clips[0] / 2).tolist()
    assert server.post({"instances": [{"clip": fractions}]}).status_code == 400
    for path, status in (("/versions/1", 200), ("/versions/7", 404), ("/labels/other", 404)):
        assert requests.get(server.rest + path, timeout=60).status_code == status
    assert server.predict("serving_default", {"clip": clips})["probabilities"].shape == (3, 4)


@pytest.mark.parametrize("frames", [3, 20])
def test_the_clients_get_the_outputs_of_evaluation(server, client, write_video, tmp_path, frames):
    """They learn stride and size from the server, which are not the defaults here."""
    video = write_video(tmp_path / "v.avi", frames=frames)
    spec = uniform_clip(count_frames(video), SHAPE, clips=1, crops=1, index=0)
    clip = read_frames(
        video,
        spec.window,
        (20, 24),
        crop=(slice(spec.top, spec.top + 16), slice(spec.left, spec.left + 16)),
    )
    expected = server.model.predict_on_batch(clip[np.newaxis])[0]
    over_grpc = client("grpc_client.py", video, "--server", server.grpc)
    over_rest = client("rest_client.py", video, "--url", server.rest)
    for done, tolerance in ((over_grpc, 0.051), (over_rest, 2)):  # percent; JPEG is lossy
        assert done.error is None
        shares = re.findall(r"([\d.]+) %  (.*)", done.stdout)
        assert len(shares) == 4
        for share, name in shares:
            assert float(share) == pytest.approx(100 * expected[NAMES.index(name)], abs=tolerance)


@pytest.mark.parametrize(
    ("name", "flag", "nowhere"),
    [
        ("grpc_client.py", "--server", "127.0.0.1:9"),
        ("rest_client.py", "--url", "http://127.0.0.1:9/v1/models/ar3d"),
    ],
)
def test_the_clients_say_what_is_wrong(server, client, write_video, tmp_path, name, flag, nowhere):
    (tmp_path / "no.avi").write_bytes(b"not a video")
    address = server.grpc if flag == "--server" else server.rest
    done = client(name, tmp_path / "no.avi", flag, address)
    assert "no.avi" in done.error
    done = client(name, write_video(tmp_path / "v.avi"), flag, nowhere)
    assert done.error.startswith("error: ")
    done = client(name, "v.avi", flag, address.replace("ar3d", "other"), *(
        ["--model", "other"] if flag == "--server" else []
    ))  # fmt: skip
    assert "not found" in done.error


def test_nothing_is_cast(server, clips):
    with pytest.raises(grpc.RpcError) as caught:
        server.predict("serving_default", {"clip": clips.astype(np.float32)})
    assert "uint8" in caught.value.details()
    with pytest.raises(grpc.RpcError):
        server.predict("serving_default", {"clips": clips})


def test_a_label_stands_for_a_version(server, clips):
    if not server.labels:
        pytest.skip("this server runs without a model configuration file")
    body = {"instances": clips[:1].tolist()}
    by_label = requests.post(f"{server.rest}/labels/stable:predict", json=body, timeout=60)
    assert by_label.json() == server.post(body).json()


@pytest.fixture
def center_frames():
    return runpy.run_path(str(EXAMPLES / "video.py"))["center_frames"]


def test_the_clients_choose_frames_by_their_time_stamps(
    center_frames, write_timed, frame_numbers, tmp_path
):
    steps = np.random.default_rng(1).uniform(0.01, 0.06, 80)
    times = np.round(5 + np.cumsum(steps), 3)  # a variable rate, which does not start at 0
    video = write_timed(tmp_path / "v.mp4", times)
    for fps, frames in ((10, 8), (25, 16), (4, 16)):
        shape = ClipShape(frames, 16, 16, resize_height=20, resize_width=24, fps=fps)
        index = frame_index(video)
        shown = frames_at(index.times, index.end, fps)
        spec = uniform_clip(len(shown), shape, clips=1, crops=1, index=0)
        sent = np.stack(center_frames(str(video), vars(shape)))
        assert sent.shape == (frames, 20, 24, 3)
        assert frame_numbers(sent[..., ::-1]) == shown[spec.window].tolist()


def test_the_clients_choose_frames_of_the_whole_video_with_uniform_sampling(
    center_frames, write_timed, frame_numbers, tmp_path
):
    times = np.round(np.cumsum(np.random.default_rng(2).uniform(0.01, 0.06, 53)), 3)
    video = write_timed(tmp_path / "v.mp4", times)
    index = frame_index(video)
    for fps, frames in ((None, 8), (None, 64), (10.0, 8)):
        shape = ClipShape(
            frames, 16, 16, resize_height=20, resize_width=24, fps=fps, sampling="uniform"
        )
        shown = frames_at(index.times, index.end, fps) if fps else np.arange(len(times))
        spec = uniform_clip(len(shown), shape, clips=1, crops=1, index=0)
        sent = np.stack(center_frames(str(video), vars(shape)))
        assert frame_numbers(sent[..., ::-1]) == shown[spec.window].tolist()


def test_the_clients_send_the_whole_picture_if_the_server_cuts_a_region_out(
    center_frames, write_video, tmp_path
):
    video = write_video(tmp_path / "v.avi", size=(48, 64))
    shape = vars(ClipShape(4, 16, 16, resize_height=20, resize_width=24, roi=(8, 8, 40, 40)))
    assert center_frames(str(video), shape)[0].shape == (48, 64, 3)
    for changed in ({"flow": "dis"}, {"zoom": 2}, {"sampling": "dense"}):
        with pytest.raises(SystemExit, match="error"):
            center_frames(str(video), {**shape, **changed})


def test_the_example_configuration_is_one_that_the_server_reads():
    config = text_format.Parse(
        (EXAMPLES / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert model.base_path == "/models/ar3d"
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)
