"""A server with TensorFlow Serving's REST and gRPC, for machines without TensorFlow Serving.

It follows the description of the REST API (tensorflow.org/tfx/serving/api_rest) and the protos of
tensorflow-serving-api. It serves the highest version of a model, without batching.
"""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
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


class Servable:
    """The highest version of a model, called by the names of its signatures."""

    def __init__(self, base: Path, name: str):
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

    def predict(self, signature: str, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if signature not in self.definitions:
            raise ValueError(f'Serving signature name: "{signature}" not found in signature def')
        wanted = self.definitions[signature].inputs
        if wanted.keys() != inputs.keys():
            raise ValueError(f"input must be {sorted(wanted)}, not {sorted(inputs)}")
        cast = {
            name: tf.cast(value, wanted[name].dtype) if value.dtype != tf.string else value
            for name, value in inputs.items()
        }
        return self.model.signatures[signature](**cast)


class Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable: Servable):
        self.servable = servable

    def GetModelMetadata(self, request, context):  # noqa: N802
        return self.servable.metadata()

    def Predict(self, request, context):  # noqa: N802
        spec = request.model_spec
        if spec.name != self.servable.name or spec.version.value not in (0, self.servable.version):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec}")
        inputs = {
            name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()
        }
        try:
            found = self.servable.predict(spec.signature_name or "serving_default", inputs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        answer = predict_pb2.PredictResponse()
        for name, value in found.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return answer


def rest(servable: Servable):
    class Rest(BaseHTTPRequestHandler):
        root = f"/v1/models/{servable.name}"

        def do_GET(self):
            if self.path == self.root:
                self.reply({"model_version_status": [{"state": "AVAILABLE"}]})
            elif self.path == f"{self.root}/metadata":
                self.reply(json_format.MessageToDict(
                    servable.metadata(), preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                ))  # fmt: skip
            else:
                self.reply({"error": f"Malformed request: GET {self.path}"}, 404)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != f"{self.root}:predict":
                self.reply({"error": f"Servable not found for request: {self.path}"}, 404)
                return
            try:
                self.reply(answered(servable, body))
            except (ValueError, TypeError, tf.errors.OpError) as error:
                self.reply({"error": str(error)}, 400)

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


def answered(servable: Servable, body: dict) -> dict:
    """The response to a predict request in row or in columnar format."""
    rows = body.get("instances")
    if rows is None:
        columns = body["inputs"]
    elif rows and isinstance(rows[0], dict) and "b64" not in rows[0]:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = rows
    signature = body.get("signature_name", "serving_default")
    if not isinstance(columns, dict):  # the only input needs no name
        (name,) = servable.definitions[signature].inputs
        columns = {name: columns}
    inputs = {name: tf.constant(unpacked(value)) for name, value in columns.items()}
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
def serving(base: Path, name: str) -> Iterator[tuple[int, int]]:
    """Serves the versions in `base` from threads of this process; yields the ports, gRPC and REST."""
    servable = Servable(base, name)
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
