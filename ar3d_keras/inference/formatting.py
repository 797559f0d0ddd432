"""Predictions as one JSON document, one CSV table, or a file for an annotation tool."""

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.atomic import csv_text
from ar3d_keras.inference.bouts import BoutOptions
from ar3d_keras.inference.calibration import NONE_OF_THESE
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction, is_accepted, likeliest, merged
from ar3d_keras.labels.boris import as_project
from ar3d_keras.labels.label import Label, Media
from ar3d_keras.labels.label_studio import as_predictions
from ar3d_keras.labels.webvtt import as_webvtt
from ar3d_keras.videos.reader import rate_of


def as_json(
    classifier: Classifier,
    predictions: Sequence[Prediction],
    *,
    settings: Mapping[str, Any],
    bouts: BoutOptions | None = None,
) -> bytes:
    r"""Formats predictions as one JSON object in UTF-8.

    Its keys are `model`, `precision`, those of `settings`, `classes` (the class names), `videos` and `failures`.
    Probabilities are float32 with every digit. Each byte of a path that is not UTF-8 becomes
    \udcNN; Python's json and os.fsencode turn it back into the byte.

    A video with windows has `windows` and `timeline`, the stretches that they make.

    If the network has a calibration, it is the key `calibration`, and each video and window has
    `calibrated`, the calibrated probabilities. If that has thresholds, each also has `accepted` and
    `label`: the likeliest class, or "none of these".

    Args:
        classifier: the network that made the predictions.
        predictions: in the order of the output.
        settings: of the prediction, such as its protocol; anything that JSON can hold.
        bouts: how windows become the stretches of `timeline`.
    """
    document = {
        "model": classifier.origin,
        "precision": classifier.precision,
        **settings,
        "classes": classifier.class_names,
        **({"calibration": classifier.calibration.as_json()} if classifier.calibration else {}),
        "videos": [_video(p, bouts) for p in predictions if not p.failure],
        "failures": [{"path": p.path, "reason": p.failure} for p in predictions if p.failure],
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _video(prediction: Prediction, bouts: BoutOptions | None) -> dict[str, Any]:
    assert prediction.probabilities is not None
    entry: dict[str, Any] = {"path": prediction.path}
    entry |= _classes(prediction, prediction.probabilities)
    if prediction.segments:
        entry["windows"] = [
            {"start": _seconds(segment.start), "end": _seconds(segment.end)}
            | _classes(prediction, segment.probabilities)
            for segment in prediction.segments
        ]
        entry["timeline"] = [
            {"start": _seconds(start), "end": _seconds(end), "class": name, "probability": share}
            for start, end, name, share in merged(prediction, bouts)
        ]
    return entry


def _classes(prediction: Prediction, probabilities: np.ndarray) -> dict[str, Any]:
    """The likeliest classes and all probabilities, of the video or of one of its windows."""
    top = likeliest(prediction.class_names, probabilities)
    entry: dict[str, Any] = {
        "top": [{"class": name, "probability": probability} for name, probability in top],
        "probabilities": probabilities.tolist(),
    }
    if prediction.calibration is not None:
        entry["calibrated"] = prediction.calibration.calibrate(probabilities).tolist()
    accepted = is_accepted(prediction.calibration, prediction.class_names, probabilities)
    if accepted is not None:
        entry |= {"accepted": accepted, "label": top[0][0] if accepted else NONE_OF_THESE}
    return entry


def _seconds(time: float) -> float:
    return round(time, 3)


def as_csv(predictions: Sequence[Prediction], precision: str = "float32") -> bytes:
    """Formats predictions as CSV: one row for each of the five likeliest classes.

    A video has five rows, or five rows for each of its windows. The columns are path, start and end
    (seconds; empty where the video was predicted as a whole), rank, class and probability. If the
    network has a calibration, `calibrated` follows, the calibrated probability of the class, and
    with thresholds `accepted`: 1, or 0 where the likeliest class is rejected. A network that
    does not compute in float32 adds the column `precision`. The text is UTF-8; a path that is not
    UTF-8 keeps its bytes.
    """
    rows: list[tuple] = []
    calibration = next((p.calibration for p in predictions if p.calibration), None)
    header = ["path", "start", "end", "rank", "class", "probability"]
    if calibration is not None:
        header += ["calibrated"] if calibration.thresholds is None else ["calibrated", "accepted"]
    for p in predictions:
        if p.probabilities is None:
            continue
        outputs: list[tuple] = [
            (_seconds(segment.start), _seconds(segment.end), segment.probabilities)
            for segment in p.segments
        ]
        for start, end, probabilities in outputs or [("", "", p.probabilities)]:
            further = _further_cells(p, probabilities)
            rows += [
                (p.path, start, end, rank, name, probability, *cells)
                for rank, ((name, probability), cells) in enumerate(
                    zip(likeliest(p.class_names, probabilities), further, strict=False), start=1
                )
            ]
    if precision != "float32":
        header, rows = [*header, "precision"], [(*row, precision) for row in rows]
    return csv_text(header, rows).encode("utf-8", "surrogateescape")


def _further_cells(prediction: Prediction, probabilities: np.ndarray) -> list[tuple]:
    """The cells after `probability` for each class, the likeliest first."""
    if prediction.calibration is None:
        return [()] * len(probabilities)
    accepted = is_accepted(prediction.calibration, prediction.class_names, probabilities)
    last = () if accepted is None else (int(accepted),)
    calibrated = prediction.calibration.calibrate(probabilities)
    order = np.argsort(-probabilities, kind="stable")
    return [(float(calibrated[place]), *last) for place in order]


def as_labels(
    form: str, predictions: Sequence[Prediction], root: Path, bouts: BoutOptions | None = None
) -> bytes:
    """Formats the timelines of predictions for a tool in which a person corrects them.

    Adjoining windows of the same likeliest class are one stretch, with their mean probability.

    Args:
        form: "boris" (a project), "label-studio" (predictions) or "vtt" (WebVTT, of one video).
        predictions: with segments.
        root: the folder that their paths are relative to.
        bouts: how windows become stretches; those without a class are left out.
    """
    predictions = [prediction for prediction in predictions if not prediction.failure]
    labels = [
        Label(prediction.file or prediction.path, name, round(start, 3), round(end, 3), score=score)
        for prediction in predictions
        for start, end, name, score in merged(prediction, bouts)
        if name != NONE_OF_THESE
    ]
    if form == "vtt":
        return as_webvtt(labels)
    ends: dict[str, float] = {}
    for each in predictions:
        file = each.file or each.path
        ends[file] = max(ends.get(file, 0.0), each.segments[-1].end)
    media = {file: Media(rate_of(root / file), end) for file, end in ends.items()}
    if form == "boris":
        now = datetime.datetime.now().isoformat(timespec="seconds")
        return as_project(labels, media, date=now)
    return as_predictions(labels, media)
