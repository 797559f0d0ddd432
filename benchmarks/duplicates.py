"""How many altered copies of real videos does the search for near-duplicates find?

python -m benchmarks.duplicates --realdata ../shared/realdata [--videos 300] [--many 10000]
python -m benchmarks.duplicates --realdata ../shared/realdata --change cropped --many 0

Takes distinct clips, writes an altered copy of each with PyAV for every kind of change, and searches
among the clips and their copies. Recall: the share of copies that are paired with their original.
False pairs: pairs of distinct clips. The thresholds were chosen on half of the clips; recall is
printed for both halves. The last table times the comparison of many
videos, whose descriptors are those of the clips with noise.
"""

import argparse
import csv
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ar3d_keras.training.hardware import cpu_model
from benchmarks import bench

FOLDERS = ("ut_interaction2", "utd_rgb5", "fight")
HEIGHT = 480  # larger videos are reduced to it, so that encoding does not take the most time


def clips(root: Path, count: int) -> list[Path]:
    """`count` videos: all of the first folders, the rest evenly from the last one."""
    found: list[Path] = []
    for name in FOLDERS:
        folder = root / name
        with (folder / "labels.csv").open(encoding="utf-8") as file:
            paths = [folder / row["path"] for row in csv.DictReader(file)]
        room = count - len(found)
        if room < len(paths):
            paths = [paths[i] for i in np.linspace(0, len(paths) - 1, max(room, 0)).astype(int)]
        found += paths
    return found


def trimmed(share: float) -> Callable[[list], list]:
    """A cut of the first and the last `share` of the frames."""
    return lambda frames: frames[round(share * len(frames)) : round((1 - share) * len(frames))]


def cropped(frames: list) -> list:
    """The frames without 5 % of their width and height on each side."""
    height, width = (round(0.05 * side) for side in frames[0].shape[:2])
    return [frame[height:-height, width:-width] for frame in frames]


def halved(frames: list) -> list:
    """The frames at half their size."""
    from ar3d_keras.videos.reader import load_cv2

    cv2 = load_cv2()
    size = [side // 2 for side in frames[0].shape[1::-1]]
    return [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]


def mirrored(frames: list) -> list:
    """The frames with left and right exchanged."""
    return [frame[:, ::-1] for frame in frames]


# Name -> (change of the frames, codec, its options, suffix).
VARIANTS: dict[str, tuple[Callable[[list], list], str, dict[str, str], str]] = {
    "H.264 at CRF 32": (list, "libx264", {"crf": "32", "preset": "veryfast"}, "mp4"),
    "MPEG-4 at quantizer 12": (list, "mpeg4", {"qmin": "12", "qmax": "12"}, "avi"),
    "half size, H.264 at CRF 28": (halved, "libx264", {"crf": "28", "preset": "veryfast"}, "mp4"),
    "half size, H.264 at CRF 36": (halved, "libx264", {"crf": "36", "preset": "veryfast"}, "mp4"),
    "cropped by 5 % on each side": (cropped, "libx264", {"preset": "veryfast"}, "mp4"),
    "first and last 10 % cut": (trimmed(0.1), "libx264", {"preset": "veryfast"}, "mp4"),
    "first and last 20 % cut": (trimmed(0.2), "libx264", {"preset": "veryfast"}, "mp4"),
    "mirrored": (mirrored, "libx264", {"preset": "veryfast"}, "mp4"),
}


def variant_file(folder: Path, number: int, name: str) -> Path:
    """Where a variant of a video is written."""
    words = "".join(letter if letter.isalnum() else "-" for letter in name)
    return folder / f"{number:04d}-{words}.{VARIANTS[name][3]}"


def write_variants(source: Path, folder: Path, number: int, names: list[str]) -> None:
    """Writes a file for each of these variants of a video, unless it is there."""
    wanted = {name: variant_file(folder, number, name) for name in names}
    wanted = {name: file for name, file in wanted.items() if not file.exists()}
    if not wanted:
        return
    frames, rate = decode(source)
    for name, file in wanted.items():
        change, codec, options, _ = VARIANTS[name]
        encode(file, change(frames), rate, codec, options)


def decode(path: Path) -> tuple[list[np.ndarray], float]:
    """All frames of a video, uint8 BGR of even sides, and its rate."""
    from ar3d_keras.videos.reader import load_cv2, rate_of, timed_frames

    frames = []
    for _, frame in timed_frames(path):
        scale = min(1, HEIGHT / frame.shape[0])
        size = [2 * round(scale * side / 2) for side in frame.shape[1::-1]]
        frames.append(load_cv2().resize(frame, size, interpolation=load_cv2().INTER_AREA))
    return frames, rate_of(path)


def encode(file: Path, frames: list, rate: float, codec: str, options: dict[str, str]) -> None:
    """Writes frames as a video; its sides are cut to even numbers."""
    import av

    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(rate).limit_denominator(1001), options=options
        )
        height, width = (side // 2 * 2 for side in frames[0].shape[:2])
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


def held_out(number: int) -> bool:
    """Whether a clip is in the half that thresholds were not chosen on: every other four clips.

    Repetitions of one action by one person are neighbors, so that they are in one half.
    """
    return number // 4 % 2 == 1


def measure(originals: list, copies: list, kind: str, files: list[Path]) -> dict[str, float]:
    """Recall and false pairs of one variant, on the even clips and on the odd ones.

    Args:
        originals: the descriptors of the clips.
        copies: those of their copies, in the same order.
        kind: the kind of pair that is right.
        files: of both.
    """
    from ar3d_keras.videos.describing import reduced_frames
    from ar3d_keras.videos.duplicates import find_pairs

    count = len(originals)
    pairs = find_pairs([*originals, *copies], lambda index: reduced_frames(files[index]))
    found = {p.one for p in pairs if p.other == p.one + count and p.kind == kind}
    wrong = [pair for pair in pairs if pair.one % count != pair.other % count]
    for pair in wrong:
        print(f"false: {files[pair.one]} {files[pair.other]} {pair.kind} {pair.score}")
    halves = [[n for n in range(count) if held_out(n) is half] for half in (False, True)]
    tuned, held = (sum(n in found for n in half) / len(half) for half in halves)
    return {"tuned": tuned, "held out": held, "false pairs": len(wrong)}


def many(originals: list, count: int) -> Iterator:
    """Descriptors of `count` made-up videos: the background of one clip and the motion of another.

    The motion is moved, and faster or slower, so that hardly any two videos are the same.
    """
    from ar3d_keras.videos.descriptor import Descriptor

    rng = np.random.default_rng(0)
    for _ in range(count):
        still, moving = (originals[index] for index in rng.integers(len(originals), size=2))
        motion = moving.pictures.astype(np.float32)
        motion = np.roll(motion - motion.mean(axis=0), rng.integers(-4, 5, size=2), axis=(1, 2))
        steps = max(8, int(len(motion) * rng.uniform(0.6, 1.6)))
        places = np.linspace(0, len(motion) - 1, steps).round().astype(int)
        noise = rng.normal(0, 64, (steps, *motion.shape[1:]))
        pictures = (still.pictures.mean(axis=0) + motion[places] + noise).clip(0, 65535)
        yield Descriptor(pictures.astype(np.uint16), moving.step)


def main() -> None:
    """Prints Markdown tables."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--realdata", type=Path, default=Path("../shared/realdata"))
    options.add_argument("--videos", type=int, default=300)
    options.add_argument("--many", type=int, default=10_000)
    options.add_argument("--change", default="", help="only the kinds of change that begin so")
    options.add_argument("--to", type=Path, help="keep the altered copies in this folder")
    given = options.parse_args()
    if not all((given.realdata / name / "labels.csv").is_file() for name in FOLDERS):
        print(f"skipped: {given.realdata} does not hold {', '.join(FOLDERS)}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        run(given, given.to or Path(temporary))


def run(given: argparse.Namespace, folder: Path) -> None:
    """The measurement; the copies are written to `folder`."""
    from ar3d_keras.videos.describing import describe, reduced_frames
    from ar3d_keras.videos.descriptor import moves
    from ar3d_keras.videos.duplicates import find_pairs

    folder.mkdir(parents=True, exist_ok=True)
    sources = clips(given.realdata, given.videos)
    names = [name for name in VARIANTS if name.startswith(given.change)]
    for number, source in enumerate(sources):
        write_variants(source, folder, number, names)
    begun = time.perf_counter()
    originals = [describe(source)[1] for source in sources]
    seconds = time.perf_counter() - begun
    among = find_pairs(originals, lambda index: reduced_frames(sources[index]))
    rows = []
    for name in names:
        files = [variant_file(folder, number, name) for number in range(len(sources))]
        copies = [describe(file)[1] for file in files]
        kind = "mirrored" if name == "mirrored" else "copy"
        row = measure(originals, copies, kind, [*sources, *files])
        rows.append([name, f"{row['tuned']:.3f}", f"{row['held out']:.3f}", row["false pairs"]])
    print(bench.table(["change", "recall, tuned on", "recall, held out", "false pairs"], rows))
    still = sum(not moves(descriptor) for descriptor in originals)
    print(f"\n{len(sources)} clips, {still} without motion; described in {seconds:.1f} s.")
    print(f"{bench.machine_line()}.")
    print(f"Pairs among the distinct clips: {len(among)}")
    for pair in among:
        print(f"  {sources[pair.one]} {sources[pair.other]} {pair.kind} {pair.score}")
    if not given.many:
        return
    descriptors = list(many(originals, given.many))
    begun, clock = time.perf_counter(), time.process_time()
    pairs = find_pairs(descriptors)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - clock
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(descriptors):,} videos compared in {seconds:.1f} s ({cpu:.1f} s of CPU), "
        f"{len(pairs):,} pairs, peak memory of the process {memory:,.0f} MiB; "
        f"{cpu_model()}, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
