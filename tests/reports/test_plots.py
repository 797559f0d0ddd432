import io

import numpy as np
import pytest
from PIL import Image

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.reports import drawing, examples, plots

NAMES = ("밀기", "ᚠᚢᚦ", "costs $5 or $6", "line\nbreak", "a_very_long_name_" * 5, "go", "", "왼손")


def history(epochs, prefixes=("", "val_", "test_")):
    falling = np.linspace(1, 2, epochs)[::-1]
    curves = {"epoch": list(range(1, epochs + 1))}
    for prefix in prefixes:
        curves |= {f"{prefix}accuracy": list(1 / falling), f"{prefix}loss": list(falling)}
    return curves


def rendered(figure):
    """The picture as (height, width, 3) uint8; any warning of matplotlib fails the test."""
    return np.asarray(Image.open(io.BytesIO(drawing.png_bytes(figure))).convert("RGB"))


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_curves_have_a_row_for_each_split_and_one_scale(epochs):
    figure = plots.curves({"run": history(epochs)})
    assert len(figure.axes) == 6
    assert len({axes.get_ylim() for axes in figure.axes[::2]}) == 1
    assert len({axes.get_ylim() for axes in figure.axes[1::2]}) == 1
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["train", "val", "test"]
    assert "1.000" in texts(figure)  # the last value of both
    assert rendered(figure).min() < 128


def test_curves_leave_out_what_was_not_measured():
    assert len(plots.curves({"run": history(5, ("", "val_"))}).axes) == 4
    broken = history(3, ("",)) | {"val_accuracy": [None, float("nan"), None], "val_loss": []}
    figure = plots.curves({"run": broken})
    assert len(figure.axes) == 2
    rendered(figure)


def test_curves_survive_a_loss_that_is_no_number():
    broken = history(3, ("",)) | {"loss": [2.0, float("nan"), float("inf")]}
    figure = plots.curves({"run": broken})
    assert "2.000" in texts(figure)
    rendered(figure)


def test_curves_of_two_runs_stand_side_by_side():
    figure = plots.curves({"gated": history(9), "without gate": history(4, ("", "val_"))})
    assert len(figure.axes) == 3 * 4
    assert texts(figure).count("not measured") == 2
    columns = [figure.axes[place::2] for place in (0, 1)]
    assert [axes[0].get_title() for axes in columns] == ["gated", "without gate"]
    assert [axes.get_ylabel() for axes in columns[0]] == [
        f"{split} {quantity}"
        for quantity in ("accuracy", "loss")
        for split in ("train", "val", "test")
    ]
    assert not any(axes.get_ylabel() for axes in columns[1])
    assert len({axes.get_ylim() for axes in figure.axes[:6]}) == 1
    rendered(figure)


def test_a_mean_of_trainings_has_no_best_epoch():
    figure = plots.curves({"mean": history(9)}, mark_best=False)
    assert not any("best val" in text for text in texts(figure))


def test_curves_mark_the_epoch_with_the_best_val_accuracy():
    ups = history(3) | {"val_accuracy": [0.1, 0.7, 0.3]}
    assert "epoch  (dashed: best val, 2)" in texts(plots.curves({"run": ups}))


def test_of_equally_accurate_epochs_the_one_with_the_lower_loss_is_marked():
    tie = {"epoch": [1, 2, 3], "val_accuracy": [0.5, 1.0, 1.0], "val_loss": [1.0, 0.3, 0.2]}
    assert "epoch  (dashed: best val, 3)" in texts(plots.curves({"run": tie}))


def test_curves_of_nothing_are_refused():
    assert not plots.drawable({"epoch": [], "loss": []})
    assert not plots.drawable(None)
    with pytest.raises(ValueError, match="neither accuracy nor loss"):
        plots.curves({"run": {"epoch": [1]}})


def test_a_small_confusion_matrix_prints_its_counts_whatever_the_names():
    matrix = np.arange(64).reshape(8, 8)
    figure = plots.confusion(matrix, NAMES, "what & $x$ 밀기")
    shown = texts(figure)
    assert {str(count) for count in range(1, 64)} <= set(shown)
    assert "#1" in shown and "line\N{REPLACEMENT CHARACTER}break" in shown
    assert any(text.endswith("…") and len(text) <= 26 for text in shown)
    rendered(figure)


def test_a_confusion_matrix_of_60_classes_names_them_all_and_shows_a_single_mistake():
    matrix = np.eye(60, dtype=int) * 30
    plain = rendered(plots.confusion(matrix, [f"Class{i:03d}" for i in range(60)]))
    matrix[40, 20] = 1
    figure = plots.confusion(matrix, [f"Class{i:03d}" for i in range(60)])
    axes, shown = figure.axes[0], texts(figure)
    assert all(f"Class{i:03d}" in shown for i in range(60))
    assert "30" not in shown
    # A name's line fits between two rows, so that no two overlap.
    row = axes.get_window_extent().height / 60
    assert axes.yaxis.get_ticklabels()[0].get_window_extent().height < row
    # The row changes in two cells only: the mistake appears, the diagonal is a little paler.
    changed = np.argwhere((plain != rendered(figure)).any(axis=2))
    assert np.ptp(changed[:, 0]) <= row + 2
    mistake = changed[changed[:, 1] < changed[:, 1].mean()]
    assert len(mistake) > 0.8 * row**2 and np.ptp(mistake[:, 1]) <= row + 2


@pytest.mark.parametrize("count", [1, 2, 12, 25, 26])
def test_a_confusion_matrix_of_any_size_without_any_video_is_drawn(count):
    rendered(plots.confusion(np.zeros((count, count), int), ["name"] * count, "nothing"))


@pytest.mark.parametrize(("count", "frames", "classes"), [(1, 16, 8), (3, 1, 2), (12, 4, 8)])
def test_examples_show_the_name_the_frames_and_five_classes(count, frames, classes):
    random = np.random.default_rng(0)
    answers = random.dirichlet(np.ones(classes), count).astype(np.float32)
    figure = examples.draw_examples(
        random.integers(0, 256, (count, frames, 20, 24, 3), dtype=np.uint8),
        [f"{'밀기/' * 20}video{i}.avi" for i in range(count)],
        random.integers(0, classes, count),
        answers,
        NAMES[:classes],
    )
    bars = [axes for axes in figure.axes if axes.patches]
    assert len(bars) == count
    assert all(len(axes.patches) == min(5, classes) for axes in bars)
    assert sum(text.startswith(("✓", "✗")) for text in texts(figure)) == count
    assert any(f"video{count - 1}.avi" in text for text in texts(figure))
    rendered(figure)


def test_examples_paint_the_true_class_green_and_a_wrong_first_answer_red():
    from matplotlib.colors import to_hex

    answers = np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], np.float32)
    figure = examples.draw_examples(
        np.zeros((2, 8, 4, 4, 3), np.uint8), "ab", [0, 1], answers, "xyz"
    )
    colours = [[to_hex(bar.get_facecolor()) for bar in a.patches] for a in figure.axes if a.patches]
    assert colours == [
        [examples.RIGHT, examples.OTHER, examples.OTHER],
        [examples.WRONG, examples.RIGHT, examples.OTHER],
    ]


def test_a_strip_is_the_first_two_middle_and_the_last_frame():
    clip = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert [int(v) for v in examples._strip(clip)[0, :, 0] if v != 255][::2] == [0, 5, 10, 15]


def evaluated(labels, confidence):
    """Videos predicted as class 0 with the given probability; label 0 makes it right."""
    classes, videos = 4, len(labels)
    rest = (1 - np.array(confidence)) / (classes - 1)
    probabilities = np.tile(rest[:, None], classes)
    probabilities[:, 0] = confidence
    paths, groups = tuple(map(str, range(videos))), (None,) * videos
    return Evaluation(("a", "b", "c", "d"), paths, np.array(labels), probabilities, groups)


def test_examples_are_the_most_confident_and_spread_over_the_classes():
    evaluation = evaluated([0, 0, 0, 1, 1, 2, 3], [0.5, 0.9, 0.7, 0.99, 0.98, 0.6, 0.8])
    chosen = examples.choose_examples(evaluation, right=2, wrong=4)
    assert chosen.tolist() == [1, 2, 3, 6, 5, 4]
    assert chosen.dtype == np.int64
    assert examples.choose_examples(evaluation).tolist() == [1, 2, 0, 3, 6, 5, 4]
    assert examples.choose_examples(evaluation, right=0, wrong=0).tolist() == []


def test_a_saved_picture_is_whole_and_the_same_each_time(tmp_path):
    figure = plots.curves({"run": history(3)})
    drawing.save(figure, tmp_path / "deep" / "curves.png")
    content = (tmp_path / "deep" / "curves.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert content == drawing.png_bytes(plots.curves({"run": history(3)}))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["curves.png"]


def test_drawing_leaves_the_global_state_of_matplotlib_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    drawing.png_bytes(plots.confusion(np.eye(2, dtype=int), "ab"))
    assert dict(matplotlib.rcParams) == before
