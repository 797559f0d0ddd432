"""What do the seconds before and after the epochs of `python train.py --attention` consist of?

python -m benchmarks.phases [--epochs 1] [--json FILE]

Trains on the demo set in this process and adds up the CPU time (user and system, all threads and
child processes) of each phase, without that of the phases inside it. CPU time hardly depends on
other processes, so one run is enough; `seconds` is time by the clock.
"""

import functools
import importlib
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

begun = time.perf_counter()
E = "ar3d_keras.experiments."
# Phase, and the functions whose time it is, where they are called from.
PHASES = {
    "data": [f"{E}setup.open_catalog", f"{E}setup.split_videos", f"{E}setup.open_split"],
    "precision": [f"{E}train.choose_precision"],
    "network": [f"{E}train._check_network", "ar3d_keras.training.trainer.build_network"],
    "record": [f"{E}train.make_record"],
    "epochs": ["ar3d_keras.training.fitting.OneTraining.fit"],
    "curves": ["ar3d_keras.reports.callbacks.CurvesPlot.on_epoch_end"],
    "around the epochs": [f"{E}train.train_network"],
    "load the network": [f"{E}evaluate.load_network"],
    "predictions": [f"{E}evaluate.evaluate"],
    "explanations": [f"{E}evaluate._explanations", f"{E}evaluate._clips"],
    "calibration": [f"{E}evaluate.calibrate_network"],
    "draw": ["ar3d_keras.reports.report._draw", "ar3d_keras.reports.report.draw_reliability"],
    "PNG": ["ar3d_keras.reports.drawing.png_bytes", "ar3d_keras.reports.drawing.save"],
    "page": ["ar3d_keras.reports.report.report_page.build"],
    "report, other": [f"{E}train.evaluate_run"],
    "export": ["ar3d_keras.serving.export.write"],
    "warm-up requests": ["ar3d_keras.serving.export.warmup.write_warmup"],
    "export, other": [f"{E}train._export"],
}


def cpu() -> float:
    """Seconds of CPU of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Phases:
    """Adds up the time of nested phases, each without those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._stack = ["imports and options"]
        self._last = begun, 0.0

    def enter(self, name: str) -> None:
        """Begins a phase."""
        self._switch()
        self._stack.append(name)

    def leave(self) -> None:
        """Ends the innermost phase."""
        self._switch()
        self._stack.pop()

    def _switch(self) -> None:
        name, now = self._stack[-1], (time.perf_counter(), cpu())
        self.seconds[name] = self.seconds.get(name, 0.0) + now[0] - self._last[0]
        self.cpu[name] = self.cpu.get(name, 0.0) + now[1] - self._last[1]
        self._last = now

    def watch(self, name: str, place: str) -> None:
        """Replaces a function, named by its module and attributes, by one that is timed."""
        parts = place.split(".")
        for length in range(len(parts) - 1, 0, -1):
            try:
                owner: Any = importlib.import_module(".".join(parts[:length]))
                break
            except ModuleNotFoundError:
                continue
        for part in parts[length:-1]:
            owner = getattr(owner, part)
        setattr(owner, parts[-1], self._timed(name, getattr(owner, parts[-1])))

    def _timed(self, name: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*values: Any, **named: Any) -> Any:
            self.enter(name)
            try:
                return function(*values, **named)
            finally:
                self.leave()

        return timed


def main() -> None:
    """Prints a Markdown table."""
    from benchmarks import bench

    parser = bench.parser(__doc__, repeats=1)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--filters", type=int, help="fewer make the epochs short")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    phases = Phases()
    for name, places in PHASES.items():  # imports what the command imports
        for place in places:
            phases.watch(name, place)
    import ar3d_keras

    further = {} if options.filters is None else {"filters": options.filters}
    with tempfile.TemporaryDirectory() as folder:
        ar3d_keras.train(
            attention=True, epochs=options.epochs, runs_dir=folder, name="demo", **further
        )
        phases.leave()
    total = sum(phases.cpu.values())
    rows = [
        [name, f"{phases.cpu[name]:.2f}", f"{phases.seconds[name]:.1f}"]
        for name in sorted(phases.cpu, key=phases.cpu.__getitem__, reverse=True)
    ]
    around = total - phases.cpu.get("epochs", 0.0)
    rows.append(["all but the epochs", f"{around:.2f}", ""])
    bench.report(
        options,
        bench.table(["phase", "CPU s", "seconds"], rows),
        {"phases.around_the_epochs_cpu_s": around},
        packages=["tensorflow", "keras", "matplotlib"],
    )


if __name__ == "__main__":
    main()
