"""Does anything grow faster than the data, up to a million rows and more?

python -m benchmarks.catalog_scale [--rows 100000 1000000]

For each number of rows, a new process writes a CSV of videos that do not exist, opens it as a
catalog, takes its fingerprint, and splits it by groups; another one writes the index of a pack of as
many videos, with shards of the right size that are empty (files with holes), opens it, and takes its
scan. It prints the seconds of CPU and the peak memory, besides that of Python, for each row. `growth` is the exponent of the largest
and the smallest number: 1 is in proportion to the data, 2 would be quadratic. The script fails if one
is above 1.15.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FRAMES, VIDEOS_A_SHARD = 1, 20_000
LIMIT = 1.15


def _timed(found: dict[str, float], name: str, call: Callable):
    begun = time.process_time()
    value = call()
    found[name] = time.process_time() - begun
    return value


def _rows(count: int):
    for number in range(count):
        label = f"class{number % 700:03d}"
        yield f"{label}/video_{number:08d}.mp4", label, f"{label}-{number // 3500}"


def of_catalog(count: int, folder: Path) -> dict[str, float]:
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.splits import make_split

    found: dict[str, float] = {}
    with (folder / "labels.csv").open("w", encoding="utf-8") as file:
        file.write("path,label,group\n")
        file.writelines(",".join(row) + "\n" for row in _rows(count))
    catalog = _timed(found, "open the CSV", lambda: open_catalog(folder))
    _timed(found, "fingerprint", lambda: catalog.fingerprint)
    split = _timed(found, "split by group", lambda: make_split(catalog, "group", seed=0))
    _timed(found, "leak report", lambda: split.leak.sentences())
    return found


def of_pack(count: int, folder: Path) -> dict[str, float]:
    import numpy as np

    from ar3d_keras.videos.pack_index import PackedVideo, PackSettings, clock_of, write_index
    from ar3d_keras.videos.packs import open_pack
    from ar3d_keras.videos.video import Video

    settings = PackSettings("raw", 2, 2)
    length = FRAMES * (2 * 2 * 3 + 8)
    # The table of a video that is all zeros, so that the empty shards are those of this pack.
    import zlib

    crc = zlib.crc32(bytes(8 * FRAMES))
    clock = clock_of(np.zeros(FRAMES), 0.04)
    videos, shards = [], []
    for number, (path, label, group) in enumerate(_rows(count)):
        shard, place = divmod(number, VIDEOS_A_SHARD)
        videos.append(
            PackedVideo(
                Video(path, label, group), 1000, 0, FRAMES, shard=shard, offset=place * length,
                length=length, crc=crc, clock=clock,
            )
        )  # fmt: skip
    videos.sort(key=lambda packed: packed.video.path)
    for first in range(0, count, VIDEOS_A_SHARD):
        shards.append(min(VIDEOS_A_SHARD, count - first) * length)
        file = folder / settings.shard_name(len(shards) - 1)
        file.touch()
        os.truncate(file, shards[-1])
    found: dict[str, float] = {}
    source = folder / "gone"
    _timed(
        found, "write the index",
        lambda: write_index(folder, settings, videos, shards, source, False),
    )  # fmt: skip
    videos = []
    pack = _timed(found, "open the pack", lambda: open_pack(folder))
    _timed(found, "scan the pack", lambda: pack.scan(pack.catalog.videos))
    _timed(found, "changed videos", pack.changed)
    return found


PARTS = {"catalog": of_catalog, "pack": of_pack}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def child(part: str, count: int) -> None:
    import ar3d_keras.videos.packs
    import ar3d_keras.videos.splits  # noqa: F401

    before = _peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        found = PARTS[part](count, Path(folder))
    found["peak memory"] = _peak_bytes() - before
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        child(options.part, options.rows[0])
        return
    # A child's peak memory begins with that of its parent, which must be small: no backend is imported yet.
    measured: dict[str, dict[int, dict[str, float]]] = {}
    for part in PARTS:
        measured[part] = {}
        for count in options.rows:
            command = "-m", "benchmarks.catalog_scale", "--part", part, "--rows", str(count)
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            measured[part][count] = json.loads(done.stdout)
    report(measured)


def report(measured: dict[str, dict[int, dict[str, float]]]) -> None:
    """Prints the tables; exits with a line if something grows faster than the data."""
    from benchmarks import bench

    steep = []
    for part, found in measured.items():
        few, many = min(found), max(found)
        lines = []
        for name in found[few]:
            unit, scale = ("bytes", 1.0) if name == "peak memory" else ("us", 1e6)
            a_row = [f"{found[n][name] / n * scale:,.1f} {unit}" for n in found]
            grown = max(found[many][name], 1e-6) / max(found[few][name], 1e-6)
            growth = math.log(grown) / math.log(many / few)
            lines.append([name, *a_row, f"{growth:.2f}"])
            if growth > LIMIT and found[many][name] > 1:
                steep.append(f"{part}: {name} ({growth:.2f})")
        header = [f"{part}, a row", *(f"{count:,} rows" for count in found), "growth"]
        print(bench.table(header, lines) + "\n")
    print(f"{bench.machine_line()}.")
    if steep:
        raise SystemExit(f"grows faster than the data: {', '.join(steep)}")


if __name__ == "__main__":
    main()
