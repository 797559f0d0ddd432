"""No name from a file becomes markup: the tags of a page do not depend on names."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.reports import data_page
from ar3d_keras.reports.report import write_report
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.content import NearDuplicate
from ar3d_keras.videos.scan import Scan
from ar3d_keras.videos.status import states
from ar3d_keras.videos.summary import class_summaries
from ar3d_keras.videos.video import Video

NASTY = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><svg onload=x>",
    "{{ 7*7 }}", "$x_{1", "\u202egpj.exe", "a\0b\nc", "&lt;b&gt;", "' onclick='x", "\udcff.avi",
)  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


def page_of(label, path, reason, tmp_path):
    videos = (Video(path, label), Video("b.avi", label + "2"), Video("c.avi", label))
    catalog = Catalog(tmp_path, videos, sizes=(1, 1, 1))
    scanned = Scan({"b.avi": 3, "c.avi": 30}, {path: reason}, {"c.avi": reason})
    pairs = [NearDuplicate("b.avi", "c.avi", "copy", 1.0, 0.0)]
    return data_page.build(
        catalog, scanned, class_summaries(catalog, scanned), pairs, states(catalog, scanned, 16),
        {"b.avi": "train", "c.avi": "test"}, [reason], True,
        {"data": path, "fingerprint": "x", "split_scheme": "group", "command": path},
    )  # fmt: skip


@settings(max_examples=30)
@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
@example(*NASTY[:3])
@example(*NASTY[3:6])
@example(*NASTY[6:9])
def test_the_data_report_escapes_every_name(tmp_path_factory, label, path, reason):
    folder = tmp_path_factory.getbasetemp()
    plain = Tags(page_of("a", "x.avi", "why", folder)).found
    assert Tags(page_of(label, f"{path}.avi", reason, folder)).found == plain


def report_of(names, paths, folder):
    labels = np.arange(6) % len(names)
    probabilities = np.full((6, len(names)), 0.2, np.float32)
    probabilities[:, 0] = 1 - 0.2 * (len(names) - 1)
    evaluation = Evaluation(
        probabilities=probabilities, labels=labels, paths=tuple(paths), groups=(None,) * 6,
        class_names=tuple(names), skipped=((paths[0] + "x", names[0]),),
    )  # fmt: skip
    write_report(folder, evaluation, about={"dataset": names[0], "split": "val"}, title=names[0])
    return (folder / "report.html").read_bytes().decode("utf-8", "replace")


@pytest.mark.parametrize("nasty", [NASTY[:3], NASTY[3:6], NASTY[7:10]])
def test_an_evaluation_report_escapes_every_name(tmp_path, plain_reports, nasty):
    names = sorted(nasty)
    plain = report_of(["a", "b", "c"], [f"{n}.avi" for n in range(6)], tmp_path / "plain")
    page = report_of(names, [f"{names[n % 3]}{n}" for n in range(6)], tmp_path / "nasty")
    ours = {tag for tag, _ in Tags(page).found}
    assert ours <= {tag for tag, _ in Tags(plain).found}
    assert not any(a.startswith("on") for _, attrs in Tags(page).found for a in attrs)
