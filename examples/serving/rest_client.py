"""Ask a TensorFlow Serving server what happens in a video, over REST.

    python rest_client.py VIDEO                                  # http://localhost:8501, model ar3d
    python rest_client.py VIDEO --url http://host:8501/v1/models/ar3d/versions/2

Sixteen JPEG frames travel, 0.2 MB as base64; the same clip as a list of numbers would be 3 MB.
Needs requests, opencv-python and video.py, nothing of ar3d_keras.
"""

import argparse
import base64

import cv2
import requests
from video import centre_frames

TIMEOUT = 30  # seconds


def main() -> None:
    """Prints the five likeliest classes."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("video")
    options.add_argument("--url", default="http://localhost:8501/v1/models/ar3d")
    options.add_argument("--stride", type=int, default=4, help="of the run (default: 4)")
    options.add_argument(
        "--resize", type=int, nargs=2, default=(128, 171), metavar=("HEIGHT", "WIDTH"),
        help="of the run (default: 128 171)",
    )  # fmt: skip
    options = options.parse_args()

    frames = centre_frames(
        options.video, clip_frames(options.url), options.stride, tuple(options.resize)
    )
    jpegs = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1] for frame in frames]
    clip = [{"b64": base64.b64encode(jpeg.tobytes()).decode()} for jpeg in jpegs]
    (answer,) = ask(
        "POST",
        f"{options.url}:predict",
        {"signature_name": "jpeg", "instances": [{"jpeg_bytes": clip}]},
    )["predictions"]
    if answer["error"]:  # of this clip alone; others in the batch are not touched
        raise SystemExit(f"error: {answer['error']}")
    for name, share in zip(answer["top_classes"], answer["top_probabilities"], strict=True):
        print(f"{100 * share:5.1f} %  {name}")


def clip_frames(url: str) -> int:
    """How many frames the model's clips have, from its metadata."""
    metadata = ask("GET", f"{url}/metadata")["metadata"]["signature_def"]["signature_def"]
    shape = metadata["serving_default"]["inputs"]["clip"]["tensor_shape"]["dim"]
    return int(shape[1]["size"])


def ask(verb: str, url: str, body: dict | None = None) -> dict:
    """The server's answer as JSON; its errors become ours."""
    try:
        response = requests.request(verb, url, json=body, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise SystemExit(f"error: no answer from {url}: {error}") from None
    if not response.ok:
        raise SystemExit(f"error: {url}: {response.text}")
    return response.json()


if __name__ == "__main__":
    main()
