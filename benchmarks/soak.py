"""Do memory, open files and threads grow in hours of training and prediction?

python -m benchmarks.soak --minutes 20
python -m benchmarks.soak --minutes 20 --json soak.json --picture soak.png

Three processes work side by side: train.py from videos, train.py from a pack of them, and a loop of
predictions, of whole videos and window by window, with the run's network and with its SavedModel.
Each is measured every second from its first complete epoch or round on: its own memory (RssAnon: the
pages of a memory-mapped pack belong to the page cache), its open files and its threads. The ratio is
the median memory of the last third of that time divided by that of the middle third. The exit code is
1 if a ratio is above 1.03, or a process ends early.

The values come from /proc. On a system without it (macOS, Windows) the processes work for as long,
and the script says that it cannot report them.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from ar3d_keras.atomic import write_json
from ar3d_keras.reports.drawing import constrained, finish, new_figure, save
from ar3d_keras.training.hardware import cpu_model
from benchmarks import bench

BOUND = 1.03  # of the ratio
SECONDS = 1.0  # between two measurements
# Small, so that there are many steps, epochs and files in a minute.
NETWORK = (
    "--preset demo --attention --height 32 --width 32 --filters 8 --dense 16 --batch-size 8"
).split()
RESIZE = "--resize 36 48".split()
FOREVER = 1_000_000  # epochs
# Predicts until it is stopped, and adds a line to a file after each round.
PREDICT = """
import sys, time
from pathlib import Path
from ar3d_keras.experiments.load import open_classifier
from ar3d_keras.inference.predictor import predict_videos
from ar3d_keras.videos.unlabelled import find_videos
run, data, rounds = map(Path, sys.argv[1:])
classifiers = [open_classifier(run, None, run), open_classifier(None, run / "saved_model", run)]
videos = find_videos([data / "Grow"])
while True:
    for classifier in classifiers:
        predict_videos(classifier, videos)
        predict_videos(classifier, videos, window_seconds=0.4)
    with rounds.open("a") as file:
        file.write("round\\n")
"""


@dataclass
class Work:
    """A process that is measured.

    Attributes:
        process: of the work.
        log: its output.
        progress: a file that gets a line for each epoch or round.
        lines: lines in it before the first one.
        samples: (minutes, MB, open files, threads) at each measurement.
        begun: when its first epoch or round was complete; None: not yet.
    """

    process: subprocess.Popen
    log: Path
    progress: Path
    lines: int
    samples: list[tuple[float, float, int, int]] = field(default_factory=list)
    begun: float | None = None

    def done(self) -> int:
        """Complete epochs or rounds."""
        if not self.progress.exists():
            return 0
        return max(0, self.progress.read_bytes().count(b"\n") - self.lines)

    def measure(self) -> None:
        """Adds a sample, if the system has /proc."""
        if self.begun is None:
            if not self.done():
                return
            self.begun = time.monotonic()
        own = Path(f"/proc/{self.process.pid}")
        if own.exists():
            status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
            minutes = (time.monotonic() - self.begun) / 60
            megabytes = int(status["RssAnon"].split()[0]) / 1024
            files = len(list((own / "fd").iterdir()))
            self.samples.append((minutes, megabytes, files, int(status["Threads"])))

    def third(self, number: int) -> list[tuple[float, float, int, int]]:
        """The samples of a third of the time, 0 to 2."""
        length = self.samples[-1][0] / 3
        return [s for s in self.samples if number * length <= s[0] <= (number + 1) * length]


def python(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]


def prepare(folder: Path) -> tuple[Path, Path]:
    """Makes the demo set, a pack of it and a finished run; returns the set and the pack."""
    data, pack = folder / "demo", folder / "pack"
    for command in (
        python("-m", "ar3d_keras", "demo", "--to", data),
        python("-m", "ar3d_keras", "pack", "--data", data, "--out", pack, *RESIZE),
        python(
            "train.py", "--data", pack, "--runs-dir", folder / "runs", "--name", "run", *NETWORK,
            *RESIZE, "--epochs", 1,
        ),
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
    return data, pack


def start(folder: Path, data: Path, pack: Path) -> dict[str, Work]:
    """Starts the three processes."""
    commands = {}
    for name, source in (("videos", data), ("pack", pack)):
        run = ["--runs-dir", folder / "runs", "--name", name, "--epochs", FOREVER, "--data", source]
        progress = folder / "runs" / name / "history.csv"
        commands[f"train.py, {name}"] = python("train.py", *NETWORK, *RESIZE, *run), progress, 1
    rounds = folder / "rounds"
    commands["predictions"] = python("-c", PREDICT, folder / "runs/run", data, rounds), rounds, 0
    works = {}
    for name, (command, progress, lines) in commands.items():
        log = folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        works[name] = Work(process, log, progress, lines)
    return works


def watch(works: dict[str, Work], minutes: float) -> list[str]:
    """Measures until every process has worked for so long; returns the names of those that ended."""
    while True:
        for name, work in works.items():
            if work.process.poll() is not None:
                print(f"{name} ended:\n{work.log.read_text()[-3000:]}", file=sys.stderr)
                return [name]
            work.measure()
        now = time.monotonic()
        if all(w.begun is not None and now - w.begun >= minutes * 60 for w in works.values()):
            return []
        time.sleep(SECONDS)


def ratio(work: Work) -> float | None:
    """The median memory of the last third, divided by that of the middle third."""
    if not work.samples:
        return None
    middle, last = (statistics.median(s[1] for s in work.third(n)) for n in (1, 2))
    return last / middle


def table(works: dict[str, Work]) -> str:
    """A row for each process: epochs or rounds, and the medians of each third."""
    header = ["process", "epochs or rounds", "MB", "open files", "threads"]
    rows = []
    for name, work in works.items():
        cells = [
            " / ".join(
                f"{statistics.median(s[place] for s in work.third(n)):.0f}" for n in range(3)
            )
            if work.samples
            else "not measured"
            for place in (1, 2, 3)
        ]
        rows.append([name, work.done(), *cells])
    return bench.table(header, rows)


def draw(works: dict[str, Work], file: Path) -> None:
    """Draws memory, open files and threads over time."""
    figure = new_figure(7, 6, constrained())
    panels = figure.subplots(3, 1, sharex=True)
    for place, (axes, title) in enumerate(
        zip(panels, ("own memory, MB", "open files", "threads"), strict=True), start=1
    ):
        for name, work in works.items():
            axes.plot([s[0] for s in work.samples], [s[place] for s in work.samples], label=name)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(title)
    panels[0].legend(loc="lower right")
    panels[-1].set_xlabel("minutes since the first epoch or round")
    save(finish(figure), file)


def write(works: dict[str, Work], file: Path) -> None:
    """Writes the ratios and all samples as JSON."""
    names = "minutes", "megabytes", "open_files", "threads"
    content = {
        name: {
            "ratio": ratio(work),
            "epochs_or_rounds": work.done(),
            **dict(zip(names, zip(*work.samples, strict=True), strict=False)),
        }
        for name, work in works.items()
    }
    write_json(file, {"cpu": cpu_model(), "network": NETWORK, "processes": content})


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20, help="of work of each process")
    parser.add_argument("--json", type=Path, help="write ratios and all samples")
    parser.add_argument("--picture", type=Path, help="a PNG of the values over time")
    options = parser.parse_args()
    if not Path("/proc/self/status").exists():
        print("This system has no /proc: memory, open files and threads cannot be reported.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        works = start(folder, *prepare(folder))
        try:
            ended = watch(works, options.minutes)
        finally:
            for work in works.values():
                work.process.terminate()
            for work in works.values():
                work.process.wait()
        print(table(works))
        if options.picture and all(work.samples for work in works.values()):
            draw(works, options.picture)
        if options.json:
            write(works, options.json)
    ratios = {name: ratio(work) for name, work in works.items()}
    for name, value in ratios.items():
        print(f"{name}: {'not measured' if value is None else f'{value:.3f}'}")
    grown = any(value is not None and value > BOUND for value in ratios.values())
    print(f"{cpu_model()}, {options.minutes:g} minutes")
    return 1 if grown or ended else 0


if __name__ == "__main__":
    sys.exit(main())
