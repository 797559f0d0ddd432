"""The demo set: UCF-101's layout, no clue but motion, whole or not there at all."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ar3d_keras.errors import UserError
from ar3d_keras.videos import demo

GROUPS, CLIPS = 3, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return demo.make_demo(tmp_path_factory.mktemp("data") / "demo", groups=GROUPS, clips=CLIPS)


def decode(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return np.stack(frames)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_names_and_groups_are_those_of_ucf101(folder):
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.avi"))
    assert found == demo.video_names(GROUPS, CLIPS)
    assert len(found) == len(demo.ACTIONS) * GROUPS * CLIPS == 48
    for name in found:
        match = re.fullmatch(r"(\w+)/v_(\w+)_g(\d{2})_c(\d{2})\.avi", name)
        assert match and match[1] == match[2]
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == list(demo.ACTIONS)


def test_the_full_set_has_groups_1_to_25():
    names = demo.video_names()
    assert len(set(names)) == 8 * 25 * 3
    assert {int(re.search(r"_g(\d+)_", name)[1]) for name in names} == set(range(1, 26))


def test_every_video_decodes_to_what_was_drawn(folder):
    for action, group, clip in [("MoveUp", 1, 1), ("Grow", 2, 2), ("CircleClockwise", 3, 1)]:
        drawn = demo.draw_video(action, group, clip)
        read = decode(folder / action / f"v_{action}_g{group:02d}_c{clip:02d}.avi")
        assert read.shape == drawn.shape and read.shape[1:] == (60, 80, 3)
        assert np.abs(read.astype(float) - drawn).mean() < 6  # MPEG-4 loses a little
    for name in demo.video_names(GROUPS, CLIPS):
        frames = len(decode(folder / name))
        group, clip = int(name[-10:-8]), int(name[-6:-4])
        assert frames == demo.draw_shot(group, clip).frames
        # The trainer's stride is 2, and 16 frames at stride 2 leave at least 4 windows.
        assert frames % 2 == 1 and 35 <= frames <= 43
    header = cv2.VideoCapture(str(folder / name))
    assert header.get(cv2.CAP_PROP_FPS) == 25
    header.release()


def test_same_seed_same_files_other_seed_other_frames(folder, tmp_path):
    again = demo.make_demo(tmp_path / "a", groups=GROUPS, clips=CLIPS)
    assert tree(again) == tree(folder)
    other = demo.draw_video("Grow", 1, 1, seed=1)
    assert other.shape[1:] == (60, 80, 3)
    assert not np.array_equal(other[:30], demo.draw_video("Grow", 1, 1, seed=0)[:30])


def test_a_complete_folder_is_used_as_it_is(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert demo.make_demo(folder, groups=GROUPS, clips=CLIPS) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize("action", demo.ACTIONS)
def test_opposite_actions_are_the_same_frames_reversed(action):
    opposite = demo.OPPOSITES[action]
    assert opposite != action and demo.OPPOSITES[opposite] == action
    for group in (1, 2):
        forward, backward = (demo.draw_video(a, group, 1) for a in (action, opposite))
        np.testing.assert_array_equal(forward, backward[::-1])
        assert not np.array_equal(forward, backward)


def test_all_actions_share_the_middle_frame():
    for group, clip in [(1, 1), (7, 3)]:
        videos = [demo.draw_video(action, group, clip) for action in demo.ACTIONS]
        middles = [video[len(video) // 2] for video in videos]
        assert all(np.array_equal(middle, middles[0]) for middle in middles)


def test_the_action_is_the_movement_its_name_says():
    shot = demo.draw_shot(1, 1)
    first, last = {}, {}
    for action in demo.ACTIONS:
        first[action], *_, last[action] = demo.trajectory(action, shot)
    assert last["MoveRight"][0] > first["MoveRight"][0] + 20
    assert last["MoveDown"][1] > first["MoveDown"][1] + 20
    assert last["Grow"][2] > first["Grow"][2] * 1.8
    x, y, _ = demo.trajectory("CircleClockwise", shot).T
    # With y pointing down, clockwise is the direction of a growing angle.
    centre = shot.x - shot.orbit * np.cos(shot.phase), shot.y - shot.orbit * np.sin(shot.phase)
    angle = np.unwrap(np.arctan2(y - centre[1], x - centre[0]))
    assert (np.diff(angle) > 0.1).all()


def test_all_actions_place_the_disc_alike_at_mid_time():
    shots = [demo.draw_shot(group, clip) for group in range(1, 26) for clip in (1, 2, 3)]
    for action in demo.ACTIONS:
        middles = [demo.trajectory(action, shot)[shot.frames // 2] for shot in shots]
        np.testing.assert_array_equal(middles, [(s.x, s.y, s.radius) for s in shots])


def test_a_classifier_of_decoded_middle_frames_stays_at_chance(tmp_path):
    """The codec sees what came before the middle frame; it must not give it away."""
    groups = 8
    folder = demo.make_demo(tmp_path / "demo", groups=groups, clips=1)
    features, labels, group_of = [], [], []
    for label, action in enumerate(demo.ACTIONS):
        for group in range(1, groups + 1):
            video = decode(folder / action / f"v_{action}_g{group:02d}_c01.avi")
            features.append(cv2.resize(video[len(video) // 2], (20, 15)).ravel() / 255)
            labels.append(label)
            group_of.append(group)
    features, labels, group_of = map(np.array, (features, labels, group_of))
    train = group_of > groups // 2
    model = LogisticRegression(max_iter=300).fit(features[train], labels[train])
    assert model.score(features[~train], labels[~train]) < 0.35  # chance 0.125, 32 videos


def test_progress_counts_every_video(tmp_path):
    calls = []
    demo.make_demo(
        tmp_path / "d", groups=1, clips=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(i, 8) for i in range(1, 9)]


def test_an_interrupted_generation_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.make_demo(tmp_path / "demo", groups=2, clips=1, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL")
def test_a_killed_generation_leaves_no_folder_and_the_next_one_succeeds(tmp_path):
    code = (
        "import sys; from ar3d_keras.videos.demo import make_demo; "
        "make_demo(sys.argv[1], progress=lambda *_: print('.', flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        cwd=Path(demo.__file__).parents[2],
    ) as process:
        process.stdout.readline()  # it is at work
        process.kill()
    assert not (tmp_path / "demo").exists()
    assert demo.make_demo(tmp_path / "demo", groups=1, clips=1).is_dir()


def test_two_at_once_both_get_the_whole_set(tmp_path, folder):
    results = []

    def make():
        results.append(tree(demo.make_demo(tmp_path / "demo", groups=GROUPS, clips=CLIPS)))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [tree(folder)] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "demo").mkdir()
    assert len(tree(demo.make_demo(tmp_path / "demo", groups=1, clips=1))) == 8 + 1


def test_errors_say_what_to_do_and_change_nothing(tmp_path, folder):
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("precious")
    with pytest.raises(UserError, match="not a demo set"):
        demo.make_demo(other)
    assert tree(other) == {"notes.txt": b"precious"}
    with pytest.raises(UserError, match="not a demo set"):
        demo.make_demo(other / "notes.txt")
    with pytest.raises(UserError, match="cannot be written"):
        demo.make_demo(other / "notes.txt" / "demo")
    with pytest.raises(UserError, match="another demo set"):
        demo.make_demo(folder, seed=5, groups=GROUPS, clips=CLIPS)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nowhere"):
        demo.make_demo(tmp_path / "link")
    for wrong in ({"groups": 0}, {"clips": 100}, {"seed": -1}):
        with pytest.raises(UserError, match="needs"):
            demo.make_demo(tmp_path / "new", **wrong)
    with pytest.raises(ValueError, match="action must be one of"):
        demo.draw_video("Jump", 1, 1)


def test_a_set_that_lost_a_video_is_named(tmp_path):
    folder = demo.make_demo(tmp_path / "demo", groups=1, clips=1)
    (folder / "Grow/v_Grow_g01_c01.avi").unlink()
    with pytest.raises(UserError, match=r"lacks 1 .*v_Grow_g01_c01"):
        demo.make_demo(folder, groups=1, clips=1)


def test_an_opencv_without_the_codec_is_named(tmp_path, monkeypatch):
    class Closed:
        def isOpened(self):  # noqa: N802
            return False

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoWriter", lambda *_: Closed())
    monkeypatch.setattr(cv2, "VideoWriter_fourcc", lambda *_: 0, raising=False)
    with pytest.raises(UserError, match="cannot encode MPEG-4"):
        demo.make_demo(tmp_path / "demo", groups=1, clips=1)
    assert list(tmp_path.iterdir()) == []


def test_a_video_cut_short_is_an_error(tmp_path, monkeypatch):
    real = cv2.VideoWriter

    class Short:
        def __init__(self, *arguments):
            self.writer, self.left = real(*arguments), 5

        def write(self, frame):
            self.left -= 1
            if self.left > 0:
                self.writer.write(frame)

        def __getattr__(self, name):
            return getattr(self.writer, name)

    monkeypatch.setattr(cv2, "VideoWriter", Short)
    with pytest.raises(UserError, match="was not written whole"):
        demo.make_demo(tmp_path / "demo", groups=1, clips=1)
    assert list(tmp_path.iterdir()) == []


def test_the_full_set_takes_seconds(tmp_path):
    start = time.process_time()
    demo.make_demo(tmp_path / "demo", groups=5, clips=3)  # a fifth
    assert time.process_time() - start < 5


def test_importing_it_does_not_import_opencv():
    code = "import sys, ar3d_keras.videos.demo; sys.exit('cv2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(demo.__file__).parents[2])
