"""Names that look like pieces of one recording, such as `x_s000001.mp4` and `x_s000002.mp4`.

Tools that cut a recording add a number or a time to its name. Where no group is known, such names
are the only sign that videos share a recording.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ar3d_keras.videos.video import Video

_WORD = r"(?:[Pp]art|[Pp]t|[Ss]eg|[Ss]egment|[Cc]hunk|[Pp]iece|[Cc]ut|[Ss]cene|[Cc]lip)"
_TIME = r"\d{1,2}[.:-]\d\d[.:-]\d\d(?:\.\d+)?"
# What a cutting tool appends to the name of a recording. All kinds are tried at once, and the shortest
# rest of the name is the recording.
_MARKERS = {
    "sample": r"_s\d{3,}",  # X-AnyLabeling: SAMPLE_s000001
    "word": rf"[-_. ]{_WORD}[-_. ]?\d+",  # PySceneDetect: x-Scene-001; x_part2
    "times": rf"[-_ ]{_TIME}[-_]{_TIME}",  # LosslessCut: x-00.00.01.000-00.00.05.000
    # First and last frame, or seconds; not a date and a time.
    "range": r"[-_](?!(?:19|20)\d{6}[-_])\d+(?:\.\d+)?[-_]\d+(?:\.\d+)?",
    "copy": r" ?\(\d+\)",
    "number": r"(?<!\d{8})[-_. ]\d{1,6}",  # ffmpeg -f segment: x_%03d; not the time after a date
}
_CERTAIN = ("sample", "word", "times")  # the others also come from numbering recordings
_SUFFIX = r"(?:\.(?=\w*[A-Za-z])\w{1,5})?"
_NAME = re.compile(
    rf"(.+?)(?:{'|'.join(f'(?P<{kind}>{marker})' for kind, marker in _MARKERS.items())}){_SUFFIX}"
)
# Names that cameras and telephones number: each file is a recording.
_CAMERA = frozenset(
    "img mvi mov vid dsc dscn dscf pxl gopr gx gh gp dji cam camera clip file movie sample video".split()
)


@dataclass(frozen=True)
class Pieces:
    """Videos without a group whose names look like pieces of the same recordings.

    Attributes:
        recordings: recording -> the videos that look like its pieces, at least two.
        rule: the regular expression for `group_by` that groups them in this way.
    """

    recordings: dict[str, tuple[Video, ...]]
    rule: str

    def __len__(self) -> int:
        """How many videos look like pieces."""
        return sum(map(len, self.recordings.values()))


def piece_of(path: str) -> tuple[str, str] | None:
    """The recording that a name looks like a piece of, and the kind of its marker; else None.

    Args:
        path: of a video, with `/` between folders; only the last part is read.

    Returns:
        (the name up to the marker, a key of the known markers). None for names without a marker,
        and for those that are numbers only, such as `0001.mp4` or `2_7.mp4`.
    """
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if not match:
        return None
    stem, kind = match[1], match.lastgroup or ""
    if kind not in _CERTAIN and not re.search(r"[^\W\d_]", stem):
        return None
    return stem, kind


def find_pieces(videos: Iterable[Video]) -> Pieces:
    """The videos without a group that look like pieces of recordings, by recording.

    A number alone also comes from numbering the videos of a class or of a camera. It is not taken
    for a piece's where the rest of the name is a camera's (`IMG_0001`), or where it is the same for
    the whole class and resembles the name of the class (`wave_01`, `wave_02`).

    Args:
        videos: of a catalog; those with a group are skipped.
    """
    found: dict[str, list[Video]] = defaultdict(list)
    kinds: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)  # by class
    for video in (video for video in videos if video.group is None):
        name = video.path.rpartition("/")[2]
        stem, kind = piece_of(name) or (re.sub(rf"{_SUFFIX}$", "", name), "")
        stems[video.label or ""].add(stem)
        # `x.mp4` belongs to `x (2).mp4`; `2_7.mp4`, whose marker is not taken, to nothing.
        if kind or not _NAME.fullmatch(name):
            found[stem].append(video)
            kinds[stem] |= {kind} - {""}
    recordings = {
        stem: tuple(members)
        for stem, members in found.items()
        if len(members) > 1 and kinds[stem]
        if kinds[stem] & set(_CERTAIN) or not _is_numbering(stem, members, stems)
    }
    used = {kind for stem in recordings for kind in kinds[stem]}
    return Pieces(recordings, _rule(used))


def _is_numbering(stem: str, members: Iterable[Video], stems: Mapping[str, set[str]]) -> bool:
    """Whether the videos of a camera or of whole classes were numbered."""
    if "".join(filter(str.isalpha, stem.casefold())) in _CAMERA:
        return True
    word = _plain(stem)
    return all(
        len(stems[label]) == 1
        and (len(word) <= 2 or (_plain(label) or label) in word or word in _plain(label))
        for label in {video.label or "" for video in members}
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _rule(kinds: Collection[str]) -> str:
    """One expression for all these kinds; a name without a marker is its own recording."""
    markers = "|".join(marker for kind, marker in _MARKERS.items() if kind in kinds)
    return rf"([^/]+?)(?:{markers})?{_SUFFIX}$" if kinds else ""
