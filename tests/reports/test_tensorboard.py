"""TensorBoard's event files contain the reports of a run."""

import numpy as np
import pytest

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.reports.callbacks import TensorBoardReport
from ar3d_keras.reports.report import write_report

tf = pytest.importorskip("tensorflow")


@pytest.mark.parametrize("classes", [2, 6])
def test_event_files_contain_the_metrics_and_the_confusion_matrix(tmp_path, classes):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), size=12)
    evaluation = Evaluation(
        class_names=tuple(f"c{n}" for n in range(classes)),
        paths=tuple(f"{n}.avi" for n in range(12)),
        labels=np.arange(12) % classes,
        probabilities=probabilities.astype(np.float32),
        groups=(None,) * 12,
    )
    report = write_report(tmp_path / "report", evaluation, about={}, title="run on test")
    TensorBoardReport(tmp_path / "logs").on_report("test", report, tmp_path / "report")

    events = EventAccumulator(str(tmp_path / "logs/evaluation/test"))
    events.Reload()
    written = {
        tag: tf.make_ndarray(events.Tensors(tag)[0].tensor_proto)
        for tag in events.Tags()["tensors"]
    }
    width, height, png = written.pop("evaluation/confusion")
    confusion = tf.io.decode_png((tmp_path / "report/confusion.png").read_bytes())
    assert (int(height), int(width)) == confusion.shape[:2]
    assert np.array_equal(tf.io.decode_png(png), confusion)
    names = ["top1", "top5", "mean_class_accuracy", "loss"]
    if classes == 2:
        names.remove("top5")  # the top two of two classes are always right
    assert written == {f"evaluation/{name}": np.float32(report[name]) for name in names}
