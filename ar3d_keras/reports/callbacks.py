"""Keras callbacks that draw: learning curves after every epoch, a report after training.

They need nothing else of this package:
`model.fit(x, y, callbacks=[SplitMetrics({"val": batches}), CurvesPlot("curves.png")])`, where
SplitMetrics, if used, comes first because it adds to the logs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras

from ar3d_keras.evaluation.evaluator import evaluate_batches
from ar3d_keras.reports import drawing, plots, report
from ar3d_keras.runs import columns


class CurvesPlot(keras.callbacks.Callback):
    """Draws accuracy and loss of train, val and test after every epoch (the paper's Figure 3).

    Args:
        file: the PNG, written atomically.
        name: the title of the figure; empty: the model's name.
        rows: rows of earlier epochs, where a run is resumed.
    """

    def __init__(self, file: str | Path, name: str = "", rows: Sequence[dict[str, float]] = ()):
        super().__init__()
        self.file, self.name, self.rows = Path(file), name, list(rows)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        drawing.save(plots.curves({self.name or self.model.name: columns(self.rows)}), self.file)


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
    ):
        super().__init__()
        self.data, self.class_names, self.folder = data, class_names, Path(folder)
        self.about = dict(about or {})

    def on_train_end(self, logs: dict | None = None) -> None:
        evaluation = evaluate_batches(self.model, self.data, self.class_names)
        report.write_report(self.folder, evaluation, about=self.about, title=self.model.name)
