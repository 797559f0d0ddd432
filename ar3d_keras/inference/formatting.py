"""Predictions as one JSON document, one CSV table, or a file for an annotation tool."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.atomic import csv_text
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction, likeliest, merged
from ar3d_keras.labels.boris import as_project
from ar3d_keras.labels.label import Label, Media
from ar3d_keras.labels.label_studio import as_predictions
from ar3d_keras.labels.webvtt import as_webvtt
from ar3d_keras.videos.reader import rate_of


def as_json(
    classifier: Classifier, predictions: Sequence[Prediction], *, settings: Mapping[str, Any]
) -> bytes:
    r"""Formats predictions as one JSON object in UTF-8.

    Its keys are `model`, those of `settings`, `classes` (the class names), `videos` and `failures`.
    Probabilities are float32 with every digit. Each byte of a path that is not UTF-8 becomes
    \udcNN; Python's json and os.fsencode turn it back into the byte.

    Args:
        classifier: the network that made the predictions.
        predictions: in the order of the output.
        settings: of the prediction, such as its protocol; anything that JSON can hold.
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
    assert prediction.probabilities is not None
    entry: dict[str, Any] = {"path": prediction.path}
    entry |= _classes(prediction.class_names, prediction.probabilities)
    if prediction.segments:
        entry["windows"] = [
            {"start": _seconds(segment.start), "end": _seconds(segment.end)}
            | _classes(prediction.class_names, segment.probabilities)
            for segment in prediction.segments
        ]
    return entry


def _classes(class_names: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    return {
        "top": [
            {"class": name, "probability": probability}
            for name, probability in likeliest(class_names, probabilities)
        ],
        "probabilities": probabilities.tolist(),
    }


def _seconds(time: float) -> float:
    return round(time, 3)


def as_csv(predictions: Sequence[Prediction]) -> bytes:
    """Formats predictions as CSV: one row for each of the five likeliest classes.

    A video has five rows, or five rows for each of its windows. The columns are path, start and end
    (seconds; empty where the video was predicted as a whole), rank, class and probability. The
    text is UTF-8; a path that is not UTF-8 keeps its bytes.
    """
    rows: list[tuple] = []
    for p in predictions:
        if p.probabilities is None:
            continue
        outputs: list[tuple] = [
            (_seconds(segment.start), _seconds(segment.end), segment.probabilities)
            for segment in p.segments
        ]
        for start, end, probabilities in outputs or [("", "", p.probabilities)]:
            top = likeliest(p.class_names, probabilities)
            rows += [
                (p.path, start, end, rank, name, probability)
                for rank, (name, probability) in enumerate(top, start=1)
            ]
    header = ["path", "start", "end", "rank", "class", "probability"]
    return csv_text(header, rows).encode("utf-8", "surrogateescape")


def as_labels(form: str, predictions: Sequence[Prediction], root: Path) -> bytes:
    """Formats the timelines of predictions for a tool in which a person corrects them.

    Adjoining windows of the same likeliest class are one stretch, with their mean probability.

    Args:
        form: "boris" (a project), "label-studio" (predictions) or "vtt" (WebVTT, of one video).
        predictions: with segments.
        root: the folder that their paths are relative to.
    """
    predictions = [prediction for prediction in predictions if not prediction.failure]
    labels = [
        Label(prediction.path, name, round(start, 3), round(end, 3), score=score)
        for prediction in predictions
        for start, end, name, score in merged(prediction)
    ]
    if form == "vtt":
        return as_webvtt(labels)
    media = {
        each.path: Media(rate_of(root / each.path), each.segments[-1].end) for each in predictions
    }
    if form == "boris":
        now = datetime.datetime.now().isoformat(timespec="seconds")
        return as_project(labels, media, date=now)
    return as_predictions(labels, media)
