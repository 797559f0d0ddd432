"""One labelled video, what its name says about it, and the error of a video that cannot be read."""

import re
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Video:
    """One video, with its label if it is for training or evaluation.

    Attributes:
        path: relative to the catalog's root, with `/` between folders. A file, or a folder
            of frames.
        label: the name of its class; None if unknown.
        group: the source recording that it was cut from; None if unknown.
        split: "train", "val" or "test" if the catalog says so, else None.
        extra: further columns of the CSV, by name.
    """

    path: str
    label: str | None
    group: str | None = None
    split: str | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def ucf_group(self) -> int | None:
        """The number NN of a UCF-101 name v_Class_gNN_cNN, else None."""
        match = UCF_NAME.fullmatch(self.path.rpartition("/")[2])
        return int(match["group"]) if match else None


def labelled_video(
    path: str,
    label: str,
    group: str | None = None,
    split: str | None = None,
    extra: dict[str, str] | None = None,
) -> Video:
    """A Video; without `group`, its name tells the group if it is one of a known data set."""
    group = group or _named_group(path.rpartition("/")[2], label)
    return Video(path, label, group or None, split or None, extra or {})


def _named_group(name: str, label: str) -> str | None:
    """The source recording that a name of UCF-101, HMDB-51 or Kinetics contains."""
    if match := UCF_NAME.fullmatch(name):
        # A UCF-101 group is (class, gNN): g01 of two classes are two recordings.
        return f"{label}_g{int(match['group']):02d}"
    if match := HMDB_NAME.fullmatch(name):
        # A film has scenes of several classes; the official splits separate films by class.
        return f"{label}_{match['film'].removesuffix('_' + label)}"
    if match := KINETICS_NAME.fullmatch(name):
        return match["film"]
    return None
