"""Keras callbacks that draw: learning curves after every epoch, a report after training.

The first two work in any `fit`:
`model.fit(x, y, callbacks=[SplitMetrics({"val": batches}), CurvesPlot("curves.png")])`, where
SplitMetrics, if used, comes first because it adds to the logs.
"""

import contextlib
import gc
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from ar3d_keras import atomic
from ar3d_keras.config import Monitor
from ar3d_keras.evaluation.evaluator import evaluate_batches
from ar3d_keras.evaluation.metrics import has_informative_top5
from ar3d_keras.reports import plots, report
from ar3d_keras.runs import columns

HEADLINES = ("top1", "top5", "mean_class_accuracy", "loss")  # of metrics.json, for TensorBoard


class CurvesPlot(keras.callbacks.Callback):
    """Draws accuracy and loss of train, val and test as training goes on (the paper's Figure 3).

    After every epoch, as long as drawing takes less than a tenth of the time; else less often. The
    last epoch is always drawn.

    Args:
        file: the PNG, written atomically.
        rows: rows of earlier epochs, where a run is resumed.
        monitor: the entry of the logs that ranks the epochs.
    """

    def __init__(
        self,
        file: str | Path,
        rows: Sequence[dict[str, float]] = (),
        monitor: Monitor = "val_accuracy",
    ) -> None:
        super().__init__()
        self.file, self.rows = Path(file), list(rows)
        self.monitor = monitor
        self._drawn, self._next = len(self.rows), 0.0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        if time.perf_counter() >= self._next:
            self.draw()

    def on_train_end(self, logs: dict | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Draws what is not drawn yet; also where training was stopped."""
        if self._drawn < len(self.rows):
            self.draw()

    def draw(self) -> None:
        """Draws the epochs so far."""
        begin, self._drawn = time.perf_counter(), len(self.rows)
        picture = plots.curves_png(columns(self.rows), self.monitor)
        with atomic.replacing(self.file) as temporary:
            temporary.write_bytes(picture)
        # A figure and its canvas refer to each other: 7 MB that Python frees minutes later by itself.
        gc.collect()
        end = time.perf_counter()
        self._next = end + 9 * (end - begin)


class ConfusionMatrixReport(keras.callbacks.Callback):
    """Writes report.html, confusion.png and their tables when training ends.

    Args:
        data: batches (clips, labels); an iterable that can be iterated again.
        class_names: the names of the network's outputs.
        folder: the folder of the report.
        about: where the numbers come from (dataset, split, protocol, ...), shown beside them.
    """

    def __init__(
        self,
        data: Iterable,
        class_names: Sequence[str],
        folder: str | Path,
        about: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.data, self.class_names, self.folder = data, class_names, Path(folder)
        self.about = dict(about or {})

    def on_train_end(self, logs: dict | None = None) -> None:
        evaluation = evaluate_batches(self.model, self.data, self.class_names)
        report.write_report(self.folder, evaluation, about=self.about, title=self.model.name)


class TensorBoardReport(keras.callbacks.TensorBoard):
    """Adds the reports of a run to its TensorBoard event files; needs TensorFlow.

    `train` calls `on_report(split, metrics, folder)` of every callback that has this method, after
    training and once for each report.

    Args:
        log_dir: the folder of the event files. Those of a report are in evaluation/SPLIT.
        kwargs: further arguments of keras.callbacks.TensorBoard.
    """

    def __init__(self, log_dir: str | Path, **kwargs: Any) -> None:
        super().__init__(log_dir, **kwargs)
        self.epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.epoch = epoch

    def on_report(self, split: str, metrics: Mapping[str, Any], folder: Path) -> None:
        """Writes the main metrics and the confusion matrix of a report.

        Args:
            split: the evaluated split, val or test.
            metrics: the content of metrics.json.
            folder: the folder of the report, with confusion.png.
        """
        from matplotlib.image import imread

        summary = self.summary  # tensorflow.summary
        writer = summary.create_file_writer(str(Path(self.log_dir) / "evaluation" / split))
        with contextlib.closing(writer), writer.as_default(step=self.epoch):
            for name in HEADLINES:
                if name != "top5" or has_informative_top5(metrics):
                    summary.scalar(f"evaluation/{name}", metrics[name])
            summary.image("evaluation/confusion", imread(folder / "confusion.png")[None])
