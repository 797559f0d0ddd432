"""A server with TensorFlow Serving's REST and gRPC, for machines without TensorFlow Serving.

It follows the description of the REST API (tensorflow.org/tfx/serving/api_rest), the protos of
tensorflow-serving-api, and the server's checks and status codes: predict_util.cc, json_tensor.cc and
http_rest_api_handler.cc in tensorflow/serving. It serves the highest version, without batching.
"""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import any_pb2, json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class RequestError(Exception):
    """A request that the server refuses: the gRPC status code and the message."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


# https://cloud.google.com/apis/design/errors
HTTP_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
}
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Servable:
    """The highest version of a model, called by the names of its signatures.

    Attributes:
        labels: version labels, as in a model configuration file.
    """

    def __init__(self, base: Path, name: str, labels: Mapping[str, int] | None = None):
        self.labels = dict(labels or {})
        self.version = max(int(path.name) for path in base.iterdir() if path.name.isdigit())
        folder = base / str(self.version)
        self.name, self.model = name, tf.saved_model.load(folder)
        content = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        self.definitions = {
            key: definition
            for key, definition in content.meta_graphs[0].signature_def.items()
            if not key.startswith("__")
        }

    def metadata(self) -> get_model_metadata_pb2.GetModelMetadataResponse:
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = self.name
        answer.model_spec.version.value = self.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, definition in self.definitions.items():
            signatures.signature_def[key].CopyFrom(definition)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        answer.metadata["signature_def"].CopyFrom(packed)
        return answer

    def check_version(self, name: str, version: int = 0, label: str = "") -> None:
        """Refuses a model, version or label that is not served."""
        served = self.labels.get(label) if label else version or self.version
        if name != self.name or served != self.version:
            wanted = (
                f"Specific({name}, {version or label})" if version or label else f"Latest({name})"
            )
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}"
            )

    def predict(self, signature: str, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Runs a signature. The types must be those of the signature; nothing is cast."""
        if signature not in self.definitions:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{signature}" not found.',
            )
        wanted = self.definitions[signature].inputs
        if wanted.keys() != inputs.keys():
            raise RequestError(
                INVALID, f"input size does not match signature: {sorted(inputs)} {sorted(wanted)}"
            )
        for name, value in inputs.items():
            if value.dtype != wanted[name].dtype:
                expected = tf.as_dtype(wanted[name].dtype).name
                raise RequestError(
                    INVALID, f"Expects {name} to be {expected} but {value.dtype.name} is provided"
                )
        try:
            return self.model.signatures[signature](**inputs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise RequestError(INVALID, str(error)) from None


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable: Servable):
        self.servable = servable

    def GetModelMetadata(self, request, context):  # noqa: N802
        return self.servable.metadata()

    def Predict(self, request, context):  # noqa: N802
        spec = request.model_spec
        inputs = {
            name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()
        }
        try:
            self.servable.check_version(spec.name, spec.version.value, spec.version_label)
            found = self.servable.predict(spec.signature_name or "serving_default", inputs)
        except RequestError as error:
            context.abort(error.code, str(error))
        answer = predict_pb2.PredictResponse()
        for name, value in found.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return answer


PATH = re.compile(
    r"(?i)/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:predict|/metadata)?"
)


def rest(servable: Servable):
    class Rest(BaseHTTPRequestHandler):
        def do_GET(self):
            def status():
                what = self.served()
                if what == "/metadata":
                    return json_format.MessageToDict(
                        servable.metadata(), preserving_proto_field_name=True,
                        always_print_fields_with_no_presence=True,
                    )  # fmt: skip
                if what:
                    raise self.malformed()
                state = {"version": str(servable.version), "state": "AVAILABLE"}
                return {"model_version_status": [state]}

            self.answer(status)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))

            def prediction():
                if self.served() != ":predict":
                    raise self.malformed()
                return answered(servable, body)

            self.answer(prediction)

        def served(self) -> str:
            """What the path asks of the served version: `:predict`, `/metadata` or its status."""
            if not (found := PATH.fullmatch(self.path)):
                raise self.malformed()
            name, version, label, what = found.groups()
            servable.check_version(name, int(version or 0), label or "")
            return what or ""

        def malformed(self) -> RequestError:
            return RequestError(INVALID, f"Malformed request: {self.command} {self.path}")

        def answer(self, respond: Callable[[], dict]):
            try:
                self.reply(respond())
            except RequestError as error:
                self.reply({"error": str(error)}, HTTP_STATUS[error.code])

        def reply(self, content: dict, status: int = 200):
            written = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(written)))
            self.end_headers()
            self.wfile.write(written)

        def log_message(self, *_):
            pass

    return Rest


def answered(servable: Servable, text: bytes) -> dict:
    """The response to a predict request in row or in columnar format."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise RequestError(INVALID, f"JSON Parse error: {error}") from None
    rows = body.get("instances")
    if rows is None:
        if "inputs" not in body:
            raise RequestError(INVALID, "Missing 'inputs' or 'instances' key")
        columns = body["inputs"]
    elif rows and isinstance(rows[0], dict) and "b64" not in rows[0]:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = rows
    signature = body.get("signature_name", "serving_default")
    if signature not in servable.definitions:
        raise RequestError(
            INVALID, f'Serving signature name: "{signature}" not found in signature def'
        )
    if not isinstance(columns, dict):  # the only input needs no name
        (name,) = servable.definitions[signature].inputs
        columns = {name: columns}
    wanted = servable.definitions[signature].inputs
    inputs = {
        name: tensor(value, tf.as_dtype(wanted[name].dtype)) if name in wanted else tf.constant(0)
        for name, value in columns.items()
    }
    found = servable.predict(signature, inputs)
    columns = {name: plain(value.numpy()) for name, value in found.items()}
    if len(columns) == 1:  # TensorFlow Serving leaves out the name of a single output
        (values,) = columns.values()
        return {"outputs" if rows is None else "predictions": values}
    if rows is None:
        return {"outputs": columns}
    return {
        "predictions": [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    }


def tensor(value, dtype: tf.DType) -> tf.Tensor:
    """JSON as a tensor. Numbers of another kind are refused; integers are not checked for range."""
    try:
        array = np.array(unpacked(value), object if dtype == tf.string else None)
    except ValueError as error:
        raise RequestError(INVALID, f"Encountered lists of different lengths: {error}") from None
    if dtype == tf.string:
        good = all(isinstance(item, str | bytes) for item in array.flat)
    else:
        good = array.dtype.kind in ("iu" if dtype.is_integer else "iuf")
        array = array.astype(dtype.as_numpy_dtype) if good else array
    if not good:
        raise RequestError(INVALID, f"JSON value is not of expected type: {dtype.name}")
    return tf.constant(array, dtype)


def unpacked(value):
    """Nested lists, with the bytes in the place of {"b64": ...}."""
    if isinstance(value, list):
        return [unpacked(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return value


def plain(values: np.ndarray):
    """As JSON has it: strings are UTF-8."""
    if values.dtype == object:
        values = np.vectorize(bytes.decode, otypes=[object])(values)
    return values.tolist()


@contextlib.contextmanager
def serving(
    base: Path, name: str, labels: Mapping[str, int] | None = None
) -> Iterator[tuple[int, int]]:
    """Serves the versions in `base` from threads of this process; yields the ports, gRPC and REST."""
    servable = Servable(base, name, labels)
    server = grpc.server(
        futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Grpc(servable), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), rest(servable))
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield port, http.server_port
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
        server.stop(None).wait()
