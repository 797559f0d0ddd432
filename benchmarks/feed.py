"""How fast do training batches arrive: from videos, from packs, from a torch DataLoader?

python -m benchmarks.feed [--repeats 3] [--ucf101 FOLDER] [--videos 128] [--json FILE]

A batch is 16 clips of 16 frames: random window, 128x171, random 112x112 crop, random flip, uint8.
The videos are copies of the UCF-101 files in FOLDER; the packs are made from them. `fit` receives a
ClipStream (tf.data) with TensorFlow, and ClipBatches with JAX and torch. The torch DataLoaders
decode with decord or PyAV, draw the same clips, and use as many processes as the others use threads
(--workers). `bare copy` is the lower bound: np.copyto of the same crops without flips, from the
same memory map into one batch, with as many threads. Every contender is warm, and batches that it
read before its turn do not count. The first epoch of a pack compares the checksum of every frame;
its files are in the page cache.
"""

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.packs import open_pack
from ar3d_keras.videos.pipeline import ClipBatches, ClipStream, steps_per_epoch
from ar3d_keras.videos.reader import cores
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import ClipSource, PackSource, RandomSampler, VideoSource
from benchmarks.bench import parser, ratio, report, seconds, spread, table, take_turns
from benchmarks.decode import REALDATA, load_peers

SHAPE, BATCH, AHEAD, FOREVER = ClipShape(), 16, 6, 10**6
RAW, JPEG, VIDEOS, COPY = "raw pack", "JPEG pack", "videos", "bare copy"
BATCHES = f"{RAW}, ClipBatches"
TORCH = "torch DataLoader, "


def copies(folder: Path, root: Path, count: int) -> Path:
    """Copies the videos of `folder` until there are `count`, in the same classes."""
    files = sorted(folder.glob("*/*.avi"))
    for number in range(count):
        file = files[number % len(files)]
        target = root / file.parent.name / f"{number:04d}{file.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return root


def draw(batches: Iterator, count: int) -> None:
    """Takes batches one after another and keeps none, as a training does.

    A list of them would keep their memory from being used again.
    """
    for _ in range(count):
        next(batches)


class Fed:
    """Measures the batches/s of an endless iterator."""

    def __init__(self, batches: Iterator, count: int) -> None:
        self.batches, self.count = batches, count

    def __call__(self) -> float:
        draw(self.batches, AHEAD)  # they were read before this turn
        return self.count / seconds(lambda: draw(self.batches, self.count))


class Streamed:
    """Measures the batches/s of a ClipStream, a new one for each turn, as a training has only one.

    Attributes:
        allocations: the arrays that it allocated for the batches of its last turn.
    """

    def __init__(self, source: ClipSource, workers: int, count: int) -> None:
        self.source, self.workers, self.count = source, workers, count
        self.allocations = 0

    def __call__(self, ahead: int = AHEAD) -> float:
        stream = ClipStream(self.source, BATCH, seed=0, epochs=range(FOREVER), workers=self.workers)
        with contextlib.closing(stream):
            batches = iter(stream.dataset)
            draw(batches, ahead)
            speed = self.count / seconds(lambda: draw(batches, self.count))
            self.allocations = stream.allocations
            return speed


def keras_batches(batches: ClipBatches) -> Iterator:
    """Yields the batches of ClipBatches, epoch after epoch."""
    for epoch in range(FOREVER):
        batches.epoch = epoch
        yield from (batches[step] for step in range(len(batches)))


def bare_copies(source: PackSource, workers: int) -> Iterator:
    """Copies the crops of a pack into one batch; all indices are prepared in advance."""
    pack, steps, epochs = source.pack, steps_per_epoch(source, BATCH), 20
    size = pack.settings.height, pack.settings.width, 3
    packed = {p.video.path: p for p in pack.videos}
    frames = [
        pack._shards.video(packed[v.path])[: packed[v.path].frames * int(np.prod(size))].reshape(
            -1, *size
        )
        for v in source.videos
    ]
    views = [[source.clip_spec(index, e) for index in range(len(source))] for e in range(epochs)]
    batch = np.zeros((BATCH, SHAPE.frames, SHAPE.height, SHAPE.width, 3), np.uint8)

    def part(epoch: int, step: int, worker: int) -> None:
        for place in range(worker, BATCH, workers):
            index = (step * BATCH + place) % len(source)
            view = views[epoch][index]
            first, stride = int(view.window[0]), int(view.window[1] - view.window[0])
            times = slice(first, first + stride * SHAPE.frames, stride)
            rows = slice(view.top, view.top + SHAPE.height)
            columns = slice(view.left, view.left + SHAPE.width)
            np.copyto(batch[place], frames[index][times, rows, columns])

    with ThreadPoolExecutor(workers) as pool:
        for number in range(FOREVER):
            epoch, step = divmod(number, steps)
            parts = [pool.submit(part, epoch % epochs, step, worker) for worker in range(workers)]
            for future in parts:
                future.result()
            yield batch


class TorchClips:
    """A torch Dataset that reads with another library, and crops and flips as VideoSource does."""

    def __init__(self, source: VideoSource, read: Callable) -> None:
        self.source, self.read = source, read

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        view = self.source.clip_spec(index, 0)
        path = self.source.root / self.source.videos[index].path
        frames = self.read(os.fspath(path), list(map(int, view.window)))
        rows = slice(view.top, view.top + SHAPE.height)
        columns = slice(view.left, view.left + SHAPE.width)
        clip = frames[:, rows, columns]
        return np.ascontiguousarray(clip[:, :, ::-1] if view.flip else clip), int(
            self.source.labels[index]
        )


def torch_batches(source: VideoSource, read: Callable, workers: int) -> Iterator:
    """Yields the batches of a DataLoader with persistent workers, epoch after epoch."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        TorchClips(source, read), BATCH, shuffle=True, num_workers=workers,
        persistent_workers=True, multiprocessing_context="fork",
    )  # fmt: skip
    while True:
        yield from loader


def main() -> None:
    """Prints a Markdown table."""
    options = parser(__doc__, repeats=3)
    options.add_argument("--ucf101", type=Path, default=REALDATA / "ucf101")
    options.add_argument("--videos", type=int, default=128, help="number of videos to make")
    options.add_argument("--workers", type=int, default=cores(), help="threads or processes")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Measures all contenders and prints the report."""
    catalog = open_catalog(copies(options.ucf101, folder / "videos", options.videos))
    views, workers = RandomSampler(0, True), options.workers
    frames = scan(catalog, workers=workers).frames
    rest = catalog.videos, frames, catalog.class_names, SHAPE, views
    videos = VideoSource(catalog.root, *rest)
    peers, missing = load_peers()
    # Their processes are forked here, because TensorFlow has no threads yet.
    contenders = {}
    for name in ("decord", "PyAV"):
        try:
            if name in peers:
                stream = torch_batches(videos, peers[name], workers)
                next(stream)
                contenders[TORCH + name] = Fed(stream, 16)
        except ImportError as error:
            missing.append(f"torch DataLoader is left out: {error}.")

    settings = {
        RAW: PackSettings("raw", SHAPE.resize_height, SHAPE.resize_width),
        JPEG: PackSettings("jpeg", SHAPE.resize_height, SHAPE.resize_width, 95),
    }
    sources, first = {VIDEOS: videos}, {}
    for name, made in settings.items():
        pack = make_pack(catalog, folder / made.codec, made, workers=workers, reporter=Reporter())
        sources[name] = PackSource(open_pack(pack.root), *rest)
    counts = {VIDEOS: 16, JPEG: 48, RAW: 320}
    for name, source in sources.items():
        first[name] = Streamed(source, workers, steps_per_epoch(source, BATCH))(ahead=0)
        if name != VIDEOS:
            source.pack.verify(workers=workers)
        contenders[name] = Streamed(source, workers, counts[name])
    clip_batches = ClipBatches(sources[RAW], BATCH, seed=0, workers=workers)
    contenders[BATCHES] = Fed(keras_batches(clip_batches), counts[RAW])
    contenders[COPY] = Fed(bare_copies(sources[RAW], workers), counts[RAW])
    same = all(np.array_equal(sources[RAW][i, 7], videos[i, 7]) for i in range(0, len(videos), 9))
    assert same, "the clips of the raw pack differ from those of the videos"
    values = take_turns(contenders, options.repeats)
    arrays = {name: f"{contenders[name].allocations} of {counts[name] + AHEAD}" for name in sources}
    drawn = options.repeats * (counts[RAW] + AHEAD)
    arrays[BATCHES] = f"{clip_batches.allocations} of {drawn}"
    rows = [
        [
            name,
            spread(values[name], 1),
            f"{first[name]:.1f}" if name in first else "",
            arrays.get(name, ""),
        ]
        for name in contenders
    ]
    header = ["batches/s", "every epoch", "first epoch", "arrays allocated for batches"]
    decord = TORCH + "decord"
    report(
        options,
        "\n\n".join([table(header, rows), *missing]),
        {
            "feed.pack_vs_videos": ratio(values, RAW, VIDEOS),
            "feed.pack_vs_copy": ratio(values, RAW, COPY),
            "feed.pack_vs_clip_batches": ratio(values, RAW, BATCHES),
            "feed.pack_vs_torch_decord": (ratio(values, RAW, decord) if decord in values else None),
        },
        packages=["tensorflow", "keras", "opencv-python", "numpy", "torch", "decord", "av"],
        config={"batch": BATCH, "shape": vars(SHAPE), "clips an epoch": len(videos)},
    )


if __name__ == "__main__":
    main()
