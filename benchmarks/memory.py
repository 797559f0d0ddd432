"""How do memory and preparation time grow with the length, size and number of the videos?

python -m benchmarks.memory [--repeats 1] [--cold]

Every value comes from a new process. Memory is the peak of train.py's anonymous memory (RssAnon on
Linux), from its start to the exported SavedModel, with a network so small that the data pipeline
dominates. The pages of a memory-mapped pack belong to the page cache, which the system can free.
Videos are MPEG-4 .avi files, written here and linked under UCF-101's names. Time is measured for
listing the videos, splitting them, and counting their frames the first and the second time, and for
the rows of a CSV without its videos.
The memory of many trainings in one process is RssAnon as each fold of `crossval` begins to train.
`--cold` also lists them after the kernel has dropped its caches (Linux, as root).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ar3d_keras.videos.reader import load_cv2
from benchmarks import bench

# name -> (videos, frames of each, width, height). Cases 2 to 5 differ from the first in one value,
# and the last from the sixth.
CASES = {
    "12 videos, 50 frames, 160x120": (12, 50, 160, 120),
    "500 frames": (12, 500, 160, 120),
    "5,000 frames": (12, 5000, 160, 120),
    "640x480": (12, 50, 640, 480),
    "1920x1080": (12, 50, 1920, 1080),
    "100 videos, 16 frames, 64x48": (100, 16, 64, 48),
    "10,000 videos": (10000, 16, 64, 48),
}
SHORT, _, LONG, _, LARGE, FEW, MANY = CASES
PACKED = (SHORT, LONG, FEW, MANY)  # frames of a pack have one size, so larger videos change nothing
COUNTS = (100, 1000, 10000)
ROWS = (100_000, 1_000_000)
# Frames are resized to 18x24 (height x width), so that a pack of long videos is made quickly.
NETWORK = "--frames 4 --height 16 --width 16 --filters 2 --pool 2 4 4 --dense 4 --epochs 1".split()

# Reads the memory of a child every 0.01 s. A child that is forked from a large process starts with
# that memory, and this process holds TensorFlow. The launcher is therefore a small process.
LAUNCHER = """
import pathlib, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
status, peak = pathlib.Path(f"/proc/{child.pid}/status"), 0
while child.poll() is None:
    for line in status.read_text().splitlines():
        if line.startswith("RssAnon:"):
            peak = max(peak, int(line.split()[1]))
    time.sleep(0.01)
print(peak)
sys.exit(child.returncode)
"""
# Everything that train.py does before its first step, except the network.
PREPARE = """
import json, pathlib, sys, time
from ar3d_keras.videos.dataset import open_data
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.reader import cores
from ar3d_keras.videos.splits import default_scheme, make_split
times = [time.perf_counter()]
def lap():
    times.append(time.perf_counter())
catalog = open_data(sys.argv[1]); lap()
split = make_split(catalog, default_scheme(catalog)); split.leak.sentences(); lap()
catalog.fingerprint; lap()
if sys.argv[2:]:
    scan(catalog, workers=cores()); lap()
    scan(catalog, workers=cores()); lap()
steps = [after - before for before, after in zip(times, times[1:])]
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps([steps, peak / 1024]))
"""


# Cross-validates in one process and prints its RssAnon in MB as each fold begins to train.
CROSSVAL = """
import json, pathlib, sys
import ar3d_keras, keras
from ar3d_keras.progress import Reporter
class Memory(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        megabytes.extend(int(l.split()[1]) / 1024 for l in lines if l.startswith("RssAnon:"))
megabytes = []
ar3d_keras.crossval(
    data=sys.argv[1], runs_dir=sys.argv[2], folds=int(sys.argv[3]), split_scheme="kfold",
    attention=True, frames=4, height=16, width=16, filters=2, pool=(2, 4, 4), dense=4, epochs=1,
    batch_size=4, callbacks=[Memory()], reporter=Reporter(),
)
print(json.dumps(megabytes))
"""


def write_video(file: Path, frames: int, width: int, height: int) -> None:
    """Writes a moving picture, so that P-frames cost as much as in real videos."""
    cv2 = load_cv2()
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"XVID"), 25, (width, height))
    small = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    for number in range(frames):
        writer.write(np.roll(picture, 2 * number, axis=1))
    writer.release()


def make_catalog(
    root: Path, file: Path, videos: int, *, classes: int, grouped: bool = True
) -> Path:
    """Makes links to one file, under UCF-101's names or under names without a group."""
    for number in range(videos):
        place, label = number // classes, f"Class{number % classes:03d}"
        name = f"v_{label}_g{place % 25 + 1:02d}_c{place // 25 + 1:02d}" if grouped else f"{number}"
        (root / label).mkdir(parents=True, exist_ok=True)
        link(file, root / label / f"{name}.avi")
    return root


def link(file: Path, place: Path) -> None:
    """Makes a hard link, or a copy if the file system allows no (more) links."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def python(*arguments: object, cache: Path) -> str:
    """Runs Python with its own cache of frame counts, and returns what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def peak(data: Path, folder: Path) -> float:
    """The peak memory of one training, in MB."""
    runs = tempfile.mkdtemp(dir=folder)
    train = [sys.executable, "train.py", "--data", data, "--runs-dir", runs, *NETWORK]
    kilobytes = python("-c", LAUNCHER, *train, cache=folder / "cache")
    return int(kilobytes) / 1024


def drop_caches() -> None:
    """Empties the page cache, and the caches of folders and files."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def prepare(data: Path, folder: Path, *, count: bool) -> tuple[list[float], float]:
    """The seconds for catalog, split, fingerprint and, with `count`, both counts; the peak in MB."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        steps, peak = json.loads(python("-c", PREPARE, data, *["x"] * count, cache=Path(cache)))
    return steps, peak


def main() -> None:
    """Prints Markdown tables."""
    parser = bench.parser(__doc__, repeats=1)
    parser.add_argument("--cold", action="store_true", help="drop the kernel's caches (root)")
    parser.add_argument("--folds", type=int, default=10, help="folds of the cross-validation")
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS, help="rows of a CSV")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folds = measure_folds(Path(folder), options.folds)
        peaks = measure_peaks(Path(folder), options.repeats)
        times = measure_times(Path(folder), options)
        csv = measure_csv(Path(folder), options.rows)
    middle = {name: statistics.median(values) for name, values in peaks.items()}
    tables = [
        bench.table(["train.py from", "peak MB"], [[k, bench.spread(v)] for k, v in peaks.items()]),
        bench.table(["videos, seconds for", *STEPS], times),
        bench.table(
            ["rows of a CSV, seconds for", *STEPS[:3], "sum", "peak MB"],
            [[*line[:-1], f"{line[-1]:.0f}"] for line in csv],
        ),
        bench.table(
            ["fold of a cross-validation", *range(1, len(folds) + 1)],
            [["MB as it begins", *map(round, folds)]],
        ),
    ]
    ratios = {
        "memory.longer_videos": middle[LONG] / middle[SHORT],
        "memory.larger_videos": middle[LARGE] / middle[SHORT],
        "memory.more_videos": middle[MANY] / middle[FEW],
        "memory.longer_pack": middle[f"pack: {LONG}"] / middle[f"pack: {SHORT}"],
        "memory.more_in_pack": middle[f"pack: {MANY}"] / middle[f"pack: {FEW}"],
        "memory.catalog_10000_s": max(
            float(row[1]) + float(row[2]) for row in times if row[0].startswith("10,000")
        ),
    }
    ratios |= {f"memory.csv_{name}_s": float(line[-2]) for name, *line in csv}
    ratios |= {f"memory.csv_{name}_mb": line[-1] for name, *line in csv}
    if len(folds) > 2:
        ratios["memory.last_fold_vs_third"] = folds[-1] / folds[2]
    packages = ["tensorflow", "keras", "opencv-python", "numpy", "scikit-learn"]
    config = {"network": " ".join(NETWORK)}
    bench.report(options, "\n\n".join(tables), ratios, packages=packages, config=config)


def measure_peaks(folder: Path, repeats: int) -> dict[str, list[float]]:
    """The peak memory in MB by case, from videos and from raw packs of them."""
    data = {}
    for name, (videos, *size) in CASES.items():
        file = folder / ("x".join(map(str, size)) + ".avi")
        if not file.exists():
            write_video(file, *size)
        data[name] = make_catalog(folder / name, file, videos, classes=2)
    for name in PACKED:
        data[f"pack: {name}"] = folder / f"pack {name}"
        pack = ["pack", "--data", data[name], "--out", data[f"pack: {name}"], "--resize", 18, 24]
        python("-m", "ar3d_keras", *pack, cache=folder / "cache")
    contenders = {name: lambda at=at: peak(at, folder) for name, at in data.items()}
    return bench.take_turns(contenders, repeats)


def measure_folds(folder: Path, folds: int) -> list[float]:
    """The memory of one process in MB as each fold of a cross-validation begins."""
    file = folder / "fold.avi"
    write_video(file, *CASES[FEW][1:])
    data = make_catalog(folder / "folds", file, 48, classes=2)
    printed = python("-c", CROSSVAL, data, folder / "folds runs", folds, cache=folder / "cache")
    return json.loads(printed.splitlines()[-1])


def measure_csv(folder: Path, rows: Sequence[int]) -> list[list[object]]:
    """For each number of rows: seconds for catalog, split and fingerprint, and the peak in MB."""
    lines = []
    for count in rows:
        file = folder / f"{count}.csv"
        with file.open("w", encoding="utf-8") as text:
            text.write("path,label,group\n")
            for row in range(count):
                text.write(f"video_{row:07d}.mp4,class{row % 50:02d},recording{row // 10:06d}\n")
        steps, peak = prepare(file, folder, count=False)
        lines.append([f"{count:,}", *(f"{step:.2f}" for step in steps), f"{sum(steps):.2f}", peak])
    return lines


STEPS = ("catalog", "split", "fingerprint", "first count", "second count")


def measure_times(folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """A row for each number of videos: the medians of `prepare`."""
    file = folder / "tiny.avi"
    write_video(file, *CASES[MANY][1:])
    lines = []
    for videos in COUNTS:
        data = make_catalog(folder / f"{videos}", file, videos, classes=min(100, videos // 10))
        lines.append([f"{videos:,}", data, None])
    plain = make_catalog(folder / "plain", file, COUNTS[-1], classes=100, grouped=False)
    lines.append([f"{COUNTS[-1]:,}, no groups", plain, None])
    if options.cold:
        lines.append([f"{COUNTS[-1]:,}, nothing cached", data, drop_caches])
    rows = []
    for name, at, before in lines:
        rounds = []
        for _ in range(options.repeats):
            if before:
                before()
            rounds.append(prepare(at, folder, count=at is not plain)[0])
        medians = [statistics.median(step) for step in zip(*rounds, strict=True)]
        medians += [None] * (len(STEPS) - len(medians))
        rows.append([name, *("" if m is None else f"{m:.3f}" for m in medians)])
    return rows


if __name__ == "__main__":
    main()
