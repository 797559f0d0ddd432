"""Near-duplicates are found in altered copies of moving discs, and in nothing else."""

import av
import numpy as np
import pytest

from ar3d_keras.videos.demo import make_demo
from ar3d_keras.videos.describing import describe, reduced_frames
from ar3d_keras.videos.descriptor import MOST_STEPS, SIDE, STEP, Describer, Descriptor, moves
from ar3d_keras.videos.duplicates import find_pairs
from ar3d_keras.videos.reader import timed_frames


def encode(file, frames, rate=25, codec="libx264", options=None):
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        height, width = (side // 2 * 2 for side in frames[0].shape[:2])
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


ACTIONS = "CircleClockwise", "Grow", "MoveDown", "MoveRight", "Shrink"
CHANGES = {
    "encoded": (list, "mpeg4", {"qmin": "8", "qmax": "8"}),
    "scaled": (lambda frames: [f.repeat(2, 0).repeat(2, 1) for f in frames], "libx264", {}),
    "cropped": (lambda frames: [f[3:-3, 4:-4] for f in frames], "libx264", {}),
    "cut": (lambda frames: frames[len(frames) // 8 : -len(frames) // 8], "libx264", {}),
    "mirrored": (lambda frames: [f[:, ::-1] for f in frames], "libx264", {}),
}


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Paths of 15 videos: five actions of three scenes; the five share background and disc.

    Without MoveLeft beside MoveRight: they are mirror images of each other but for the background,
    of which a large disc leaves little.
    """
    folder = tmp_path_factory.mktemp("discs") / "demo"
    found = make_demo(folder, seed=3, groups=3, clips=1).rglob("*.avi")
    return sorted(path for path in found if path.parent.name in ACTIONS)


@pytest.fixture(scope="module")
def described(discs):
    return [describe(path)[1] for path in discs]


def test_distinct_videos_of_one_scene_are_no_pairs(discs, described):
    pairs = find_pairs(described, lambda index: reduced_frames(discs[index]))
    assert pairs == []


@pytest.mark.parametrize("change", CHANGES)
def test_altered_copies_are_found(change, discs, described, tmp_path):
    alter, codec, options = CHANGES[change]
    copies, files = [], []
    for number, path in enumerate(discs):
        frames = [frame.copy() for _, frame in timed_frames(path)]
        file = tmp_path / f"{number}.mp4"
        encode(file, alter(frames), codec=codec, options=options)
        files.append(file)
        copies.append(describe(file)[1])
    both = [*discs, *files]
    pairs = find_pairs([*described, *copies], lambda index: reduced_frames(both[index]))
    count = len(discs)
    found = [p for p in pairs if p.other == p.one + count]
    kind = "mirrored" if change == "mirrored" else "copy"
    assert {p.kind for p in found} == {kind}
    assert len(found) >= 0.85 * count
    wrong = [p for p in pairs if p.one % count != p.other % count]
    assert not wrong


def random_walk(seed, steps=40):
    rng = np.random.default_rng(seed)
    still = rng.uniform(0, 200, (1, SIDE, SIDE))
    motion = np.cumsum(rng.normal(0, 5, (steps, SIDE, SIDE)), axis=0)
    return np.clip((still + motion) * 256, 0, 65535).astype(np.uint16)


def test_shift_is_the_lead_of_the_second_video():
    pictures = random_walk(0, 60)
    (pair,) = find_pairs([Descriptor(pictures[10:], STEP), Descriptor(pictures[:50], STEP)])
    assert (pair.one, pair.other, pair.kind) == (0, 1, "copy")
    assert pair.shift == pytest.approx(10 * STEP)
    assert pair.score > 0.99


def test_videos_with_different_steps_are_compared():
    pictures = random_walk(1, 100)
    fine, coarse = Descriptor(pictures, STEP), Descriptor(pictures, STEP).coarser(4 * STEP)
    assert coarse.pictures.shape == (25, SIDE, SIDE)
    (pair,) = find_pairs([fine, coarse])
    assert pair.score > 0.99


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_videos(count):
    assert find_pairs([Descriptor(random_walk(n), STEP) for n in range(count)]) == []


def test_still_and_short_videos_are_not_compared():
    still = Descriptor(np.full((30, SIDE, SIDE), 9000, np.uint16), STEP)
    short = Descriptor(random_walk(2, 3), STEP)
    assert not moves(still) and not moves(short)
    assert find_pairs([still, still, short, short]) == []


def test_a_describer_weighs_frames_by_the_time_that_they_are_shown():
    describer = Describer()
    describer.add(0.0, np.full((20, 30), 100, np.uint8))
    describer.add(0.175, np.full((20, 30), 200, np.uint8))
    describer.add(0.2, np.full((20, 30), 200, np.uint8))
    found = describer.descriptor()
    assert found.step == STEP
    np.testing.assert_allclose(found.gray()[:2, 0, 0], [100, 125], atol=0.5)


def test_a_long_video_has_a_bounded_descriptor():
    describer = Describer()
    for second in range(2000):
        describer.add(float(second), np.full((4, 4), second % 250, np.uint8))
    found = describer.descriptor()
    assert MOST_STEPS // 2 <= len(found.pictures) <= MOST_STEPS
    assert found.step == STEP * 2 ** round(np.log2(found.step / STEP))
    assert len(found.pictures) * found.step == pytest.approx(2000, abs=found.step)
