"""Sends a video to TensorFlow Serving over gRPC and prints the likeliest classes.

    python grpc_client.py VIDEO                                  # localhost:8500, model ar3d
    python grpc_client.py VIDEO --server host:8500 --version 2

The client reads from the server which frames the model needs, sends these uncompressed (sixteen
frames of 128x171 are 1 MB), and the server crops them. It needs tensorflow-serving-api,
opencv-python and video.py, but not ar3d_keras.
"""

import argparse
import json

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from video import center_frames

TIMEOUT = 30  # seconds


def main() -> None:
    """Prints the five likeliest classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("--server", default="localhost:8500")
    parser.add_argument("--model", default="ar3d")
    parser.add_argument("--version", type=int, help="default: the latest")
    options = parser.parse_args()

    def predict(signature: str, name: str, value: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs of a signature for its input `name`."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = options.model
        request.model_spec.signature_name = signature
        if options.version:
            request.model_spec.version.value = options.version
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        outputs = server.Predict(request, TIMEOUT).outputs
        return {key: tf.make_ndarray(output) for key, output in outputs.items()}

    # gRPC limits what a client receives to 4 MB, not what it sends. Only attention maps need more.
    with grpc.insecure_channel(options.server) as channel:
        server = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            preprocessor = json.loads(predict("preprocessor", "unused", np.array([b""]))["json"][0])
            frames = center_frames(options.video, preprocessor["clip_shape"])
            rgb = np.stack(frames)[np.newaxis, ..., ::-1]  # OpenCV's order is BGR
            outputs = predict("frames", "frames", rgb)
        except grpc.RpcError as error:
            raise SystemExit(f"error: {options.server}: {error.details()}") from None
    for name, share in zip(outputs["top_classes"][0], outputs["top_probabilities"][0], strict=True):
        print(f"{100 * share:5.1f} %  {name.decode()}")


if __name__ == "__main__":
    main()
