"""Predictions as one JSON document, or one CSV table, for the program that reads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ar3d_keras.atomic import csv_text
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction, likeliest


def as_json(
    classifier: Classifier, predictions: Sequence[Prediction], *, settings: Mapping[str, Any]
) -> bytes:
    r"""One object, UTF-8: `model`, `settings`, `class_names`, `videos` and `failures`.

    Probabilities are float32, with every digit. A path that is no UTF-8
    has \udcNN for each byte that is none, which Python's json and os.fsencode read back.
    """
    document = {
        "model": classifier.origin,
        **settings,
        "classes": classifier.class_names,
        "videos": [_video(p) for p in predictions if not p.failure],
        "failures": [{"path": p.path, "reason": p.failure} for p in predictions if p.failure],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _video(prediction: Prediction) -> dict[str, Any]:
    said = {"path": prediction.path, **_said(prediction.class_names, prediction.probabilities)}
    if prediction.segments:
        said["windows"] = [
            {"start": _seconds(segment.start), "end": _seconds(segment.end)}
            | _said(prediction.class_names, segment.probabilities)
            for segment in prediction.segments
        ]
    return said


def _said(class_names: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    return {
        "top": [
            {"class": name, "probability": share}
            for name, share in likeliest(class_names, probabilities)
        ],
        "probabilities": probabilities.tolist(),
    }


def _seconds(time: float) -> float:
    return round(time, 3)


def as_csv(predictions: Sequence[Prediction]) -> bytes:
    """A row for each of the five likeliest classes of a video, or of each of its windows.

    The columns are path, start and end (seconds; empty where the video was looked at as a whole),
    rank, class, probability; in UTF-8, but a path that is none keeps its bytes.
    """
    rows = []
    for p in predictions:
        said = [(_seconds(m.start), _seconds(m.end), m.probabilities) for m in p.segments]
        if not p.failure:
            for start, end, probabilities in said or [("", "", p.probabilities)]:
                for rank, (name, share) in enumerate(
                    likeliest(p.class_names, probabilities), start=1
                ):
                    rows.append((p.path, start, end, rank, name, share))
    header = ["path", "start", "end", "rank", "class", "probability"]
    return csv_text(header, rows).encode("utf-8", "surrogateescape")
