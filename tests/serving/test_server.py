"""A server over the SavedModel, and the clients of examples/serving against it.

The server is a stand-in of ours, and TensorFlow Serving's own where there is one:

    AR3D_MODEL_SERVER=$(which tensorflow_model_server) pytest tests/serving/test_server.py
    AR3D_MODEL_SERVER=docker pytest tests/serving/test_server.py     # the image tensorflow/serving
"""

import base64
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from ar3d_keras import ClipShape, Conv3DClassifier
from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.inference.classifier import describe
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.videos.reader import count_frames, load_cv2, read_frames
from ar3d_keras.videos.sampling import uniform_clip

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "serving"
NAMES = ("걷기 walk", "run", "jump, high", "sit")
SHAPE = ClipShape(4, 16, 16, resize_height=20, resize_width=24, stride=2)
MISSING = "no TensorFlow Serving here: name it in AR3D_MODEL_SERVER (a path, or docker)"


@dataclass
class Server:
    """Where it listens, and the network that it should answer like."""

    grpc: str
    rest: str
    model: Conv3DClassifier
    real: bool

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
    model = Conv3DClassifier(
        4, attention=True, frames=4, height=16, width=16, filters=6, pool=(2, 4, 4), dense=5
    )
    model.save(folder / "network.keras")
    export_saved_model(folder / "network.keras", folder / "ar3d", describe(NAMES, SHAPE))
    ports = free_port(), free_port()
    rest = f"http://127.0.0.1:{ports[1]}/v1/models/ar3d"
    log = folder / "log"
    with running(command(binary if real else None, folder / "ar3d", *ports), log) as process:
        wait_for(rest, process, log)
        yield Server(f"127.0.0.1:{ports[0]}", rest, model, real)


def command(binary: str | None, base: Path, grpc_port: int, rest_port: int) -> list:
    if binary is None:
        return [sys.executable, ROOT / "tests/serving/stand_in.py", base, "ar3d",
                str(grpc_port), str(rest_port)]  # fmt: skip
    batching = ["--enable_batching", "--batching_parameters_file"]
    if binary == "docker":
        return ["docker", "run", "--rm", "-p", f"{grpc_port}:8500", "-p", f"{rest_port}:8501",
                "-v", f"{base}:/models/ar3d:ro", "-v", f"{EXAMPLES}:/examples:ro",
                "-e", "MODEL_NAME=ar3d", "tensorflow/serving",
                *batching[:1], f"{batching[1]}=/examples/batching.config"]  # fmt: skip
    return [binary, f"--port={grpc_port}", f"--rest_api_port={rest_port}", "--model_name=ar3d",
            f"--model_base_path={base}", batching[0],
            f"{batching[1]}={EXAMPLES / 'batching.config'}"]  # fmt: skip


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


def client(name: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True,
    )  # fmt: skip


def test_grpc_answers_like_keras(server, clips):
    answer = server.predict("serving_default", {"clip": clips})
    expected = server.model.predict_on_batch(clips)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    best = [NAMES[place].encode() for place in expected.argmax(1)]
    assert answer["top_classes"][:, 0].tolist() == best
    maps = server.predict("attention", {"clip": clips})["attention"]
    expected = attention_network(server.model).predict_on_batch(clips)["attention"]
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_rest_answers_like_grpc(server, clips):
    rows = server.post({"instances": [{"clip": clip.tolist()} for clip in clips]})
    columns = server.post({"inputs": {"clip": clips.tolist()}})
    expected = server.predict("serving_default", {"clip": clips})
    for found in (rows.json()["predictions"][2]["probabilities"],
                  columns.json()["outputs"]["probabilities"][2]):  # fmt: skip
        np.testing.assert_allclose(found, expected["probabilities"][2], atol=1e-6)
    assert rows.json()["predictions"][0]["classes"] == list(NAMES)


def test_jpegs_over_rest_are_the_ones_over_grpc(server, clips):
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


def test_a_wrong_request_is_told_what_is_wrong_and_the_server_lives(server, clips):
    wrong = server.post({"instances": [{"clip": clips[0, :2].tolist()}]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]
    with pytest.raises(grpc.RpcError) as caught:
        server.predict("nonsense", {"clip": clips})
    assert "nonsense" in caught.value.details()
    assert server.predict("serving_default", {"clip": clips})["probabilities"].shape == (3, 4)


@pytest.mark.parametrize("frames", [3, 20])
def test_the_clients_answer_like_evaluation(server, write_video, tmp_path, frames):
    video = write_video(tmp_path / "v.avi", frames=frames)
    view = uniform_clip(count_frames(video), SHAPE, clips=1, crops=1, index=0)
    clip = read_frames(
        video,
        view.window,
        (20, 24),
        crop=(slice(view.top, view.top + 16), slice(view.left, view.left + 16)),
    )
    expected = server.model.predict_on_batch(clip[np.newaxis])[0]
    size = "--stride", 2, "--resize", 20, 24
    over_grpc = client("grpc_client.py", video, "--server", server.grpc, *size)
    over_rest = client("rest_client.py", video, "--url", server.rest, *size)
    for done, tolerance in ((over_grpc, 0.051), (over_rest, 2)):  # percent; JPEG loses a little
        assert done.returncode == 0, done.stderr
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
def test_the_clients_say_what_is_wrong(server, write_video, tmp_path, name, flag, nowhere):
    (tmp_path / "no.avi").write_bytes(b"no video")
    environment_info = server.grpc if flag == "--server" else server.rest
    for video, where, said in (
        (tmp_path / "no.avi", environment_info, f"error: {tmp_path / 'no.avi'} is no video"),
        (write_video(tmp_path / "v.avi"), nowhere, "error: "),
    ):
        done = client(name, video, flag, where)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(said)  # TensorFlow may have said more
        assert "Traceback" not in done.stderr


def test_the_example_configuration_is_one_that_the_server_reads():
    config = text_format.Parse(
        (EXAMPLES / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    (model,) = config.model_config_list.config
    assert model.base_path == "/models/ar3d"
    assert set(model.version_labels.values()) <= set(model.model_version_policy.specific.versions)
