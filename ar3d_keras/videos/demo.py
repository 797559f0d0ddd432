"""The generated motion dataset: eight actions that only motion tells apart.

A bright textured disc moves over a cluttered still background. The files are encoded, named
and grouped as UCF-101's, so they go through the same code as real videos. What makes the set a
test of a video network and not of a picture network:

- Clip c of group g shows the same background, disc, place and size in every class, and all
  eight share one middle frame exactly: a single middle frame carries no information at all.
- Opposite actions are the same frames in reversed order: without the order of frames no
  classifier can do better than one half.

Both hold for the frames that are drawn; MPEG-4 then changes them slightly.
"""

import concurrent.futures
import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter

ACTIONS = (
    "CircleClockwise",
    "CircleCounterClockwise",
    "Grow",
    "MoveDown",
    "MoveLeft",
    "MoveRight",
    "MoveUp",
    "Shrink",
)
"""The classes, in alphabetical order."""

OPPOSITES = {
    "CircleClockwise": "CircleCounterClockwise",
    "CircleCounterClockwise": "CircleClockwise",
    "Grow": "Shrink",
    "MoveDown": "MoveUp",
    "MoveLeft": "MoveRight",
    "MoveRight": "MoveLeft",
    "MoveUp": "MoveDown",
    "Shrink": "Grow",
}
"""Each action and its time reversal."""

HEIGHT, WIDTH, FPS = 60, 80, 25

_CODEC = "XVID"  # what UCF-101's files hold
_TEXTURE = 32  # side of the disc's picture, pixels
_MARKER = "demo.json"  # written last: a folder that holds it was finished
_VERSION = 1  # raise it whenever the frames change


@dataclass(frozen=True)
class Scene:
    """What the clips of one group share, in every class."""

    background: np.ndarray
    """float32 (HEIGHT, WIDTH, 3), 0 to 255."""

    disc: np.ndarray
    """float32 (_TEXTURE, _TEXTURE, 4): colours times opacity (0 to 255), opacity (0 to 1)."""


@dataclass(frozen=True)
class Shot:
    """How one clip was filmed, whatever the action. Lengths in pixels, times in frames."""

    frames: int
    """Odd, so that there is a middle frame."""

    x: float
    """Of the disc's centre in the middle frame."""

    y: float
    """Of the disc's centre in the middle frame."""

    radius: float
    """Of the disc in the middle frame."""

    speed: float
    """Of the four straight movements, pixels a frame."""

    growth: float
    """The natural logarithm of the radius changes by this a frame."""

    orbit: float
    """Radius of the circle the disc runs on."""

    phase: float
    """Where on that circle the disc is in the middle frame, radians."""

    turn: float
    """Angle on that circle, radians a frame."""


def make_demo(
    folder: str | os.PathLike,
    *,
    seed: int = 0,
    groups: int = 25,
    clips: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Makes the dataset at `folder`, or uses the one that stands there.

    The folder appears complete or not at all, and of several processes that make it at the same
    time one succeeds and all use its files. The same arguments give the same frames.

    Args:
        folder: where the class folders go, as `folder/MoveLeft/v_MoveLeft_g01_c01.avi`.
        seed: of everything that is drawn, 0 or greater.
        groups: source recordings a class, 1 to 99.
        clips: videos a group, 1 to 99.
        progress: called with (videos done, videos in all) in the calling thread.

    Returns:
        `folder`.

    Raises:
        UserError: the folder holds something else or another demo set, it cannot be written,
            or this OpenCV cannot encode MPEG-4.
    """
    if not (1 <= groups <= 99 and 1 <= clips <= 99 and seed >= 0):
        raise UserError(
            f"groups={groups}, clips={clips}, seed={seed}: the demo set needs 1 to 99 groups, "
            "1 to 99 clips a group and a seed of 0 or greater."
        )
    folder = Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise UserError(
            f"{folder} is a symbolic link to {folder.readlink()}, which does not exist: remove the "
            "link, or mount the disk that it leads to"
        )
    recipe = {"demo": _VERSION, "seed": seed, "groups": groups, "clips": clips}
    if _stands(folder, recipe):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
        part.mkdir()
    except OSError as error:
        raise UserError(
            f"{folder}: the demo set cannot be written there ({error.strerror}); choose another "
            "folder."
        ) from error
    try:
        _write_all(part, recipe, progress)
        try:
            part.rename(folder)
        except OSError:  # somebody was faster: theirs is used, for they may be reading it
            if not _stands(folder, recipe):
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def is_demo(folder: str | os.PathLike) -> bool:
    """Whether `folder` is a demo set, of whatever sizes."""
    return (Path(folder) / _MARKER).is_file()


def video_names(groups: int = 25, clips: int = 3) -> list[str]:
    """The set's files, relative to its folder, with `/`, in alphabetical order."""
    return [_name(*key) for key in _keys(groups, clips)]


def draw_video(action: str, group: int, clip: int, *, seed: int = 0) -> np.ndarray:
    """The frames of one video before encoding.

    Args:
        action: one of `ACTIONS`.
        group: 1 or greater.
        clip: 1 or greater.
        seed: of the dataset.

    Returns:
        uint8 (time, HEIGHT, WIDTH, 3), blue-green-red as OpenCV has it; 35 to 43 frames.
    """
    scene, shot = draw_scene(group, seed=seed), draw_shot(group, clip, seed=seed)
    frames = [_paint(scene, *place) for place in trajectory(action, shot)]
    return np.stack(frames)


def draw_shot(group: int, clip: int, *, seed: int = 0) -> Shot:
    """How clip `clip` of group `group` is filmed; the same for every action."""
    rng = np.random.default_rng([seed, group, clip])
    orbit, phase = rng.uniform(11, 14), rng.uniform(0, 2 * np.pi)
    return Shot(
        # Stride 2 is the largest at which 16 frames leave room for a choice of window.
        frames=int(rng.choice([35, 37, 39, 41, 43])),
        x=WIDTH / 2 + orbit * np.cos(phase) + rng.uniform(-1, 1),
        y=HEIGHT / 2 + orbit * np.sin(phase) + rng.uniform(-1, 1),
        radius=rng.uniform(9, 12),
        speed=rng.uniform(0.8, 1.1),
        growth=rng.uniform(0.026, 0.034),
        orbit=orbit,
        phase=phase,
        turn=rng.uniform(0.14, 0.18),
    )


def trajectory(action: str, shot: Shot) -> np.ndarray:
    """Where the disc is: float64 (time, 3) of x, y, radius in pixels.

    In the middle frame that is (shot.x, shot.y, shot.radius) for every action, and an action's
    opposite is its trajectory reversed, exactly.
    """
    time = np.arange(shot.frames) - shot.frames // 2
    x, y, radius = (np.full(shot.frames, value) for value in (shot.x, shot.y, shot.radius))
    match action:
        case "MoveLeft" | "MoveRight":
            x += shot.speed * time * (1 if action == "MoveRight" else -1)
        case "MoveUp" | "MoveDown":  # y points down
            y += shot.speed * time * (1 if action == "MoveDown" else -1)
        case "Grow" | "Shrink":
            radius *= np.exp(shot.growth * time * (1 if action == "Grow" else -1))
        case "CircleClockwise" | "CircleCounterClockwise":
            sign = 1 if action == "CircleClockwise" else -1
            angle = shot.phase + shot.turn * time * sign
            x += shot.orbit * (np.cos(angle) - np.cos(shot.phase))
            y += shot.orbit * (np.sin(angle) - np.sin(shot.phase))
        case _:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
    return np.stack([x, y, radius], axis=1)


def draw_scene(group: int, *, seed: int = 0) -> Scene:
    """Background and disc of group `group`; the same for every action."""
    rng = np.random.default_rng([seed, group])
    return Scene(_draw_background(rng), _draw_disc(rng))


def _draw_background(rng: np.random.Generator) -> np.ndarray:
    """Blurred noise with shapes on it, all much darker than the disc."""
    import cv2

    coarse = rng.uniform(6, 30, (6, 8, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = picture.clip(0, 40).astype(np.uint8)
    for _ in range(14):
        x, y = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        across, down = (int(side) for side in rng.integers(2, 12, 2))
        colour = [int(value) for value in rng.integers(3, 40, 3)]
        if rng.random() < 0.5:
            cv2.rectangle(picture, (x, y), (x + across, y + down), colour, -1)
        else:
            turned = float(rng.uniform(0, 180))
            cv2.ellipse(picture, (x, y), (across, down), turned, 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (3, 3), 0).astype(np.float32)


def _draw_disc(rng: np.random.Generator) -> np.ndarray:
    """A bright colour with spots, cut out round."""
    import cv2

    base = rng.uniform(190, 255, 3)
    spots = rng.uniform(-70, 40, (5, 5, 1)) + rng.uniform(-20, 20, (5, 5, 3))
    spots = cv2.resize(
        spots.astype(np.float32), (_TEXTURE, _TEXTURE), interpolation=cv2.INTER_CUBIC
    )
    colours = (base + spots).clip(120, 255)
    side = np.arange(_TEXTURE) - (_TEXTURE - 1) / 2
    distance = np.hypot(side[:, None], side[None, :])
    opacity = (_TEXTURE / 2 - 1 - distance).clip(0, 1)[..., None]
    return np.concatenate([colours * opacity, opacity], axis=2).astype(np.float32)


def _paint(scene: Scene, x: float, y: float, radius: float) -> np.ndarray:
    """One frame, uint8 (HEIGHT, WIDTH, 3)."""
    import cv2

    scale = radius / (_TEXTURE / 2 - 1)
    centre = (_TEXTURE - 1) / 2
    place = np.array([[scale, 0, x - scale * centre], [0, scale, y - scale * centre]])
    disc = cv2.warpAffine(scene.disc, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    frame = scene.background * (1 - disc[..., 3:]) + disc[..., :3]
    return np.rint(frame).clip(0, 255).astype(np.uint8)


def _keys(groups: int, clips: int) -> list[tuple[str, int, int]]:
    """(action, group, clip) of every video, in the order of their names."""
    return [
        (action, group, clip)
        for action in ACTIONS
        for group in range(1, groups + 1)
        for clip in range(1, clips + 1)
    ]


def _name(action: str, group: int, clip: int) -> str:
    """UCF-101's name of a video, relative to the dataset's folder."""
    return f"{action}/v_{action}_g{group:02d}_c{clip:02d}.avi"


def _stands(folder: Path, recipe: dict) -> bool:
    """Whether the set of this recipe is complete at `folder`; False where nothing is.

    Raises:
        UserError: something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"{folder}: this is not a demo set ({_MARKER} is missing or unreadable), and nothing "
            "was changed; choose another folder or move it away."
        ) from None
    if found != recipe:
        raise UserError(
            f"{folder}: another demo set is there ({found}, wanted {recipe}); delete it or choose "
            "another folder."
        )
    missing = [
        name
        for name in video_names(recipe["groups"], recipe["clips"])
        if not (folder / name).is_file()
    ]
    if missing:
        raise UserError(
            f"{folder}: the demo set lacks {len(missing)} of its videos, {missing[0]} first; "
            "delete the folder and it is made again."
        )
    return True


def _write_all(part: Path, recipe: dict, progress: Callable[[int, int], None] | None) -> None:
    """Every video and then the marker, flushed to disk."""
    keys = _keys(recipe["groups"], recipe["clips"])
    for action in ACTIONS:
        (part / action).mkdir()
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_write, part / _name(*key), *key, recipe["seed"]) for key in keys]
        try:
            for done, job in enumerate(concurrent.futures.as_completed(jobs), start=1):
                job.result()
                if progress:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    with (part / _MARKER).open("w", encoding="utf-8") as marker:
        json.dump(recipe, marker)
        marker.flush()
        os.fsync(marker.fileno())


def _write(path: Path, action: str, group: int, clip: int, seed: int) -> None:
    """Draws and encodes one video."""
    import cv2

    frames = draw_video(action, group, clip, seed=seed)
    code = cv2.VideoWriter_fourcc(*_CODEC)  # type: ignore[attr-defined]
    writer = cv2.VideoWriter(str(path), code, FPS, (WIDTH, HEIGHT))
    try:
        if not writer.isOpened():
            raise UserError(
                f"{path.name}: this OpenCV ({cv2.__version__}) cannot encode MPEG-4 ({_CODEC}), "
                "which the demo set needs; install opencv-python from PyPI, which can."
            )
        for frame in frames:
            writer.write(frame)
    finally:
        writer.release()
    written = cv2.VideoCapture(str(path))  # VideoWriter says nothing when the disk is full
    count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
    written.release()
    if count != len(frames):
        raise UserError(
            f"{path.parent.parent.parent}: a video of the demo set was not written whole "
            f"({count} of {len(frames)} frames); is the disk full?"
        )
    with path.open("rb") as file:
        os.fsync(file.fileno())


def make_demo_set(folder: Path, reporter: Reporter) -> Path:
    """Makes the demo set in `folder`, unless it is there, with progress; returns its folder."""
    is_new = not is_demo(folder)
    with reporter.bar("making demo", len(video_names()), "videos") as update:
        made = make_demo(folder, progress=lambda done, total: update(done))
    if is_new:
        reporter.log(f"made the demo set, {len(video_names())} videos, in {folder}")
    return made
