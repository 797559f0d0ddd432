"""The loop that a user would write to predict many videos: PyAV or decord, then Keras or OpenVINO.

python -m benchmarks.predict_loop READER RUNTIME NETWORK WINDOW_SECONDS VIDEO ...

`predict` runs it as a process of its own. It decodes with FFmpeg's own threads up to the last frame
that is needed, converts only the frames of the clip, and gives the network eight clips at once. A
WINDOW_SECONDS of 0 predicts each video by its center clip. Prints the likeliest class of each clip as
JSON.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

BATCH = 8


def center(count: int, frames: int, stride: int) -> list[int]:
    """The frames of the center clip of `count` frames, as evaluation chooses them."""
    fitting = [s for s in range(stride, 0, -1) if count // s > frames]
    stride = fitting[0] if fitting else 1
    start = max(0, count - stride * (frames - 1) - 1) // 2
    return [(start + stride * number) % count for number in range(frames)]


def cropped(picture: np.ndarray, shape: dict) -> np.ndarray:
    """The resized center crop of an RGB frame."""
    import cv2

    picture = cv2.resize(picture, (shape["resize_width"], shape["resize_height"]))
    top = (shape["resize_height"] - shape["height"]) // 2
    left = (shape["resize_width"] - shape["width"]) // 2
    return picture[top : top + shape["height"], left : left + shape["width"]]


def with_pyav(path: str, seconds: float, shape: dict) -> Iterator[np.ndarray]:
    """The clips of a video, decoded by PyAV."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate)
        # The header tells the number of frames; a loop that trusts it need not decode to the end.
        length = round(seconds * rate) if seconds else stream.frames
        total = stream.frames
        clip: dict[int, np.ndarray] = {}
        wanted: list[int] = []
        for number, frame in enumerate(container.decode(stream)):
            place = number % length
            if place == 0:
                wanted = center(min(length, total - number), shape["frames"], shape["stride"])
            if place in wanted:
                clip[place] = cropped(frame.to_ndarray(format="rgb24"), shape)
                if len(clip) == len(set(wanted)):
                    yield np.stack([clip[place] for place in wanted])
                    clip = {}
                    if not seconds:
                        return


def with_decord(path: str, seconds: float, shape: dict) -> Iterator[np.ndarray]:
    """The clips of a video, decoded by decord."""
    import decord

    reader = decord.VideoReader(path, num_threads=os.cpu_count() or 1)
    length = round(seconds * reader.get_avg_fps()) if seconds else len(reader)
    for first in range(0, len(reader), length):
        wanted = center(min(length, len(reader) - first), shape["frames"], shape["stride"])
        frames = reader.get_batch([first + place for place in wanted]).asnumpy()
        yield np.stack([cropped(frame, shape) for frame in frames])


def network(runtime: str, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """From clips to probabilities."""
    if runtime == "openvino":
        from benchmarks import runtimes

        return runtimes.openvino(folder / "openvino" / "network.xml", os.cpu_count() or 1)
    from ar3d_keras import load_model

    return load_model(folder / "network.keras").predict_on_batch


def main(reader: str, runtime: str, folder: str, seconds: str, *videos: str) -> None:
    """Predicts and prints the classes."""
    shape = json.loads((Path(folder) / "shape.json").read_text())
    classify = network(runtime, Path(folder))
    clips_of = {"pyav": with_pyav, "decord": with_decord}[reader]
    batch: list[np.ndarray] = []
    found: list[int] = []

    def predict() -> None:
        found.extend(classify(np.stack(batch)).argmax(-1).tolist())
        batch.clear()

    for video in videos:
        for clip in clips_of(video, float(seconds), shape):
            batch.append(clip)
            if len(batch) == BATCH:
                predict()
    if batch:
        predict()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
