import contextlib
import dataclasses
import shutil

import numpy as np
import pytest

from ar3d_keras.config import DataConfig
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import open_catalog
from ar3d_keras.videos.dataset import clip_shape, open_dataset
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.splits import SPLITS, make_split

SHAPE = ClipShape(frames=4, height=16, width=16, resize_height=18, resize_width=24, stride=2)


class Listener(Reporter):
    """Keeps what is said."""

    def __init__(self):
        self.lines, self.bars = [], []

    def log(self, text):
        self.lines.append(text)

    @contextlib.contextmanager
    def bar(self, description, total, unit):
        steps = []
        yield lambda done, note="": steps.append(done)
        self.bars.append((description, total, unit, steps))


@pytest.fixture
def root(ucf_set, tmp_path):
    """A set of its own: groups 1-3 train, 4 val, 5 test, of two classes."""
    root = shutil.copytree(ucf_set, tmp_path / "data")
    names = {"1": "train", "2": "train", "3": "train", "4": "val", "5": "test"}
    rows = [
        f"{path.relative_to(root)},{path.parent.name},{names[path.name[-9]]}\n"
        for path in root.rglob("*.avi")
    ]
    (root / "labels.csv").write_text("path,label,split\n" + "".join(rows))
    return root


def path_of(label, group):
    spelled = label.replace("Handstand", "HandStand")
    return f"{label}/v_{spelled}_g0{group}_c01.avi"


def opened(root, reporter=None, **options):
    split = make_split(open_catalog(root), "csv")
    return open_dataset(split, SHAPE, workers=2, reporter=reporter or Reporter(), **options)


def test_every_split_is_a_source(root):
    listener = Listener()
    dataset = opened(root, listener)
    assert dataset.class_names == ("Archery", "HandstandPushups")
    assert listener.lines == []
    assert listener.bars == [("checking", 10, "videos", list(range(11)))]
    assert [dataset.skipped(name) for name in SPLITS] == [(), (), ()]
    training = dataset.training(seed=1, flip=False)
    assert len(training) == 6
    assert training.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert not np.array_equal(training[0, 0], training[0, 1])
    several = dataset.training(seed=1, flip=False, at_least=13)
    assert len(several) == 18
    assert [several.video_of(index) for index in (0, 2, 3, 17, 18)] == [0, 0, 1, 5, 0]
    assert not np.array_equal(several[0, 0], several[1, 0])
    val, test = dataset.evaluation("val"), dataset.evaluation("test", clips=2, crops=3)
    assert (len(val), len(test)) == (2, 12)
    assert np.array_equal(val[0, 0], val[0, 1])
    assert val[0, 0].shape == (4, 16, 16, 3)


def test_skipped_videos_are_named_by_split(root):
    train, val = path_of("Archery", 1), path_of("HandstandPushups", 4)
    (root / train).write_bytes(b"")
    (root / val).write_text("no video")
    listener = Listener()
    dataset = opened(root, listener)
    assert dataset.skipped("train") == ((train, "the file is empty"),)
    ((path, reason),) = dataset.skipped("val")
    assert path == val
    assert dataset.skipped("test") == ()
    assert dataset.unreadable == dict(dataset.skipped("train") + dataset.skipped("val"))
    assert listener.lines == [
        f"skipped (train): {train!r}: the file is empty",
        f"skipped (val): {val!r}: {reason}",
        "2 of 10 videos cannot be decoded",
    ]
    # They are gone from the sources, and stay in the split.
    assert len(dataset.training(seed=0, flip=False)) == 5
    assert [video.path for video in dataset.evaluation("val").videos] == [path_of("Archery", 4)]
    assert dataset.split.sizes == {"train": 6, "val": 2, "test": 2}


def test_copies_across_splits_are_a_leak_and_are_logged(root, write_frames):
    train, val, test = (path_of("Archery", group) for group in (1, 4, 5))
    shutil.copyfile(root / train, root / test)
    listener = Listener()
    dataset = opened(root, listener)
    assert dataset.split.copies == ((test, train),)
    assert dataset.split.leak.test_copies == 1
    assert dataset.split.leak.has_leakage
    assert dataset.split.leak.sentences()[0].startswith("LEAK: 1 of 2 test videos")
    assert listener.lines[0] == dataset.split.leak.sentences()[0]
    assert test in listener.lines[1]
    assert train in listener.lines[1]
    # Only what is scanned can be compared.
    assert opened(root, splits=("val", "test")).split.copies == ()
    shutil.copyfile(root / train, root / val)
    assert opened(root).split.copies == ((val, train), (test, train))


def test_frame_folders_with_the_same_images_are_copies(tmp_path, write_frames):
    for number, split in enumerate(("train", "val", "test")):
        for label in "ab":
            first = 0 if label == "a" and split != "val" else 10 * number + 100 * (label == "b")
            write_frames(tmp_path / split / label / f"{split}{label}", 4, first=first)
    dataset = opened(tmp_path)
    assert dataset.split.copies == (("test/a/testa", "train/a/traina"),)


def test_damaged_videos_are_named_by_split(root, monkeypatch):
    damage = {path_of("Archery", 4): "1 of 20 frames"}
    monkeypatch.setattr(
        "ar3d_keras.videos.dataset.scan",
        lambda *args, **options: dataclasses.replace(scan(*args, **options), damaged=damage),
    )
    listener = Listener()
    assert opened(root, listener).damaged == damage
    (line,) = listener.lines
    assert line.startswith(f"damaged (val): {path_of('Archery', 4)!r}: 1 of 20 frames")


@pytest.mark.parametrize(("name", "groups"), [("train", (1, 2, 3)), ("val", (4,)), ("test", (5,))])
def test_a_split_with_nothing_to_decode(root, user_error, name, groups):
    for label in ("Archery", "HandstandPushups"):
        for group in groups:
            (root / path_of(label, group)).write_bytes(b"")
    listener = Listener()
    with user_error(f"no video of {name} in", str(root), "can be decoded"):
        opened(root, listener)
    assert listener.lines[0].startswith(f"skipped ({name}): ")


def test_a_training_class_with_nothing_to_decode(root, user_error):
    for group in (1, 2, 3):
        (root / path_of("HandstandPushups", group)).unlink()
    with user_error("no training video of class 'HandstandPushups'", str(root)):
        opened(root)


def test_only_the_splits_that_are_asked_for_are_probed(root):
    for group in (1, 2, 3):
        (root / path_of("Archery", group)).write_bytes(b"")
    listener = Listener()
    dataset = opened(root, listener, splits=("val",))
    assert len(dataset.frames) == 2
    assert listener.lines == []
    assert listener.bars[0][1] == 2
    assert len(dataset.evaluation("val")) == 2


def test_videos_that_the_lists_do_not_name_are_not_probed(root):
    split = make_split(open_catalog(root), "csv")
    assigned = list(split.assigned)
    assigned[0] = None
    left_out = type(split)(split.catalog, "csv", tuple(assigned))
    (root / split.catalog.videos[0].path).write_bytes(b"")
    dataset = open_dataset(left_out, SHAPE, workers=1, reporter=Reporter())
    assert len(dataset.frames) == 9
    assert dataset.unreadable == {}


def test_clip_shape():
    assert clip_shape(DataConfig()) == ClipShape(16, 112, 112, 128, 171, 4)
    config = DataConfig(frames=8, height=48, width=64, resize=(50, 70), stride=1)
    assert clip_shape(config) == ClipShape(8, 48, 64, 50, 70, 1)
