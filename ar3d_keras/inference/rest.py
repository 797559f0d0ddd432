"""A model behind TensorFlow Serving's REST API, as a Classifier."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier, parse_description
from ar3d_keras.inference.saved_model import SignatureNetwork

TIMEOUT = 60.0  # seconds


class RestNetwork(SignatureNetwork):
    """Calls the signatures of a served model, one clip a request.

    The request of a clip of 16 frames of 112x112 is 2 MB of JSON. Every byte arrives, so the
    outputs are those of the SavedModel.

    Args:
        url: of the model, such as http://localhost:8501/v1/models/ar3d.
        clip_shape: (T, H, W, C).

    Raises:
        UserError: the server does not answer.
    """

    def __init__(self, url: str, clip_shape: tuple[int, ...]):
        self._url = url
        self.has_attention = self._knows_attention(clip_shape)

    def _knows_attention(self, clip_shape: tuple[int, ...]) -> bool:
        """Asks by a call: KServe has no /metadata."""
        try:
            self.attention(np.zeros((1, *clip_shape), np.uint8))
        except _RefusedError:
            return False
        return True

    def _call(self, signature: str, output: str, clips: np.ndarray) -> np.ndarray:
        rows = []
        for clip in clips:
            [answer] = predict(self._url, signature, [{"clip": clip.tolist()}])
            try:
                rows.append(np.array(answer[output], np.float32))
            except (TypeError, KeyError, ValueError):
                raise UserError(f"{self._url}: the answer of {signature} has no {output}") from None
        return np.stack(rows)


class _RefusedError(UserError):
    """The server answered that it does not take the request."""


def from_server(url: str) -> Classifier:
    """Describes the model that a server has; its SavedModel must be one of `ar3d export`.

    Args:
        url: of the model, such as http://localhost:8501/v1/models/ar3d, also with /versions/N.

    Raises:
        UserError: the address is wrong, the server does not answer, or the model is another one.
    """
    url = url.rstrip("/")
    if urlsplit(url).scheme not in ("http", "https") or "/v1/models/" not in url:
        raise UserError(
            f"`server` {url!r} is no model of TensorFlow Serving: give an address such as "
            "http://localhost:8501/v1/models/ar3d"
        )
    [text] = predict(url, "preprocessor", [""])
    try:
        description = parse_description(text)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{url} does not describe its clips ({error}): export its run again"
        ) from None
    return Classifier(
        RestNetwork(url, description.shape.array),
        description.class_names,
        description.shape,
        url,
        batch_size=1,
        calibration=description.calibration,
        precision=description.precision,
    )


def predict(url: str, signature: str, instances: list[Any]) -> list[Any]:
    """The answers of a signature, one for each instance.

    Raises:
        UserError: the server does not answer, or refuses the request.
    """
    body = json.dumps({"signature_name": signature, "instances": instances}).encode()
    request = urllib.request.Request(
        f"{url}:predict", body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            answers = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        raise _RefusedError(f"{url} refuses the request: {_reason(error)}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"no answer from {url} ({getattr(error, 'reason', error)}): check the address, and "
            "that TensorFlow Serving runs there"
        ) from None
    if not isinstance(answers, list) or len(answers) != len(instances):
        raise UserError(f"{url}: the answer of {signature} is none of TensorFlow Serving")
    return answers


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        text = str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError):
        text = str(error.reason)
    return f"{error.code}, {' '.join(text.split())[:300]}"
