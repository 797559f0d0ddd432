"""What it costs to decode each file in another process: a scan with and without.

    python -m benchmarks.scan DATA --files 300 --repeats 3

Each scan is a process of its own with an empty cache; the two kinds alternate. Prints seconds and
CPU seconds (all processes) of both, and the ratios of the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCAN = """
import json, resource, sys, time
from pathlib import Path
from ar3d_keras.videos import isolation
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.video import Video
from ar3d_keras.videos.video_files import walk
root, count, isolated, descriptors = Path(sys.argv[1]), *json.loads(sys.argv[2])
if not isolated:
    isolation.Isolation.call = lambda self, function, path, **options: function(path, **options)
paths = [str(path.relative_to(root)) for path, reason in walk(root) if reason is None and path.is_file()]
catalog = Catalog(root, tuple(Video(path, "x") for path in sorted(paths)[:count]))
begun = time.perf_counter()
found = scan(catalog, workers=2, descriptors=descriptors)
seconds = time.perf_counter() - begun
isolation._end()
usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([seconds, sum(u.ru_utime + u.ru_stime for u in usage), len(found.frames)]))
"""


def scan(data: Path, files: int, isolated: bool, descriptors: bool) -> list[float]:
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", SCAN, data, json.dumps([files, isolated, descriptors])],
            cwd=ROOT,
            env={**os.environ, "XDG_CACHE_HOME": cache},
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--descriptors", action="store_true", help="as `ar3d check` scans")
    options = parser.parse_args()
    measured: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(options.repeats):
        for isolated in (False, True):
            found = scan(options.data, options.files, isolated, options.descriptors)
            measured[isolated].append(found)
            kind = "isolated" if isolated else "unisolated"
            print(
                f"{kind:<10} {found[0]:6.2f} s, {found[1]:6.2f} CPU s, {found[2]} files", flush=True
            )
    for place, unit in enumerate(("seconds", "CPU seconds")):
        medians = {k: statistics.median(m[place] for m in runs) for k, runs in measured.items()}
        print(
            f"{unit}: {medians[True]:.2f} / {medians[False]:.2f} = {medians[True] / medians[False]:.2f}"
        )


if __name__ == "__main__":
    main()
