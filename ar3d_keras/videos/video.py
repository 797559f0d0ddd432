"""One labelled video or a stretch of it, what its name says about it, and the error ReadError."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

# v_ApplyEyeMakeup_g01_c01.avi: class, group, clip (UCF-101's README).
UCF_NAME = re.compile(r"v_(?P<name>\w+?)_g(?P<group>\d+)_c(?P<clip>\d+)(\.\w+)?", re.ASCII)
# April_09_brush_hair_u_nm_np1_ba_goo_0.avi: film, class, visible body, camera, people, view,
# quality, clip (HMDB-51's page, "file name conventions").
HMDB_NAME = re.compile(
    r"(?P<film>.+)_[hufl]_[nc]m_np\d+_(fr|ba|le|ri)_(goo|med|bad)_\d+(\.\w+)?", re.ASCII
)
# A YouTube film and the seconds that were cut out of it (the Kinetics download tools).
KINETICS_NAME = re.compile(r"(?P<film>[\w-]{11})_\d{6}_\d{6}(\.\w+)?", re.ASCII)


SPLITS = ("train", "val", "test")
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_name(name: str) -> str | None:
    """The split that a name such as `Train` or `validation` means, else None."""
    return _SPLIT_NAMES.get(name.strip().casefold())


class ReadError(Exception):
    """A video that cannot be decoded; the message is the reason, without the path."""


@dataclass(frozen=True, slots=True)  # a data set may have a million
class Video:
    """One video or a stretch of it, with its label if it is for training or evaluation.

    Attributes:
        path: relative to the catalog's root, with `/` between folders. A file, or a folder
            of frames.
        label: the name of its class; None if unknown.
        group: the source recording that it was cut from; None if unknown.
        split: "train", "val" or "test" if the catalog says so, else None.
        extra: further columns of the CSV, by name.
        start: first second of the stretch, counted from the first frame of the file. None: the
            front.
        end: the second before which the stretch ends; None: the end of the file.
        roi: the region of interest, see `region`; None: the whole frame.
        row: its row in the CSV, for messages; None: unknown.
    """

    path: str
    label: str | None
    group: str | None = None
    split: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    roi: tuple[float, float, float, float] | None = None
    row: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self):
        if self.roi is not None:  # JSON has lists
            object.__setattr__(self, "roi", tuple(self.roi))

    @property
    def is_segment(self) -> bool:
        """Whether this is a stretch of a file."""
        return self.start is not None or self.end is not None

    @property
    def key(self) -> str:
        """What identifies this video in a catalog: its path, and a segment's stretch.

        The stretch is written as a media fragment (W3C, Media Fragments URI 1.0, section 4.2.1):
        `day1.mp4#t=12.5,20`, or `#t=12.5` up to the end of the file. A region of interest follows
        as `roi=left,top,right,bottom`.
        """
        if self.start is None and self.end is None and self.roi is None:
            return self.path
        parts = []
        if self.is_segment:
            end = "" if self.end is None else f",{format_seconds(self.end)}"
            parts.append(f"t={format_seconds(self.start or 0.0)}{end}")
        if self.roi is not None:
            parts.append("roi=" + ",".join(map(format_seconds, self.roi)))
        return self.path + "#" + "&".join(parts)

    @property
    def ucf_group(self) -> int | None:
        """The number NN of a UCF-101 name v_Class_gNN_cNN, else None."""
        match = UCF_NAME.fullmatch(self.path.rpartition("/")[2])
        return int(match["group"]) if match else None


def format_seconds(value: float) -> str:
    """The shortest decimal number that is this float, without a trailing `.0`."""
    return f"{value:.17g}" if "e" in repr(value) else repr(value).removesuffix(".0")


def leads_out(path: str) -> bool:
    """Whether the path of a video, by itself, leads out of the folder that it is relative to."""
    # A Path takes longer than the rest of a row.
    if os.path.isabs(path):  # noqa: PTH117
        return True
    return ".." in path and Path(os.path.normpath(path)).parts[:1] == ("..",)


def labelled_video(
    path: str,
    label: str,
    group: str | None = None,
    split: str | None = None,
    extra: dict[str, str] | None = None,
) -> Video:
    """A Video; without `group`, its name tells the group if it is one of a known data set."""
    group = group or named_group(path, label)
    return Video(path, label, group or None, split or None, extra or {})


def named_group(path: str, label: str) -> str | None:
    """The source recording that a name of UCF-101, HMDB-51 or Kinetics contains."""
    name = path.rpartition("/")[2]
    if match := UCF_NAME.fullmatch(name):
        # A UCF-101 group is (class, gNN): g01 of two classes are two recordings.
        return f"{label}_g{int(match['group']):02d}"
    if match := HMDB_NAME.fullmatch(name):
        # A film has scenes of several classes; the official splits separate films by class.
        return f"{label}_{match['film'].removesuffix('_' + label)}"
    if match := KINETICS_NAME.fullmatch(name):
        return match["film"]
    return None
