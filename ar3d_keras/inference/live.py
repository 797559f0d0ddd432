"""Predicts the last seconds of a camera again and again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import check_finite, predict_batches
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.timeline import check_window_memory, clips_of
from ar3d_keras.videos.camera import Camera
from ar3d_keras.videos.sampling import frames_at, full_span

MOST_FASTER = 2  # so many times its measured rate a camera may have without losing frames


@dataclass(frozen=True)
class LivePrediction:
    """The prediction for the newest window of a camera.

    Attributes:
        probabilities: float32 (classes,), the mean over the clips of the window.
        frames: number of frames in the window.
        rate: frames a second that arrived since the prediction before; 0 for the first.
    """

    probabilities: np.ndarray
    frames: int
    rate: float


def watch(
    classifier: Classifier,
    camera: Camera,
    *,
    seconds: float | None = None,
    hop: float | None = None,
    clips: int = 1,
    crops: int = 1,
    batch_size: int | None = None,
) -> Iterator[LivePrediction]:
    """Predicts the newest frames of a camera until its stream ends.

    A prediction is always about the newest window. Frames that arrive while the network computes
    belong to the next window if they are still among the newest, and are dropped otherwise.

    Args:
        classifier: the network, its class names and its clip geometry.
        camera: an open camera.
        seconds: length of a window, at the camera's frame rate; None: the span of a clip at its
            widest stride (68 frames with the paper's sizes). If the clips have a frame rate of
            their own (`fps`), their frames are chosen by time stamps, see `camera.Latest`.
        hop: seconds from the start of one window to the start of the next; None: windows follow
            each other. A network that is slower predicts as often as it can.
        clips: clips of a window.
        crops: crops of a clip, 1 or 3.
        batch_size: clips a step; None: all clips of a window.

    Raises:
        UserError: a window would not fit into memory, an option is out of range, the camera is lost
            and does not come back, or the stream ended before its first frame.
    """
    check_options(
        clips=clips,
        crops=crops,
        batch_size=batch_size,
        window_seconds=seconds,
        hop_seconds=hop,
        live=True,
    )
    shape, frame_rate = classifier.shape, camera.rate
    batch_size, size = batch_size or clips * crops, (shape.resize_height, shape.resize_width)
    length = max(1, round(seconds * frame_rate) if seconds else full_span(shape))
    step = max(1, round(hop * frame_rate)) if hop else length
    span, most = None, length
    if shape.fps:
        span = seconds or full_span(shape) / shape.fps
        most = max(1, round(MOST_FASTER * span * frame_rate))
    check_window_memory(most / frame_rate, most, shape)
    camera.hold(most, size, shape.roi, span)
    seen, time, wanted = 0, 0.0, 1 if span else length
    # The newest frame is shown for a period, with which the window ends.
    period = 1 / frame_rate
    stamp = span - 1.5 * period if span else 0.0
    while latest := camera.latest(wanted, seen=seen, stamp=stamp):
        frames = list(latest.frames)
        if span and shape.fps:
            end = latest.stamps[-1] + period
            begin = max(end - span, latest.stamps[0])
            times = np.subtract(latest.stamps, begin)
            frames = [frames[n] for n in frames_at(times, end - begin, shape.fps)]
        window = np.stack(list(clips_of(frames, shape, clips=clips, crops=crops)))
        parts = (window[at : at + batch_size] for at in range(0, len(window), batch_size))
        batches = ((part, np.full(len(part), -1)) for part in parts)
        outputs, _, _ = predict_batches(classifier.network, batches, batch_size)
        check_finite(outputs, camera.name)
        passed = latest.time - time if seen else 0
        rate = (latest.number - seen) / passed if passed else 0
        yield LivePrediction(outputs.mean(axis=0), len(latest.frames), rate)
        seen, time = latest.number, latest.time
        wanted, stamp = seen + (1 if span else step), 0.0
        if span:
            stamp = latest.stamps[-1] + (hop or span) - period / 2
    if not seen:
        raise UserError(
            f"`camera` {camera.name} ended before its first frame: if it is a file, give it as PATH"
        )
