"""A training run, and what can be done with it."""

import os
from pathlib import Path
from typing import Any, Literal

import keras

from ar3d_keras.experiments.evaluate import calibrate_run, evaluate_split
from ar3d_keras.experiments.events import evaluate_events
from ar3d_keras.experiments.export import export
from ar3d_keras.experiments.load import load_network
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, find_run


class Run(RunFolder):
    """A training run: `train` returns it, and `open_run` finds it again.

    Attributes:
        folder: where its files are; see `RunFolder` for them.
    """

    def evaluate(
        self,
        split: Literal["train", "val", "test"] = "test",
        *,
        clips: int = 1,
        crops: Literal[1, 3] = 1,
        precision: Literal["float32", "bfloat16"] = "float32",
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        devices: int | Literal["all"] = 1,
        reporter: Reporter | None = None,
    ) -> dict[str, Any]:
        """Evaluates the run's network on a split and writes the report.

        Args:
            split: train, val or test.
            clips: clips per video, evenly spread; their probabilities are averaged.
            crops: crops per clip: 1 (center) or 3.
            precision: what the network computes in.
            data: where the videos are now, if they were moved.
            workers: decoding threads; None: one per core.
            devices: devices that predict, a number or all; the last bits depend on it.
            reporter: shows progress; None: prints it.

        Returns:
            The content of metrics.json: top1, top5, mean_class_accuracy (0..1), loss (nats),
            top1_interval and more.

        Raises:
            UserError: the run has no weights yet, or its data cannot be used.
        """
        return evaluate_split(
            self.folder,
            split,
            clips=clips,
            crops=crops,
            precision=precision,
            data=data,
            workers=workers,
            devices=devices,
            reporter=reporter,
            command=f"run.evaluate({split!r}, clips={clips}, crops={crops})",
        )

    def evaluate_events(
        self,
        stretches: str | os.PathLike[str] | None = None,
        *,
        window_seconds: float,
        hop_seconds: float | None = None,
        background: str | None = None,
        clips: int = 1,
        crops: Literal[1, 3] = 1,
        precision: Literal["float32", "bfloat16"] = "float32",
        data: str | os.PathLike[str] | None = None,
        segments: Literal["strict", "clip"] | None = None,
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Any]:
        """Scores the stretches that the network finds in untrimmed videos of val and test.

        Args:
            stretches: a CSV (path,label,start,end[,split]); None: the run's split.csv.
            window_seconds: the length of a window.
            hop_seconds: from the start of one window to the next; None: `window_seconds`.
            background: a class that is no event.
            clips: clips of a window.
            crops: crops of a clip: 1 (center) or 3.
            precision: what the network computes in.
            data: where the run's videos are now, if they were moved.
            segments: strict refuses a stretch that ends beyond its file, clip cuts it; None: as the
                run was trained.
            workers: decoding threads; None: one per core.
            reporter: shows progress; None: prints it.

        Returns:
            The content of events.json; see `experiments.events.evaluate_events`.

        Raises:
            UserError: the run has no weights yet, or a row of the CSV is wrong.
        """
        return evaluate_events(
            self.folder,
            stretches=stretches,
            window_seconds=window_seconds,
            hop_seconds=hop_seconds,
            background=background,
            clips=clips,
            crops=crops,
            precision=precision,
            data=data,
            segments=segments,
            workers=workers,
            reporter=reporter,
            command=f"run.evaluate_events({str(stretches)!r}, window_seconds={window_seconds})",
        )

    def calibrate(
        self,
        reject_error: float | None = None,
        *,
        data: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        reporter: Reporter | None = None,
    ) -> dict[str, Any]:
        """Fits a temperature on val and, if wanted, thresholds; writes the reports again.

        Args:
            reject_error: the share of wrong predictions among the accepted val videos that is
                allowed, between 0 and 1; None: accept everything.
            data: where the videos are now, if they were moved.
            workers: decoding threads; None: one per core.
            reporter: shows progress; None: prints it.

        Returns:
            The content of metrics.json for test, with `calibrated` and `rejection`.

        Raises:
            UserError: as `evaluate`, or the error is out of range or too small for the val split.
        """
        return calibrate_run(
            self.folder,
            reject_error,
            data=data,
            workers=workers,
            reporter=reporter,
            command=f"run.calibrate({reject_error})",
        )

    def model(self) -> keras.Model:
        """The network that the run kept, in float32; it knows its class names and clips.

        Raises:
            UserError: the run has no weights yet, or the file is damaged.
        """
        return load_network(self)

    def export(
        self,
        format: Literal["savedmodel", "onnx", "openvino", "litert"] = "savedmodel",
        *,
        to: str | os.PathLike[str] | None = None,
        version: int | None = None,
        int8: bool = False,
        precision: Literal["auto", "float32", "bfloat16"] = "float32",
        reporter: Reporter | None = None,
    ) -> Path:
        """Writes the network as a SavedModel for TF Serving, or for another runtime.

        Args:
            format: what to write.
            to: SavedModel: the folder of versions (default: saved_model in the run). Other formats:
                the folder to make (default: export/FORMAT in the run).
            version: of the SavedModel; None: the highest there plus 1.
            int8: LiteRT only: whether the weights are stored as int8.
            precision: SavedModel and openvino only: what the network computes in; auto is the faster
                one on this machine.
            reporter: logs where it is; None: prints that.

        Returns:
            The folder of the SavedModel's version, or the network's file.

        Raises:
            UserError: the version or folder exists, or a package is missing.
        """
        return export(
            self,
            format,
            to=to,
            version=version,
            int8=int8,
            precision=precision,
            reporter=reporter,
        )


def open_run(
    run: str | os.PathLike[str] | None = None, *, runs_dir: str | os.PathLike[str] = "runs"
) -> Run:
    """Finds a run.

    Args:
        run: its folder, or its name under `runs_dir`. Default: the run that was last begun.
        runs_dir: the folder of all runs.

    Raises:
        UserError: there is no such run.
    """
    return Run(find_run(run, Path(runs_dir)).folder)
