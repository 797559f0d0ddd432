"""What it costs to decode each file in another process: a scan with and without.

    python -m benchmarks.scan DATA --files 300 --repeats 3

Each scan is a process of its own with an empty cache; the two kinds alternate. Prints seconds and
CPU seconds (all processes) of both, and the ratios of the medians.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import bench

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
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=3)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--descriptors", action="store_true", help="as `ar3d check` scans")
    options = parser.parse_args()
    cpu: dict[str, list[float]] = {"in this process": [], "in other processes": []}

    def once(name: str) -> float:
        isolated = name == "in other processes"
        seconds, busy, _ = scan(options.data, options.files, isolated, options.descriptors)
        cpu[name].append(busy)
        return seconds

    seconds = bench.take_turns({name: partial(once, name) for name in cpu}, options.repeats)
    rows = [[name, bench.spread(seconds[name], 2), bench.spread(cpu[name], 2)] for name in cpu]
    here, other = cpu
    bench.report(
        options,
        bench.table(["decoding", "seconds", "CPU s"], rows),
        {
            "scan.isolated_over_not": bench.ratio(seconds, other, here),
            "scan.isolated_over_not_cpu": bench.ratio(cpu, other, here),
        },
        packages=["av", "opencv-python", "numpy"],
    )


if __name__ == "__main__":
    main()
