"""How long would UCF-101, Kinetics-700 and a million clips take, and what would they cost?

python -m benchmarks.scale
python -m benchmarks.scale --cores 64 --devices 8 --clips-per-second 900 --device-price 2.5 --core-price 0.04

Measures a small sample on this machine: frames packed a second and core, bytes of a packed frame and
of the video, and clips predicted and trained a second on one device. Everything else is arithmetic:
the table names its numbers. With --clips-per-second and --train-clips-per-second, figures that were
measured on another device replace those of this one. Prices are a core's and a device's per hour, in
any currency; the default of 0 prints no cost.

The sample is written here: videos of 320x240, 25 frames a second, as UCF-101 has, of a moving
pattern; --data DIR takes your own. Work is counted by frames, because a video of twice the length
takes twice the work (benchmarks/memory.py).
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog, open_catalog
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.packing import make_pack
from ar3d_keras.videos.packs import Pack
from ar3d_keras.videos.reader import load_cv2
from benchmarks import bench

FRAMES, HEIGHT, WIDTH, STRIDE = 16, 128, 171, 4


@dataclass(frozen=True)
class DataSet:
    """The size of a data set.

    Attributes:
        name: of it.
        videos: how many there are.
        frames: of a video, on average.
    """

    name: str
    videos: int
    frames: int

    @property
    def all_frames(self) -> int:
        return self.videos * self.frames


# UCF-101: 27 hours of 25 frames a second (its page). Kinetics-700-2020: clips of 10 s; the number of
# videos is that of its three lists, a part of which YouTube no longer has.
DATA_SETS = (
    DataSet("UCF-101", 13_320, 182),
    DataSet("Kinetics-700", 648_000, 250),
    DataSet("a million clips of 10 s", 1_000_000, 250),
)


@dataclass(frozen=True)
class Measured:
    """What one core and one device do."""

    packed_frames: float  # a second and core
    raw_bytes: float  # of a frame in a pack
    jpeg_bytes: float
    video_bytes: float  # of a frame in its file
    predicted: float  # clips a second and device
    trained: float


def write_sample(root: Path, videos: int, frames: int) -> None:
    """Videos of a pattern that moves, with noise as cameras have it."""
    cv2, rng = load_cv2(), np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (30, 80, 3), np.uint8), (640, 240))
    for number in range(videos):
        folder = root / f"class-{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        codec = cv2.VideoWriter_fourcc(*"XVID")
        writer = cv2.VideoWriter(str(folder / f"{number}.avi"), codec, 25, (320, 240))
        for frame in range(frames):
            shown = picture[:, (frame * 2 + number * 7) % 320 :][:, :320]
            noise = rng.integers(0, 8, shown.shape, np.uint8)
            writer.write(cv2.add(shown, noise))
        writer.release()


def measure(catalog: Catalog, folder: Path, options: argparse.Namespace) -> Measured:
    """Packs the sample twice, and predicts and trains random clips."""
    found: dict[str, Pack] = {}
    seconds: list[float] = []
    for turn in range(options.repeats):
        for codec, quality in (("raw", None), ("jpeg", 95)):
            settings = PackSettings(codec, HEIGHT, WIDTH, quality)
            out = folder / f"{codec}-{turn}"

            def pack(settings=settings, out=out, codec=codec):
                found[codec] = make_pack(catalog, out, settings, workers=1, reporter=Reporter())

            took = bench.seconds(pack)
            seconds += [took] if codec == "raw" else []
    frames = sum(packed.frames for packed in found["raw"].videos)
    size = sum((catalog.root / video.path).stat().st_size for video in catalog.videos)
    predicted, trained = options.clips_per_second, options.train_clips_per_second
    if predicted is None or trained is None:
        here = clips_per_second(options.batch_size, options.repeats)
        predicted, trained = predicted or here[0], trained or here[1]
    return Measured(
        frames / min(seconds),
        found["raw"].bytes / frames,
        found["jpeg"].bytes / frames,
        size / frames,
        predicted,
        trained,
    )


def clips_per_second(batch_size: int, repeats: int) -> tuple[float, float]:
    """Clips of 16x112x112 that the paper's network predicts, and trains with, a second."""
    import keras

    from ar3d_keras.models.conv3d import Conv3DClassifier

    network = Conv3DClassifier(num_classes=101, attention=True)
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy())
    clips = np.random.default_rng(0).integers(0, 255, (batch_size, 16, 112, 112, 3), np.uint8)
    labels = np.zeros(batch_size, np.int64)
    calls = lambda: network.predict_on_batch(clips), lambda: network.train_on_batch(clips, labels)
    rates = []
    for call in calls:
        call()
        rates.append(batch_size / min(bench.seconds(call) for _ in range(max(2, repeats))))
    return rates[0], rates[1]


def rows(measured: Measured, options: argparse.Namespace) -> list[list[object]]:
    """One line of the table for each data set."""
    found: list[list[object]] = []
    for data in DATA_SETS:
        pack = data.all_frames / measured.packed_frames / 3600  # core hours
        score = data.videos / measured.predicted / 3600  # device hours, one clip a video
        train = options.epochs * data.videos / measured.trained / 3600
        cost = pack * options.core_price + (score + train) * options.device_price
        found.append(
            [
                data.name,
                f"{data.videos:,}",
                f"{data.all_frames / 1e6:.1f} M",
                _bytes(data.all_frames * measured.video_bytes),
                _bytes(data.all_frames * measured.raw_bytes),
                _bytes(data.all_frames * measured.jpeg_bytes),
                f"{pack:.1f}",
                _hours(pack / options.cores),
                _hours(score / options.devices),
                _hours(train / options.devices),
                f"{cost:,.0f}" if cost else "-",
            ]
        )
    return found


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.1f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _bytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size < 1e12 else f"{size / 1e12:.2f} TB"


def main() -> None:
    parser = bench.parser(__doc__, repeats=2)
    parser.add_argument("--data", type=Path, help="a folder of class folders: the sample")
    parser.add_argument("--videos", type=int, default=4, help="videos of the written sample")
    parser.add_argument("--frames", type=int, default=182, help="frames of each of them")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--cores", type=int, default=32, help="that pack")
    parser.add_argument("--devices", type=int, default=1, help="that score and train")
    parser.add_argument("--epochs", type=int, default=30, help="of the training")
    parser.add_argument("--clips-per-second", type=float, help="predicted, measured elsewhere")
    parser.add_argument("--train-clips-per-second", type=float, help="trained, measured elsewhere")
    parser.add_argument("--core-price", type=float, default=0.0, help="of a core and hour")
    parser.add_argument("--device-price", type=float, default=0.0, help="of a device and hour")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.data is None:
            write_sample(folder / "sample", options.videos, options.frames)
        measured = measure(open_catalog(options.data or folder / "sample"), folder, options)
    # A clip reads its window, with the frames between those that it shows.
    window = FRAMES * STRIDE * measured.raw_bytes
    header = [
        *("data set", "videos", "frames", "files", "raw pack", "jpeg pack", "pack, core hours"),
        *(f"pack, {options.cores} cores", f"score, {options.devices} devices"),
        *(f"train {options.epochs} epochs, {options.devices} devices", "cost"),
    ]
    text = (
        f"One core packs {measured.packed_frames:.0f} frames a second "
        f"({measured.packed_frames / DATA_SETS[0].frames:.2f} videos of UCF-101). A frame has "
        f"{measured.raw_bytes / 1e3:.1f} kB in a raw pack, {measured.jpeg_bytes / 1e3:.1f} kB in a "
        f"jpeg pack, {measured.video_bytes / 1e3:.2f} kB in its file. One device predicts "
        f"{measured.predicted:.1f} and trains {measured.trained:.1f} clips a second.\n\n"
        + bench.table(header, rows(measured, options))
        + "\n\nscore: one clip a video. Network that feeds one device: "
        f"{measured.predicted * window * 8 / 1e9:.2f} Gbit/s to score and "
        f"{measured.trained * window * 8 / 1e9:.2f} Gbit/s to train from a raw pack "
        f"({window / 1e6:.1f} MB a clip, without a cache); to pack, "
        f"{options.cores * measured.packed_frames * measured.video_bytes * 8 / 1e9:.2f} Gbit/s of "
        f"files come in and "
        f"{options.cores * measured.packed_frames * measured.raw_bytes * 8 / 1e9:.2f} Gbit/s go to "
        "the one process that writes the pack."
    )
    ratios = {f"scale.{name}": value for name, value in vars(measured).items()}
    bench.report(options, text, ratios, packages=("keras", "tensorflow", "opencv-python", "av"))


if __name__ == "__main__":
    main()
