"""WebVTT: labels as subtitles of a video. Format: https://www.w3.org/TR/webvtt1/"""

import html
from collections.abc import Sequence

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label


def as_webvtt(labels: Sequence[Label]) -> bytes:
    """Formats the labels of one video with a cue each: the class and its probability.

    Raises:
        UserError: the labels are of several videos, and a WebVTT file is for one.
    """
    if len({label.media for label in labels}) > 1:
        raise UserError("`format` vtt is for one video, but there are several: give one at a time")
    cues = ["WEBVTT\n"]
    for label in labels:
        assert label.start is not None and label.end is not None
        name = html.escape(" ".join(label.name.split()), quote=False)
        score = "" if label.score is None else f" {label.score:.1%}"
        cues.append(f"{_clock(label.start)} --> {_clock(label.end)}\n{name}{score}\n")
    return "\n".join(cues).encode("utf-8", "replace")


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds / 1000:06.3f}"
