"""Sends a video to TensorFlow Serving over REST and prints the likeliest classes.

    python rest_client.py VIDEO                                  # http://localhost:8501, model ar3d
    python rest_client.py VIDEO --url http://host:8501/v1/models/ar3d/versions/2

The client reads from the server which frames the model needs, and sends these as JPEG: sixteen
frames are 0.2 MB of base64; the same clip as a list of numbers would be 3 MB. It needs requests,
opencv-python and video.py, but not ar3d_keras.
"""

import argparse
import base64
import json
from typing import Any

import cv2
import requests
from video import center_frames

TIMEOUT = 30  # seconds


def main() -> None:
    """Prints the five likeliest classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("--url", default="http://localhost:8501/v1/models/ar3d")
    options = parser.parse_args()

    # A signature with a single output answers without the name of the output.
    (preprocessor,) = predict(options.url, "preprocessor", [""])
    frames = center_frames(options.video, json.loads(preprocessor)["clip_shape"])
    jpegs = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1] for frame in frames]
    clip = [{"b64": base64.b64encode(jpeg.tobytes()).decode()} for jpeg in jpegs]
    (answer,) = predict(options.url, "jpeg", [{"jpeg_bytes": clip}])
    if answer["error"]:  # the other clips of a request are not affected
        raise SystemExit(f"error: {answer['error']}")
    for name, share in zip(answer["top_classes"], answer["top_probabilities"], strict=True):
        print(f"{100 * share:5.1f} %  {name}")


def predict(url: str, signature: str, instances: list) -> list[Any]:
    """Returns the predictions of a signature; exits with a message if the server reports an error."""
    body = {"signature_name": signature, "instances": instances}
    try:
        response = requests.post(f"{url}:predict", json=body, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise SystemExit(f"error: no answer from {url}: {error}") from None
    if not response.ok:
        raise SystemExit(f"error: {url}: {response.text}")
    return response.json()["predictions"]


if __name__ == "__main__":
    main()
