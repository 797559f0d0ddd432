"""What a network says of a camera's last seconds, again and again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import check_finite, predict_batches
from ar3d_keras.inference.limits import check_options
from ar3d_keras.inference.timeline import check_window_memory, clips_of
from ar3d_keras.videos.camera import Camera
from ar3d_keras.videos.sampling import full_span


@dataclass(frozen=True)
class Sighting:
    """What a network said of the newest window of a camera.

    Attributes:
        probabilities: float32 (classes,), averaged over the window's views.
        frames: in the window.
        rate: frames a second that came since the sighting before.
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
) -> Iterator[Sighting]:
    """Looks at the newest frames of a camera until its stream ends.

    What comes while the network works is looked at next where it is still among the newest, and
    dropped otherwise: an answer is never about an old picture.

    Args:
        classifier: the network, its classes and its clips.
        camera: open.
        seconds: of the window, by the camera's own rate; None: what a clip spans at its widest
            stride (68 frames of the paper's).
        hop: seconds from a window to the next; None: one follows the other. A network that is
            slower than that answers as often as it can.
        clips: clips a window.
        crops: crops a clip, 1 or 3.
        batch_size: clips a step; None: all of a window.

    Raises:
        UserError: a window would fill the memory, a number cannot be meant, or the stream ended
            before anything of it was seen.
    """
    check_options(
        clips=clips,
        crops=crops,
        batch_size=batch_size,
        window_seconds=seconds,
        hop_seconds=hop,
        live=True,
    )
    shape = classifier.shape
    length = round(seconds * camera.rate) if seconds else full_span(shape)
    length = max(1, length)
    check_window_memory(length / camera.rate, length, shape)
    step = max(1, round(hop * camera.rate)) if hop else length
    batch_size = batch_size or clips * crops
    camera.hold(length, (shape.resize_height, shape.resize_width))
    seen, time, wanted = 0, None, length
    while latest := camera.latest(wanted, seen=seen):
        views = np.stack(list(clips_of(latest.frames, shape, clips=clips, crops=crops)))
        batches = (
            (views[place : place + batch_size], np.full(len(views[place : place + batch_size]), -1))
            for place in range(0, len(views), batch_size)
        )
        said, _, _ = predict_batches(classifier.network, batches, batch_size)
        check_finite(said, camera.name)
        passed = latest.time - time if time else 0
        yield Sighting(
            said.mean(axis=0), len(latest.frames), (latest.number - seen) / passed if passed else 0
        )
        seen, time = latest.number, latest.time
        wanted = seen + step
    if not seen:
        raise UserError(
            f"--camera {camera.name} ended before anything of it was seen: is it a file? Then give "
            "it as PATH"
        )
