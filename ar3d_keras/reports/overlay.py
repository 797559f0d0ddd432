"""A video with what a network said of it: the class, and where the network looks."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.explanation.explain import explain
from ar3d_keras.explanation.heat_map import blend, stretched
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.predictor import Prediction, likeliest
from ar3d_keras.inference.saved_model import SavedModelNetwork
from ar3d_keras.inference.timeline import cut, small_windows
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.drawing import clean, finish, new_figure
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, load_cv2, read_header, timed_frames
from ar3d_keras.videos.sampling import ClipShape, full_span, uniform_clip

CODECS = {".mp4": "mp4v", ".avi": "XVID"}  # of the encoders that every OpenCV wheel has


def check_explainable(classifier: Classifier) -> None:
    """Refuses a SavedModel that cannot say where it looks.

    Raises:
        UserError: its network has no gate, and a SavedModel has no gradients for Grad-CAM.
    """
    network = classifier.network
    if isinstance(network, SavedModelNetwork) and not network.has_attention:
        raise UserError(
            f"--overlay: the network of {classifier.origin} has no gate, and where it looks can "
            "be told of its run only: give --run in place of --saved-model"
        )


def write_overlay(
    classifier: Classifier,
    prediction: Prediction,
    video: Path,
    file: Path,
    *,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    threads: int = 1,
    reporter: Reporter | None = None,
) -> None:
    """Writes a video as long and as large as `video`, whole or not at all; it has no sound.

    Frames that are not of the first one's size are made so.

    Each frame has the map of the nearest frame that the network saw, over the part of the picture
    that it saw; what it is sure of stands below, with its probability. The maps are those of
    centre clips (`explanation.explain`), and the colours of each spread over its values. Memory
    does not grow with the video.

    Args:
        classifier: the network that was asked.
        prediction: its answer; of its moments, where it has some, each frame bears its own.
        video: a video file or a folder of frames.
        file: .mp4 or .avi. An odd height or width loses a row or a column: the codec wants even.
        window_seconds: of the windows that were asked about; None: maps come from windows as long
            as a clip spans.
        hop_seconds: from one to the next; None: one follows the other.
        threads: that decode.
        reporter: draws the bar.

    Raises:
        ReadError: a frame cannot be decoded, though those that the answer is about could be.
        UserError: the file cannot be written.
    """
    cv2, shape, header = load_cv2(), classifier.shape, read_header(video)
    rate = header.rate or ASSUMED_RATE
    seconds = window_seconds or full_span(shape) / rate
    looks = _looks(classifier, prediction, video, seconds, hop_seconds or seconds, threads)
    writer, number = None, 0
    with (
        (reporter or Reporter()).bar("drawing", max(1, header.frames), "frames") as update,
        atomic.replacing(file) as temporary,
    ):
        try:
            look, coming = None, next(looks, None)
            for number, (_, frame) in enumerate(timed_frames(video, threads=threads), start=1):
                while coming and number > coming.first:
                    look, coming = coming, next(looks, None)
                if writer is None:
                    size = frame.shape[1::-1]
                    writer = _open_writer(temporary, rate, size)
                picture = cv2.resize(frame, size)  # a folder's frames may be of several sizes
                if look and look.covers(number - 1):  # else it is between two windows
                    _draw_map(picture, look, number - 1, shape)
                    _draw_label(picture, look.label)
                writer.write(picture)
                update(min(number, header.frames))
        finally:
            looks.close()
            if writer:
                writer.release()
        _check_complete(temporary, file, number)


@dataclass(frozen=True)
class _Look:
    """A window, the frames of it that were looked at, and the map of each."""

    first: int  # of its frames
    count: int
    seen: np.ndarray  # int (n,), their numbers in the video
    maps: np.ndarray  # float32 (n, H, W)
    label: str

    def covers(self, number: int) -> bool:
        return self.first <= number < self.first + self.count


def _looks(
    classifier: Classifier, prediction: Prediction, video: Path, seconds, hop, threads
) -> Iterator[_Look]:
    shape = classifier.shape
    segments = iter(prediction.segments)
    for window in small_windows(video, shape, seconds=seconds, hop=hop, threads=threads):
        segment = next(segments, None)
        said = prediction.probabilities if segment is None else segment.probabilities
        view = uniform_clip(len(window.frames), shape, clips=1, crops=1, index=0)
        maps = _maps(classifier, cut(window.frames, view, shape), int(said.argmax()))
        inner = _inner(len(maps))
        yield _Look(
            window.first,
            len(window.frames),
            window.first + view.window[inner],
            maps[inner],
            _label(prediction, said),
        )


def _maps(classifier: Classifier, clip: np.ndarray, answer: int) -> np.ndarray:
    """Of one clip, for the eye, in 0..1: float32 (T, H, W)."""
    network, clips = classifier.network, clip[None]
    if isinstance(network, SavedModelNetwork):
        maps = network.attention(clips)[0]
    else:
        explanation = explain(network, clips, np.array([answer]))
        maps = explanation.maps[0]
        if explanation.kind == "Grad-CAM":
            return maps  # its 0 says that nothing there speaks for the class
    return stretched(maps, like=maps[_inner(len(maps))])[0]


def _inner(frames: int) -> slice:
    """The frames of a clip whose maps are shown, there and over those beside them.

    Convolutions see black beyond a clip's ends, and whole maps answer to it: the picture would
    flash where two windows meet. The gate's is the second in a row, so two frames see it.
    """
    return slice(2, -2) if frames > 5 else slice(1, -1) if frames > 2 else slice(None)


def _label(prediction: Prediction, said: np.ndarray) -> str:
    [(name, share)] = likeliest(prediction.class_names, said, 1)
    return f"{share:.0%}  {name}"


def _draw_map(picture: np.ndarray, look: _Look, number: int, shape: ClipShape) -> None:
    """Lays the map of a frame over what the crop saw of it; uint8 (height, width, 3), BGR."""
    cv2 = load_cv2()
    height, width = picture.shape[:2]
    view = uniform_clip(look.count, shape, clips=1, crops=1, index=0)
    top, bottom = (
        round(row * height / shape.resize_height) for row in (view.top, view.top + shape.height)
    )
    left, right = (
        round(column * width / shape.resize_width)
        for column in (view.left, view.left + shape.width)
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
    """White letters, uint8 (height, width, 3), 0..191, in a font that knows their script."""
    dots = 120
    figure = new_figure(width / dots, height / dots)
    figure.set_dpi(dots)
    figure.patch.set_facecolor("black")
    text = figure.text(
        height / 3 / width,
        0.5,
        clean(label, 60),
        color="white",
        fontsize=0.6 * height * 72 / dots,
        verticalalignment="center_baseline",
    )
    finish(figure)
    room = width - 2 * height / 3
    wide = text.get_window_extent(figure.canvas.get_renderer()).width
    if wide > room:
        text.set_fontsize(text.get_fontsize() * room / wide)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    return (load_cv2().resize(drawn, (width, height)) // 4 * 3).astype(np.uint8)


def _open_writer(file: Path, rate: float, size: tuple[int, int]):
    """A cv2.VideoWriter of pictures of `size`, (width, height)."""
    cv2 = load_cv2()
    codec = cv2.VideoWriter.fourcc(*CODECS[file.suffix.lower()])
    # As bytes, by FFmpeg: see reader._open.
    writer = cv2.VideoWriter(os.fsencode(file.absolute()), cv2.CAP_FFMPEG, codec, rate, size)
    if not writer.isOpened():
        raise UserError(
            f"{file.parent} cannot take a video of {size[0]}x{size[1]} at {rate:g} frames a "
            "second: OpenCV's encoder refuses it"
        )
    return writer


def _check_complete(temporary: Path, file: Path, frames: int) -> None:
    """OpenCV's writer says nothing of a disk that is full."""
    try:
        written = read_header(temporary).frames
    except ReadError:
        written = 0
    if written != frames:
        raise UserError(
            f"{file} could not be written ({written} of {frames} frames arrived): "
            "is there room on its disk?"
        )
