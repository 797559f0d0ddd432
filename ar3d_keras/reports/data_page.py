"""The page of a data set: classes, properties, contact sheets, near-duplicates as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ar3d_keras.reports import page
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.content import NearDuplicate
from ar3d_keras.videos.reader import ReadError, load_cv2, read_frames
from ar3d_keras.videos.scan import Scan
from ar3d_keras.videos.status import OK, STATES, VideoState
from ar3d_keras.videos.summary import ClassSummary, distributions, seconds_of
from ar3d_keras.videos.video import Video

FRAMES = 4  # of a video in a contact sheet and in a pair
HEIGHT = 72  # pixels of such a frame
VIDEOS = 3  # of a class in the contact sheets
CLASSES = 60  # with a contact sheet; the first ones
PAIRS = 60  # with pictures: those across splits first, then those with the highest score
ROWS = 2000  # of the tables of pairs and of unreadable videos; the CSV files hold all
VALUES = 8  # of a property; the rarer ones are counted together


def build(
    catalog: Catalog,
    scanned: Scan,
    classes: Sequence[ClassSummary],
    pairs: Sequence[NearDuplicate],
    states: Sequence[VideoState],
    splits: Mapping[str, str | None],
    leak: Sequence[str],
    has_leakage: bool,
    about: Mapping[str, object],
) -> str:
    """Builds the page.

    Args:
        catalog: the videos.
        scanned: their scan, with properties.
        classes: their summaries.
        pairs: the near-duplicates, those across splits first.
        states: the state of every video.
        splits: key -> split; empty without a split.
        leak: the sentences of the leak report; empty without a split.
        has_leakage: whether they are a warning.
        about: where the numbers come from.
    """
    videos = {video.key: video for video in catalog.videos}
    shown = [
        {
            "pair": pair,
            "labels": (videos[pair.one].label, videos[pair.other].label),
            "splits": (splits.get(pair.one), splits.get(pair.other)),
            "pictures": _pair_pictures(
                catalog.root, scanned, videos[pair.one], videos[pair.other], pair.shift
            )
            if place < PAIRS
            else None,
        }
        for place, pair in enumerate(pairs[:ROWS])
    ]
    trouble = sorted(
        (state for state in states if state.state != OK),
        key=lambda state: -STATES.index(state.state),
    )
    return page.render(
        "data.html",
        title=f"Data report: {catalog.root.name}",
        tiles=_tiles(catalog, scanned, classes, pairs),
        about=about,
        leak=leak,
        has_leakage=has_leakage,
        classes=classes,
        most=max(row.videos for row in classes),
        distributions=_distributions(scanned),
        sheets=[(name, _sheet(catalog, scanned, name)) for name in catalog.class_names[:CLASSES]],
        pairs=shown,
        all_pairs=len(pairs),
        trouble=trouble[:ROWS],
        all_trouble=len(trouble),
        counts=[(name, sum(state.state == name for state in states)) for name in STATES],
    )


def _tiles(
    catalog: Catalog,
    scanned: Scan,
    classes: Sequence[ClassSummary],
    pairs: Sequence[NearDuplicate],
) -> list[tuple[str, str, str]]:
    groups = len({video.group for video in catalog.videos if video.group is not None})
    unreadable, damaged = len(scanned.unreadable), len(scanned.damaged)
    sizes = sorted(row.videos for row in classes)
    return [
        ("videos", f"{len(catalog):,}", f"{sizes[0]:,} to {sizes[-1]:,} a class"),
        ("classes", f"{len(classes):,}", ""),
        ("groups", f"{groups:,}" if groups else "–", "" if groups else "none is known"),
        ("total time", page.duration(sum(row.seconds for row in classes)), ""),
        ("not decoded", f"{unreadable:,}", f"{damaged:,} more damaged"),
        ("near-duplicates", f"{len(pairs):,}", "pairs of videos"),
    ]


def _distributions(scanned: Scan) -> list[tuple[str, list[tuple[str, int]]]]:
    shown = []
    for name, values in distributions(scanned.properties.values()).items():
        if len(values) > VALUES + 1:
            others = sum(count for _, count in values[VALUES:])
            values = [*values[:VALUES], (f"{len(values) - VALUES} other values", others)]
        shown.append((name, values))
    return shown


def _sheet(catalog: Catalog, scanned: Scan, name: str) -> list[tuple[str, bytes]]:
    """(key, JPEG) of some videos of a class, spread over it."""
    videos = [v for v in catalog.videos if v.label == name and v.key in scanned.frames]
    chosen = np.unique(np.linspace(0, len(videos) - 1, min(VIDEOS, len(videos))).round())
    strips = (
        ((video := videos[int(i)]).key, _strip(catalog.root, scanned, video, 0, 1)) for i in chosen
    )
    return [(key, strip) for key, strip in strips if strip]


def _pair_pictures(
    root: Path, scanned: Scan, one: Video, other: Video, shift: float
) -> tuple[bytes | None, bytes | None]:
    """Frames of both videos at the same moments of the recording, as JPEG."""
    mine, theirs = (
        seconds_of(video, scanned) or scanned.frames[video.key] / 25 for video in (one, other)
    )
    begin, end = max(0.0, -shift), min(mine, theirs - shift)
    return (
        _strip(root, scanned, one, begin / mine, end / mine),
        _strip(root, scanned, other, (begin + shift) / theirs, (end + shift) / theirs),
    )


def _strip(root: Path, scanned: Scan, video: Video, begin: float, end: float) -> bytes | None:
    """FRAMES frames side by side, between two fractions of a video; None: they cannot be read."""
    properties, last = scanned.properties.get(video.path), scanned.frames[video.key] - 1
    width = HEIGHT * 4 // 3
    if properties:
        width = max(8, min(3 * HEIGHT, round(HEIGHT * properties.width / properties.height)))
    places = begin + (end - begin) * (np.arange(FRAMES) + 0.5) / FRAMES
    indices = (places * (last + 1)).astype(int).clip(0, last)
    if video.key in scanned.numbers:
        indices = np.asarray(scanned.numbers[video.key])[indices]
    try:
        frames = read_frames(root / video.path, indices, (HEIGHT, width), roi=video.roi)
    except ReadError:
        return None
    gap = np.full((HEIGHT, 3, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (frame[:, :, ::-1], gap)][:-1]
    cv2 = load_cv2()
    ok, jpeg = cv2.imencode(".jpg", np.hstack(parts), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return jpeg.tobytes() if ok else None
