"""How fast do training clips come out of the original files, here and from PyAV, decord, torchcodec?

python -m benchmarks.decode [--repeats 3] [--ucf101 FOLDER] [--fight FOLDER] [--json FILE]

A clip is 16 frames at stride 4 (or the next that fits) from a random start, resized to 128x171,
uint8 RGB; opening the file counts, because every clip of an epoch is of another video. Each
contender decodes the same windows, one FFmpeg thread a call, and is used as its documentation
advises for speed: PyAV converts and scales only the wanted frames, with one VideoReformatter and
swscale's fastest bilinear filter, once from the front and once from the key frame before the
window; decord scales in `get_batch`; torchcodec seeks approximately and scales in the decoder.
`right` counts the clips whose frames are those that decoding from the front gives (mean absolute
difference below 12 grey levels: scalers differ). OpenCV seek is the reader of this package with
CAP_PROP_POS_FRAMES, which is inexact in general (opencv#9053), so it is a row and no peer; nor
is one that was not right on all clips, where another was.
`pip install -r requirements-bench.txt` brings the peers; one that is missing is left out.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ar3d_keras.videos.reader import count_frames, load_cv2, read_frames
from ar3d_keras.videos.sampling import ClipShape, random_clip
from ar3d_keras.videos.video_files import VIDEO_SUFFIXES
from benchmarks.bench import parser, ratio, report, seconds, spread, table, take_turns

REALDATA = Path(__file__).parents[2] / "shared" / "realdata"
SHAPE = ClipShape()
SIZE = SHAPE.resize_height, SHAPE.resize_width
OURS, SEEK = "ar3d_keras", "OpenCV seek"
Reader = Callable[[str, list[int]], np.ndarray]


def ours(path: str, window: list[int]) -> np.ndarray:
    return read_frames(path, window, SIZE)


def opencv_seek(path: str, window: list[int]) -> np.ndarray:
    cv2 = load_cv2()
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames = np.empty((len(window), *SIZE, 3), np.uint8)
    capture.set(cv2.CAP_PROP_POS_FRAMES, min(window))
    position, place = min(window), 0
    while place < len(window) and capture.grab():
        if position == window[place]:
            small = cv2.resize(capture.retrieve()[1], SIZE[::-1])
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=frames[place])
            place += 1
        position += 1
    capture.release()
    return frames


def pyav(*, seek: bool) -> Reader:
    import av
    from av.video.reformatter import VideoReformatter

    def read(path: str, window: list[int]) -> np.ndarray:
        scale, wanted, frames = VideoReformatter(), set(window), []
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.thread_count, stream.thread_type = 1, "NONE"
            ticks, first = 1 / (stream.average_rate * stream.time_base), stream.start_time or 0
            if seek and window[0]:
                container.seek(int(first + window[0] * ticks), stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                place = round((frame.pts - first) / ticks) if seek and window[0] else number
                if place in wanted:
                    small = scale.reformat(
                        frame, SIZE[1], SIZE[0], "rgb24", interpolation="FAST_BILINEAR"
                    )
                    frames.append(small.to_ndarray())
                if place >= window[-1]:
                    break
        return np.stack(frames)

    return read


def decord() -> Reader:
    import decord

    def read(path: str, window: list[int]) -> np.ndarray:
        reader = decord.VideoReader(path, width=SIZE[1], height=SIZE[0], num_threads=1)
        return reader.get_batch(window).asnumpy()

    return read


def torchcodec() -> Reader:
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    def read(path: str, window: list[int]) -> np.ndarray:
        decoder = VideoDecoder(
            path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate",
            transforms=[Resize(SIZE)],
        )  # fmt: skip
        return decoder.get_frames_at(window).data.numpy()

    return read


PEERS = {
    "PyAV": lambda: pyav(seek=False),
    "PyAV seek": lambda: pyav(seek=True),
    "decord": decord,
    "torchcodec": torchcodec,
}


def load_peers() -> tuple[dict[str, Reader], list[str]]:
    """Name -> reader, and a sentence for each that does not load."""
    loaded, missing = {}, []
    for name, make in PEERS.items():
        try:
            loaded[name] = make()
        except (ImportError, OSError, RuntimeError) as error:
            cause = error.__cause__ or error
            reason = str(cause).strip().splitlines()[0]
            missing.append(f"{name} does not load here ({type(cause).__name__}: {reason}).")
    return loaded, missing


def windows(folder: Path, videos: int, clips: int) -> list[tuple[str, list[int]]]:
    """Random windows of `videos` videos of a folder, `clips` of each."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
    chosen = files[:: max(1, len(files) // videos)][:videos]
    return [
        (os.fspath(file), random_clip(frames, SHAPE, flip=False, seed=0, epoch=e, index=i).window)
        for i, file in enumerate(chosen)
        for frames in [count_frames(file)]
        for e in range(clips)
    ]


def right(read: Reader, jobs: list) -> str:
    """How many clips have the frames that decoding from the front gives."""

    def close(path: str, window: list[int]) -> bool:
        try:
            frames = read(path, window)
        except Exception:  # whatever a peer raises, it gave no clip
            return False
        true = ours(path, window)
        return len(frames) == len(true) and np.abs(frames.astype(int) - true).mean() < 12

    return f"{sum(close(*job) for job in jobs)} of {len(jobs)}"


def rate(read: Reader, jobs: list, threads: int) -> float:
    """Clips a second."""

    def work() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda job: read(*job), jobs))

    return len(jobs) / seconds(work)


def main() -> None:
    options = parser(__doc__, repeats=3)
    options.add_argument("--ucf101", type=Path, default=REALDATA / "ucf101")
    options.add_argument("--fight", type=Path, default=REALDATA / "fight")
    options = options.parse_args()
    peers, missing = load_peers()
    readers = {OURS: ours, SEEK: opencv_seek, **peers}
    text, ratios = [], {}
    for name, folder, videos, clips in [
        ("UCF-101", options.ucf101, 2, 30),
        ("fight", options.fight, 12, 1),
    ]:
        key = "decode.vs_best_peer" if name == "UCF-101" else f"decode.{name}.vs_best_peer"
        if not folder.is_dir():
            missing.append(f"{name}: {folder} is not there.")
            ratios[key] = None
            continue
        jobs = [(path, list(map(int, window))) for path, window in windows(folder, videos, clips)]
        agree = {who: right(read, jobs) for who, read in readers.items()}
        contenders = {
            (who, threads): partial(rate, read, jobs, threads)
            for who, read in readers.items()
            for threads in (1, 2)
        }
        figures = take_turns(contenders, options.repeats)
        rows = [
            [who, *(spread(figures[who, threads], 1) for threads in (1, 2)), agree[who]]
            for who in readers
        ]
        header = [f"{name}, clips/s", "1 thread", "2 threads", "right"]
        text.append(table(header, rows))
        against = {who: ratio(figures, (OURS, 1), (who, 1)) for who in readers if who != OURS}
        # A peer that is fast because it gives other frames is none, where any gives the right ones.
        exact = [who for who in peers if agree[who] == agree[OURS]] or peers
        ratios[key] = min((against[who] for who in exact), default=None)
        ratios[key.replace("best_peer", "opencv_seek")] = against[SEEK]
    report(
        options,
        "\n\n".join([*text, *missing]),
        ratios,
        packages=["opencv-python", "av", "decord", "torchcodec", "numpy"],
        config={"shape": vars(SHAPE)},
    )


if __name__ == "__main__":
    main()
