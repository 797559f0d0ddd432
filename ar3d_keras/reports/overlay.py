"""Writes a video with the predicted class and the map of where the network looks."""

import functools
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.explanation.heat_map import blend, stretched
from ar3d_keras.inference.calibration import NONE_OF_THESE
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction, is_accepted
from ar3d_keras.inference.saved_model import SignatureNetwork
from ar3d_keras.inference.timeline import count_of, cut, small_windows
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.drawing import finish, new_figure
from ar3d_keras.reports.fonts import class_label, clean
from ar3d_keras.reports.video_writer import VideoWriter
from ar3d_keras.videos.parts import Part
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, load_cv2, read_header
from ar3d_keras.videos.region import Region, cut_region
from ar3d_keras.videos.sampling import ClipShape, full_span, uniform_clip


def check_explainable(classifier: Classifier, window_seconds: float | None = None) -> None:
    """Raises if no overlay can be made, before the videos are predicted.

    Raises:
        UserError: The network of a SavedModel has no gate, and a SavedModel has no gradients for
            Grad-CAM; or clips span whole videos and `window_seconds` is None.
    """
    if window_seconds is None:
        full_span(classifier.shape)
    network = classifier.network
    if isinstance(network, SignatureNetwork) and not network.has_attention:
        raise UserError(
            f"`overlay` needs gradients, and the SavedModel {classifier.origin} has neither a gate "
            "nor gradients: give `run` in place of `saved_model`"
        )


def write_overlay(
    classifier: Classifier,
    prediction: Prediction,
    part: Part,
    file: Path,
    *,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    threads: int = 1,
    reporter: Reporter | None = None,
) -> None:
    """Writes an overlay of a video, atomically, in memory that does not grow with the video.

    The overlay has the frames, the time stamps and, in a .mp4, the sound of the video; browsers
    play a .mp4. Each frame has the map of the nearest frame that the network saw, over the crop
    that it saw, and below it the predicted class with its probability, or "none of these" if the
    network's calibration rejects it. The maps are those of center
    clips (`explanation.explain`), and each map's colors cover its range of values. Frames of
    another size than the first are resized to it.

    Args:
        classifier: the network that made the prediction.
        prediction: the prediction; if it has segments, each frame shows that of its own segment.
        part: the video, or the segment, of the prediction.
        file: .mp4 or .avi. An odd height or width loses a row or a column, as the codec needs.
        window_seconds: the length of the prediction's windows; None: maps come from windows as
            long as a clip spans.
        hop_seconds: from the start of one window to the next; None: windows adjoin.
        threads: decoding threads.
        reporter: shows the progress bar.

    Raises:
        ReadError: A frame cannot be decoded, even if those of the prediction could be.
        UserError: The file cannot be written.
    """
    import av

    try:
        with atomic.replacing(file) as temporary:
            count = _write(
                classifier, prediction, part, temporary,
                window_seconds=window_seconds, hop_seconds=hop_seconds, threads=threads,
                reporter=reporter or Reporter(),
            )  # fmt: skip
            _check_complete(temporary, file, count)
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{file} could not be written ({error}): check that its folder is writable and its "
            "disk has room"
        ) from None


def _write(
    classifier: Classifier,
    prediction: Prediction,
    part: Part,
    file: Path,
    *,
    window_seconds: float | None,
    hop_seconds: float | None,
    threads: int,
    reporter: Reporter,
) -> int:
    """Writes the overlay to `file` and returns the number of its frames."""
    cv2, shape, count = load_cv2(), classifier.shape, count_of(part)
    rate = part.header().rate or ASSUMED_RATE
    seconds = window_seconds or full_span(shape) / (shape.fps or rate)
    looks = _looks(classifier, prediction, part, seconds, hop_seconds or seconds, threads)
    writer: VideoWriter | None = None
    number, begin, look, coming = 0, 0.0, None, next(looks, None)
    with reporter.bar("drawing", max(1, count), "frames") as update:
        try:
            for number, (time, frame) in enumerate(part.frames(threads=threads), start=1):
                while coming and number > coming.first:
                    look, coming = coming, next(looks, None)
                if writer is None:
                    size, begin = (frame.shape[1], frame.shape[0]), time
                    writer = VideoWriter(file, *size, rate, part.path, part.start + begin)
                picture = cv2.resize(frame, size)
                if look and look.covers(number - 1):  # else it lies between two windows
                    _draw_map(picture, look, number - 1, shape, part.roi)
                    _draw_label(picture, look.label)
                writer.write(time - begin, picture)
                update(min(number, count))
            if writer:
                writer.close()
        finally:
            looks.close()
            if writer:
                writer.abort()
    return number


@dataclass(frozen=True)
class _Look:
    """The maps of a window of the video.

    Attributes:
        first: the number of its first frame in the video, from 0.
        count: the number of its frames.
        seen: int (n,), the numbers of the frames that have a map.
        maps: float32 (n, H, W).
        label: the predicted class and its probability.
    """

    first: int
    count: int
    seen: np.ndarray
    maps: np.ndarray
    label: str

    def covers(self, number: int) -> bool:
        return self.first <= number < self.first + self.count


def _looks(
    classifier: Classifier,
    prediction: Prediction,
    part: Part,
    seconds: float,
    hop: float,
    threads: int,
) -> Generator[_Look, None, None]:
    """Yields the maps of each window, from front to back."""
    shape = classifier.shape
    segments = iter(prediction.segments)
    for window in small_windows(part, shape, seconds=seconds, hop=hop, threads=threads):
        segment = next(segments, None)
        probabilities = prediction.probabilities if segment is None else segment.probabilities
        assert probabilities is not None  # a failed prediction has no overlay
        places = window.sampled(shape.fps)
        spec = uniform_clip(len(places), shape, clips=1, crops=1, index=0)
        clip = cut([window.frames[place] for place in places], spec, shape)
        maps = _maps(classifier, clip, int(probabilities.argmax()))
        inner = _inner(len(maps))
        yield _Look(
            window.first,
            len(window.frames),
            window.first + places[spec.window[inner]],
            maps[inner],
            _label(prediction, probabilities),
        )


def _maps(classifier: Classifier, clip: np.ndarray, predicted: int) -> np.ndarray:
    """The maps of one clip, spread over 0..1 for drawing: float32 (T, H, W)."""
    network, clips = classifier.network, clip[None]
    if isinstance(network, SignatureNetwork):
        maps = network.attention(clips)[0]
    else:
        from ar3d_keras.explanation.explain import explain  # imports Keras

        explanation = explain(network, clips, np.array([predicted]))
        maps = explanation.maps[0]
        if explanation.kind == "Grad-CAM":
            return maps  # its 0 means no evidence for the class
    return stretched(maps, like=maps[_inner(len(maps))])[0]


def _inner(frames: int) -> slice:
    """The frames of a clip whose maps are shown, over themselves and the frames beside them.

    Convolutions see zero padding beyond the ends of a clip, which changes whole maps: the picture
    would flash where two windows meet. The gate is the second convolution in a row, so two frames
    at each end see it.
    """
    return slice(2, -2) if frames > 5 else slice(1, -1) if frames > 2 else slice(None)


def _label(prediction: Prediction, probabilities: np.ndarray) -> str:
    best = int(probabilities.argmax())
    name = class_label(prediction.class_names, best)
    if is_accepted(prediction.calibration, prediction.class_names, probabilities) is False:
        name = f"{NONE_OF_THESE} ({name})"
    return f"{probabilities[best]:.0%}  {name}"


def _draw_map(
    picture: np.ndarray, look: _Look, number: int, shape: ClipShape, roi: Region | None
) -> None:
    """Blends the map of a frame into the crop that the network saw; uint8 (height, width, 3), BGR."""
    cv2 = load_cv2()
    # A view, so what is drawn into it is in the picture.
    picture = cut_region(picture, roi or shape.roi)
    height, width = picture.shape[:2]
    spec = uniform_clip(look.count, shape, clips=1, crops=1, index=0)
    top, bottom = (
        round(row * height / shape.resize_height) for row in (spec.top, spec.top + shape.height)
    )
    left, right = (
        round(column * width / shape.resize_width)
        for column in (spec.left, spec.left + shape.width)
    )
    region = picture[top:bottom, left:right]
    nearest = look.maps[np.abs(look.seen - number).argmin()]
    heat = cv2.resize(nearest, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    region[:] = blend(region[..., ::-1], heat)[..., ::-1]
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), (160, 160, 160), 1)


def _draw_label(picture: np.ndarray, label: str) -> None:
    """Writes a label on a dark strip along the bottom."""
    height, width = picture.shape[:2]
    text = _text(label, min(height, max(16, height // 9)), width)
    strip = picture[height - len(text) :]
    strip[:] = strip // 4 + text


@functools.lru_cache(maxsize=64)
def _text(label: str, height: int, width: int) -> np.ndarray:
    """White letters, uint8 (height, width, 3), 0..191."""
    dots = 120
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = new_figure(width / dots, height / dots)
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dots)
    figure.patch.set_facecolor("black")
    size = 0.6 * height * 72 / dots
    text = figure.text(
        height / 3 / width,
        0.5,
        clean(label, 60),
        color="white",
        fontsize=size,
        verticalalignment="center_baseline",
    )
    finish(figure)
    room = max(width - 2 * height / 3, 1)
    wide = text.get_window_extent(canvas.get_renderer()).width
    if wide > room:
        text.set_fontsize(size * room / wide)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    return (load_cv2().resize(drawn, (width, height)) // 4 * 3).astype(np.uint8)


def _check_complete(temporary: Path, file: Path, frames: int) -> None:
    """Raises if the file does not hold all frames: an encoder may not report a full disk."""
    try:
        written = read_header(temporary).frames
    except ReadError:
        written = 0
    if written != frames:
        raise UserError(
            f"{file} could not be written ({written} of {frames} frames arrived): check that its "
            "disk has room"
        )
