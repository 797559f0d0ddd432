"""Pictures and reports of many classes, folds and networks stay small in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.reports import architecture, contact_sheet, drawing, examples, plots, report_page
from ar3d_keras.reports.explanation_sheet import Explanations, draw_explanations
from ar3d_keras.reports.network_blocks import Block

REPORT = """
import sys
import numpy as np
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.reports.report import write_report

classes, videos, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random = np.random.default_rng(0)
labels = np.arange(videos) % classes
probabilities = random.random((videos, classes), np.float32)
probabilities[np.arange(videos), labels] += random.random(videos, np.float32)
probabilities /= probabilities.sum(axis=1, keepdims=True)
names = tuple(f"class {n:04d} with a long name" for n in range(classes))
write_report(
    folder,
    Evaluation(names, tuple(f"{names[n]}/video{i}.avi" for i, n in enumerate(labels)), labels,
               probabilities, tuple(f"g{i // 4}" for i in range(videos))),
    about={"dataset": "large"}, title="large", history={"epoch": [1, 2], "accuracy": [0.1, 0.2]},
    example_clips=(np.arange(12), np.zeros((12, 16, 112, 112, 3), np.uint8)),
)
"""

CONFUSION = """
import sys
import numpy as np
from ar3d_keras.reports import drawing, plots

n = int(sys.argv[1])
matrix = np.eye(n, dtype=np.int64) * 5
matrix[np.arange(n), np.random.default_rng(0).permutation(n)] += 1
png = drawing.png_bytes(plots.confusion(matrix, [f"class {k}" for k in range(n)], "t"))
"""


# Not ru_maxrss: a child that was started by vfork inherits that of pytest.
PEAK = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 1024)
"""


def peak(script, *arguments):
    """The peak resident memory of a script, in MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak memory of a process is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", script + PEAK, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_a_report_of_1000_classes_and_20000_videos_takes_less_than_600_mb(tmp_path):
    megabytes = peak(REPORT, 1000, 20_000, tmp_path)
    print(f"{megabytes:.0f} MB")
    assert megabytes < 600
    assert (tmp_path / "report.html").stat().st_size < 10e6
    assert "class 0999 with a long name" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("classes", [400, 700, 1100, 3000])
def test_the_memory_of_a_confusion_matrix_is_bounded(classes):
    megabytes = peak(CONFUSION, classes)
    print(f"{classes} classes: {megabytes:.0f} MB")
    assert megabytes < 600


def pixels(figure):
    width, height = figure.canvas.get_width_height()
    return width * height


@pytest.mark.parametrize("classes", [26, plots.NAMED, plots.NAMED + 1, 1000])
def test_a_confusion_matrix_of_any_size_is_bounded(classes):
    matrix = np.eye(classes, dtype=np.int32)
    figure = plots.confusion(matrix, [f"name {n}" for n in range(classes)], "t")
    assert pixels(figure) <= drawing.MAX_PIXELS * 1.01


@pytest.mark.parametrize("classes", [29, 30, 31, 75, 300])
def test_a_single_mistake_is_visible_even_where_classes_share_a_cell(classes, monkeypatch):
    monkeypatch.setattr(plots, "LARGEST", 30)
    matrix = np.eye(classes, dtype=np.int32) * 30
    matrix[classes - 3, 1] = 1
    cells = plots._cells(matrix)
    assert max(cells.shape) <= 30
    together = -(-classes // 30)
    red = cells[(classes - 3) // together, 1 // together].astype(int)
    assert red[0] > red[2] + 50  # it did not vanish among its neighbors


def test_beyond_the_named_classes_the_axes_have_numbers():
    figure = plots.confusion(np.eye(400, dtype=int), ["name"] * 400)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["20", "40"] and labels[-1] == "400"


@pytest.mark.parametrize("trainings", [plots.MANY, plots.MANY + 1, 100])
def test_curves_of_many_trainings(trainings):
    history = {"epoch": [1, 2, 3], "accuracy": [0.1, 0.2, 0.3], "val_loss": [3.0, 2.0, None]}
    figure = plots.curves({f"fold-{n}": history for n in range(trainings)})
    assert pixels(figure) <= drawing.MAX_PIXELS * 1.01
    few = trainings <= plots.MANY
    assert len(figure.axes) == (4 * trainings if few else 4)
    if not few:
        mean = figure.axes[0].lines[-1]
        assert len(figure.axes[0].lines) == trainings + 1
        assert mean.get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_many_networks_are_drawn_in_several_rows():
    block = Block("features", "convolution", "Conv3D", (4, 8, 8, 2), 10, ())
    blocks = [block] + [Block(f"layer{n}", "dense", "Dense", (4,), 10, (n,)) for n in range(6)]
    figure = architecture.draw({f"network {n}": blocks for n in range(16)})
    assert pixels(figure) <= drawing.MAX_PIXELS * 1.01
    assert figure.get_size_inches()[0] < 40  # inches wide


@pytest.mark.parametrize("size", [(8, 400), (400, 8), (1, 1), (240, 320)])
def test_frames_of_odd_sizes(size):
    clips = np.zeros((4, 6, *size, 3), np.uint8)
    shown = ["a", "b", "c", "d"], np.zeros(4, int), np.tile([0.7, 0.3], (4, 1)), ("x", "y")
    sheet = Explanations("Grad-CAM", tuple((("video", c), ("Grad-CAM", c)) for c in clips))
    for figure in (
        examples.draw_examples(clips, *shown),
        draw_explanations(sheet, *shown),
        contact_sheet.draw_clips([contact_sheet.Row(c, "x", "a", "view") for c in clips]),
    ):
        assert pixels(figure) <= drawing.MAX_PIXELS * 1.01
        width, height = figure.get_size_inches()
        assert width < 40 and height < 40


def test_the_page_of_many_classes_has_all_of_them_and_the_worst_pairs():
    classes, videos = 300, 900
    random = np.random.default_rng(0)
    names = tuple(f"class {n:03d}" for n in range(classes))
    evaluation = Evaluation(
        names, tuple(map(str, range(videos))), np.arange(videos) % classes,
        random.random((videos, classes)), (None,) * videos,
    )  # fmt: skip
    computed = {
        "top1": 0.5, "top1_interval": None, "interval_method": "none", "top5": 0.5, "top5_k": 5,
        "num_classes": classes, "mean_class_accuracy": 0.5, "loss": 1.0, "videos": videos,
        "skipped": 0, "leak": [], "skipped_videos": [],
    }  # fmt: skip
    page = report_page.build(evaluation, computed, {}, "t", False, {"confusion": b"png"})
    confused, every = page.split("<table")[1:3]
    assert 'class="confused sortable"' in confused and confused.count("<tr>") == 1 + 300
    assert 'class="classes sortable"' in every and every.count("<tr>") == 1 + classes
    assert page.count('class="scroll"') == 2
