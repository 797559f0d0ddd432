import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from ar3d_keras import Evaluation, write_report
from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.metrics import confusion_matrix, metrics, per_class
from ar3d_keras.reports import drawing, examples
from ar3d_keras.reports.explanation_sheet import Explanations

ODD = '밀기/<script>alert("1")</script>\n\udcff\u202e $x,.avi'
ABOUT = {
    "dataset": "demo <set>",
    "split": "test",
    "split_scheme": "group",
    "protocol": "1 centre clip",
    "backend": "tensorflow",
    "precision": "float32",
    "seed": "42",
    "command": "python evaluate.py --data 'a & b'",
}
HISTORY = {"epoch": [1, 2], "accuracy": [0.2, 0.4], "loss": [2.0, 1.5], "val_accuracy": [0.1, 0.3]}


@pytest.fixture
def evaluation():
    random = np.random.default_rng(0)
    return Evaluation(
        class_names=("밀기", "a,b", 'quo"te', "<b>bold</b>", "unseen\r\nclass", "$y"),
        paths=(ODD, *(f"v{i:02d}.avi" for i in range(1, 40))),
        labels=random.permutation(np.arange(40) % 4),
        probabilities=random.dirichlet(np.ones(6), 40).astype(np.float32),
        groups=tuple(None if i % 5 == 0 else f"g{i // 4}" for i in range(40)),
        skipped=((ODD, 'no "frames" & <none>'), ("b.avi", "empty file")),
    )


class Page(HTMLParser):
    """Collects the tags and the text, and checks that every tag is closed."""

    VOID = frozenset({"meta", "img", "input"})

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.text, self.links = [], [], "", []
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_folder_holds_every_part_and_returns_what_it_wrote(tmp_path, evaluation):
    clips = np.zeros((3, 8, 16, 16, 3), np.uint8)
    chosen = examples.choose_examples(evaluation, 1, 2)
    written = write_report(
        tmp_path / "new" / "test",
        evaluation,
        about=ABOUT,
        title="demo",
        history=HISTORY,
        leak=["Nothing leaks."],
        example_clips=(chosen, clips),
    )
    assert sorted(path.name for path in (tmp_path / "new" / "test").iterdir()) == [
        "confusion.csv",
        "confusion.png",
        "examples.png",
        "metrics.json",
        "per_class.csv",
        "predictions.csv",
        "reliability.png",
        "report.html",
    ]
    kept = json.loads((tmp_path / "new" / "test" / "metrics.json").read_text(encoding="utf-8"))
    assert kept == written
    assert kept == kept | ABOUT | metrics(evaluation)
    assert kept["leak"] == ["Nothing leaks."]
    assert [video["reason"] for video in kept["skipped_videos"]] == [
        'no "frames" & <none>',
        "empty file",
    ]


def test_the_tables_can_be_read_back_whatever_the_names(tmp_path, evaluation):
    write_report(tmp_path, evaluation, about=ABOUT, title="demo")
    classes = list(evaluation.class_names)

    confusion = read_csv(tmp_path / "confusion.csv")
    assert confusion[0][1:] == classes == [row[0] for row in confusion[1:]]
    counts = [[int(cell) for cell in row[1:]] for row in confusion[1:]]
    assert counts == confusion_matrix(evaluation).tolist()

    rows = read_csv(tmp_path / "per_class.csv")
    assert rows[0][:5] == ["class", "videos", "precision", "recall", "f1"]
    assert rows[0][5:] == ["recall_low", "recall_high"]
    assert [row[0] for row in rows[1:]] == classes
    assert [float(row[4]) for row in rows[1:]] == [row["f1"] for row in per_class(evaluation)]

    header, *lines = read_csv(tmp_path / "predictions.csv")
    assert header[:6] == ["path", "label", "predicted", "correct", "group", "top1"]
    assert header[-2:] == ["top5", "top5_probability"] and len(header) == 15
    assert [line[0] for line in lines[1:]] == list(evaluation.paths[1:])
    assert lines[0][0] == ODD.replace("\udcff", "\\udcff")
    assert [line[1] for line in lines] == [classes[label] for label in evaluation.labels]
    assert [line[3] for line in lines] == [str(int(right)) for right in evaluation.correct]
    assert [line[4] or None for line in lines] == list(evaluation.groups)
    for line, probabilities in zip(lines, evaluation.probabilities, strict=True):
        shares = [float(share) for share in line[6::2]]
        assert line[2] == line[5] == classes[probabilities.argmax()]
        assert shares == pytest.approx(sorted(probabilities, reverse=True)[:5], abs=1e-6)


def test_csv_lines_end_with_a_line_feed_and_ordinary_fields_are_bare(tmp_path):
    plain = Evaluation(("a", "b"), ("x.avi",), np.array([1]), np.array([[0.25, 0.75]]), ("g1",))
    write_report(tmp_path, plain, about={}, title="t")
    assert (tmp_path / "predictions.csv").read_bytes() == (
        b"path,label,predicted,correct,group,top1,top1_probability,top2,top2_probability\n"
        b"x.avi,b,b,1,g1,b,0.750000,a,0.250000\n"
    )


def test_the_page_is_well_formed_and_needs_nothing_beside_it(tmp_path, evaluation):
    write_report(
        tmp_path,
        evaluation,
        about=ABOUT,
        title="<i>demo</i> & $title",
        history=HISTORY,
        leak=["98.9 % <leaks>", "second"],
        has_leakage=True,
        example_clips=(np.array([0]), np.zeros((1, 4, 8, 8, 3), np.uint8)),
    )
    source = page_of(tmp_path)
    page = Page(source)
    assert not {"link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("script") == 1
    assert "b" in page.tags and "<b>bold" not in source
    assert len(page.links) == 4
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp|eval\(|innerHTML", source)
    assert "<i>demo</i> & $title" in page.text
    assert "demo <set>" in page.text and "python evaluate.py --data 'a & b'" in page.text
    # The odd path stands there in one line, its unseen signs as escapes.
    assert r'밀기/<script>alert("1")</script>\n\udcff\u202e $x,.avi' in page.text
    assert 'no "frames" & <none>' in page.text
    assert "\u202e" not in source


def test_the_page_has_the_numbers_and_where_they_come_from(tmp_path, evaluation):
    computed = write_report(tmp_path, evaluation, about=ABOUT, title="demo")
    text = Page(page_of(tmp_path)).text
    low, high = computed["top1_interval"]
    assert f"{100 * computed['top1']:.1f} %" in text
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in text
    assert "top-5" in text and f"{computed['loss']:.3f}" in text
    for key in ("split_scheme", "protocol", "backend"):
        assert f"{key.replace('_', ' ')} {ABOUT[key]}" in text
    assert f"{100 * computed['top1_counting_skipped_as_wrong']:.1f} %" in text
    assert computed["interval_method"] in text
    table = page_of(tmp_path).split('<table class="classes sortable">')[1].split("</table>")[0]
    names = re.findall(r'<tr><td>\d+</td><th scope="row">(.*?)</th>', table)
    assert len(names) == len(evaluation.class_names)
    assert names[-2:] == [r"unseen\r\nclass", "$y"]  # without videos, so last


@pytest.mark.parametrize(("loud", "kind"), [(True, "box loud"), (False, "box calm")])
def test_a_leak_is_a_warning_where_asked(tmp_path, evaluation, loud, kind):
    leak = ["Half of it leaks.", "Choose another split scheme."]
    write_report(tmp_path, evaluation, about={}, title="t", leak=leak, has_leakage=loud)
    source = page_of(tmp_path)
    assert f'class="{kind}"' in source
    assert ('role="alert"' in source) is loud
    assert "<h3>Half of it leaks.</h3><p>Choose another split scheme.</p>" in source


def test_sections_without_content_are_left_out(tmp_path):
    perfect = Evaluation(("a", "b"), ("x", "y"), np.array([0, 1]), np.eye(2), (None, None))
    write_report(tmp_path, perfect, about={}, title="t", history={"epoch": [], "loss": []})
    source = page_of(tmp_path)
    assert 'class="box' not in source
    assert not any(
        word in source for word in ("Learning curves", "<h2>Examples", "<h2>Most confused")
    )
    assert "top-2" not in source  # 1.000 by definition


def test_a_single_class_is_no_special_case(tmp_path):
    one = Evaluation(("only",), ("x",), np.array([0]), np.ones((1, 1)), (None,))
    assert write_report(tmp_path, one, about={}, title="t")["top1"] == 1.0


def test_nothing_is_written_without_videos(tmp_path):
    empty = Evaluation(("a",), (), np.empty(0, int), np.empty((0, 1)), (), (("x", "broken"),))
    with pytest.raises(UserError, match="broken"):
        write_report(tmp_path / "test", empty, about={}, title="t")
    assert not (tmp_path / "test").exists()


def test_an_entry_with_the_name_of_a_metric_raises(tmp_path, evaluation):
    with pytest.raises(ValueError, match="top1"):
        write_report(tmp_path, evaluation, about={"top1": "0.99"}, title="t")


def test_a_report_that_cannot_be_drawn_leaves_the_old_one_as_it_was(
    tmp_path, evaluation, monkeypatch
):
    clips = (np.array([0]), np.zeros((1, 4, 8, 8, 3), np.uint8))
    write_report(tmp_path, evaluation, about={}, title="old", example_clips=clips)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(figure):
        raise OSError("disk full")

    monkeypatch.setattr(drawing, "png_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path, evaluation, about={}, title="new")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_pictures_of_an_older_report_do_not_stay(tmp_path, evaluation):
    clips = (np.array([0]), np.zeros((1, 4, 8, 8, 3), np.uint8))
    maps = Explanations("Grad-CAM", ((("video", clips[1][0]), ("Grad-CAM", clips[1][0])),))
    write_report(
        tmp_path, evaluation, about={}, title="old", example_clips=clips, explanations=maps
    )
    assert maps.caption.split(".")[0] in page_of(tmp_path)
    for name in ("examples.png", "explanation.png"):
        assert (tmp_path / name).is_file()
    write_report(tmp_path, evaluation, about={}, title="new")
    for name in ("examples.png", "explanation.png"):
        assert not (tmp_path / name).exists()
