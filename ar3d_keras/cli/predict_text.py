"""Predictions as text: the likeliest classes with bars, the timeline, and a line for each live window."""

import sys
from collections.abc import Sequence
from datetime import datetime

from ar3d_keras.console import Console
from ar3d_keras.inference.bouts import BoutOptions
from ar3d_keras.inference.calibration import NONE_OF_THESE
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.live import LivePrediction
from ar3d_keras.inference.predictor import Prediction, is_accepted, likeliest, merged

BLOCKS = "▏▎▍▌▋▊▉█"


def log_predictions(predictions: Sequence[Prediction], bouts: BoutOptions) -> None:
    """Prints each video with its likeliest classes and its timeline."""
    out = Console()
    for prediction in predictions:
        if prediction.failure:
            continue
        out.log(prediction.path)
        for name, share in prediction.top():
            out.log(f"  {share:6.1%}  {_bar(share)}  {name}")
        _log_calibrated(prediction, out)
        if prediction.segments:
            out.log("")
        for start, end, name, share in merged(prediction, bouts):
            out.log(f"  {_clock(start)} - {_clock(end)}  {share:6.1%}  {name}")


def _log_calibrated(prediction: Prediction, out: Console) -> None:
    """Prints the calibrated probability of the likeliest class where a threshold is applied to it."""
    if prediction.accepted is None:
        return
    assert prediction.calibrated is not None and prediction.probabilities is not None
    share = prediction.calibrated[prediction.probabilities.argmax()]
    out.log(f"  {share:6.1%}  calibrated, for {prediction.top(1)[0][0]}")
    if not prediction.accepted:
        out.log(f"  -> {NONE_OF_THESE}: that is too uncertain")


def log_live(prediction: LivePrediction, classifier: Classifier) -> None:
    """Prints the time of day, the likeliest class of a window and the rate of the frames."""
    [(name, share)] = likeliest(classifier.class_names, prediction.probabilities, 1)
    accepted = is_accepted(classifier.calibration, classifier.class_names, prediction.probabilities)
    name = f"{NONE_OF_THESE} ({name})" if accepted is False else name
    rate = f"{prediction.rate:5.1f} frames/s" if prediction.rate else " " * 14
    Console().log(f"{datetime.now():%H:%M:%S}  {share:6.1%}  {_bar(share)}  {rate}  {name}")


def _bar(share: float, width: int = 20) -> str:
    """Returns a bar of blocks with a resolution of an eighth, padded to `width`.

    If standard output cannot encode blocks, the bar is made of "#".
    """
    try:
        BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return ("#" * round(share * width)).ljust(width)
    whole, eighths = divmod(round(share * width * 8), 8)
    return (BLOCKS[-1] * whole + (BLOCKS[eighths - 1] if eighths else "")).ljust(width)


def _clock(seconds: float) -> str:
    """Formats a time as h:mm:ss, with tenths of a second if they are not 0."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    clock = f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
    return clock + (f".{rest % 10}" if rest % 10 else "")
