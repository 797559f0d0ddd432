"""Ask a TensorFlow Serving server what happens in a video, over gRPC.

    python grpc_client.py VIDEO                                  # localhost:8500, model ar3d
    python grpc_client.py VIDEO --server host:8500 --version 2

The frames travel as they are, 1 MB for sixteen of 128x171, and are cropped by the server. Four such
clips pass gRPC's limit of 4 MB a message, so it is raised here, as it is in the server by default.
Needs tensorflow-serving-api, opencv-python and video.py, nothing of ar3d_keras.
"""

import argparse

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from video import centre_frames

TIMEOUT = 30  # seconds
LARGEST = 64 << 20  # bytes of a message


def main() -> None:
    """Prints the five likeliest classes."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("video")
    options.add_argument("--server", default="localhost:8500")
    options.add_argument("--model", default="ar3d")
    options.add_argument("--version", type=int, help="default: the latest")
    options.add_argument("--stride", type=int, default=4, help="of the run (default: 4)")
    options.add_argument(
        "--resize", type=int, nargs=2, default=(128, 171), metavar=("HEIGHT", "WIDTH"),
        help="of the run (default: 128 171)",
    )  # fmt: skip
    options = options.parse_args()

    limits = [(f"grpc.max_{way}_message_length", LARGEST) for way in ("send", "receive")]
    with grpc.insecure_channel(options.server, options=limits) as channel:
        server = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = options.model
        if options.version:
            request.model_spec.version.value = options.version
        try:
            frames = clip_frames(server, request.model_spec)
            clip = centre_frames(options.video, frames, options.stride, tuple(options.resize))
            rgb = np.stack(clip)[np.newaxis, ..., ::-1]  # OpenCV has blue first
            request.model_spec.signature_name = "frames"
            request.inputs["frames"].CopyFrom(tf.make_tensor_proto(rgb))
            answer = server.Predict(request, TIMEOUT).outputs
        except grpc.RpcError as error:
            raise SystemExit(f"error: {options.server}: {error.details()}") from None
    names, shares = map(tf.make_ndarray, (answer["top_classes"], answer["top_probabilities"]))
    for name, share in zip(names[0], shares[0], strict=True):
        print(f"{100 * share:5.1f} %  {name.decode()}")


def clip_frames(server, model_spec) -> int:
    """How many frames the model's clips have, from its metadata."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.CopyFrom(model_spec)
    found = get_model_metadata_pb2.SignatureDefMap()
    server.GetModelMetadata(request, TIMEOUT).metadata["signature_def"].Unpack(found)
    return found.signature_def["serving_default"].inputs["clip"].tensor_shape.dim[1].size


if __name__ == "__main__":
    main()
