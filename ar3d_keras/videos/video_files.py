"""Which entries of a folder are videos: by name, by content, and why the others are not."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ar3d_keras.videos.frame_folder import (
    IMAGE_SUFFIXES,
    is_folder,
    is_frame_folder,
    list_frames,
    natural_key,
)

# Containers that FFmpeg opens. Files with another name are recognized by their first bytes.
VIDEO_SUFFIXES = frozenset(
    """
    .264 .265 .3g2 .3gp .3gpp .amv .apng .asf .avc .avi .bik .cavs .dav .divx .dnxhd .drc .dv .f4v
    .flc .fli .flv .gif .gxf .h261 .h263 .h264 .h265 .hevc .ismv .ivf .m1v .m2t .m2ts .m2v .m4v
    .mj2 .mjpeg .mjpg .mk3d .mkv .mov .mp4 .mp4v .mpe .mpeg .mpg .mpv .mts .mxf .nsv .nut .obu .ogm
    .ogv .qt .rm .rmvb .roq .smk .swf .trp .ts .vc1 .vc2 .viv .vob .webm .wm .wmv .wtv .xvid .y4m
    """.split()
)
AUDIO_SUFFIXES = frozenset(
    ".aac .ac3 .aif .aiff .au .flac .m4a .m4b .mid .mka .mp2 .mp3 .oga .opus .wav .wma".split()
)
# Folders that systems and programs create beside videos, with copies or previews of them.
_FOREIGN_FOLDERS = frozenset(
    ["@eadir", "__macosx", "thumbnails", "thumbs", "#recycle", "$recycle.bin", "lost+found"],
)

HIDDEN = "hidden: its name begins with a dot"
FOREIGN = "a folder that a system or a program made for itself"
EMPTY = "a folder without videos"
LOOP = "a link to a folder above it"
IMAGE = "an image that is not in a folder of frames"
AUDIO = "an audio file"
OTHER = "not a video, by name and content"
SPECIAL = "neither a file nor a folder"
OTHER_PATTERN = "images of another name pattern than the frames beside them"

# The first bytes of containers (offset, bytes), for files whose names do not tell.
_SIGNATURES = (
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"FLV"),
    (0, bytes.fromhex("3026b2758e66cf11")),  # ASF, WMV
    (0, bytes.fromhex("000001ba")),  # MPEG program stream: VOB, MOD, TOD, DAT
    (0, bytes.fromhex("000001b3")),  # MPEG-1 and MPEG-2 video
    (0, bytes.fromhex("00000001 67")),  # H.264
    (0, bytes.fromhex("00000001 40")),  # H.265
    (0, bytes.fromhex("060e2b34")),  # MXF
    (0, bytes.fromhex("0000000001bc")),  # GXF
    (0, bytes.fromhex("1f0700")),  # DV
    (0, bytes.fromhex("b7d800203749da11")),  # WTV
    (0, b"GIF8"),
    (0, b".RMF"),
    (0, b"DKIF"),  # IVF
    (0, b"DHAV"),
    (0, b"BBCD"),  # Dirac
    (0, b"YUV4MPEG2"),
    (0, b"nut/multimedia"),
    (8, b"AVI"),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
)
# ISO base media files that are audio or still images.
_NO_VIDEO_BRANDS = (b"M4A ", b"M4B ", b"heic", b"heix", b"mif1", b"avif", b"crx ")
_OGG_VIDEO = (b"theora", b"\x01video", b"BBCD", b"VP80")


def why_not_video(entry: Path) -> str | None:
    """Why an entry of a folder is not a video; None for a video file or a folder of frames.

    A file that has a video's name is one, even if it cannot be opened: the scan names the reason.
    """
    if entry.name.startswith("."):
        return HIDDEN
    if is_folder(entry):
        if entry.name.casefold() in _FOREIGN_FOLDERS:
            return FOREIGN
        return None if _is_frame_folder(entry) else EMPTY
    try:
        mode = entry.stat().st_mode
        if not stat.S_ISREG(mode):
            return SPECIAL
    except OSError as error:
        return None if has_video_suffix(entry.name) else f"cannot be read ({error.strerror})"
    suffix = entry.suffix.strip().lower()
    if suffix in VIDEO_SUFFIXES:
        return None
    if suffix in IMAGE_SUFFIXES:
        return IMAGE
    if suffix in AUDIO_SUFFIXES:
        return AUDIO
    try:
        with entry.open("rb") as file:
            return None if _is_container(file.read(4096)) else OTHER
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def has_video_suffix(name: str) -> bool:
    """Whether a name ends as a video's does; blanks behind it do not matter."""
    return Path(name).suffix.strip().lower() in VIDEO_SUFFIXES


def walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, str | None]]:
    """All entries below a folder, in natural order, with the reason of those that are no videos.

    Args:
        folder: where to begin; if it is a folder of frames itself, it is the only entry.
        above: folders, resolved; a link that leads back to one of them is not followed.

    Raises:
        OSError: a folder cannot be listed.
    """
    real = folder.resolve()
    if real in above:
        yield folder, LOOP
    elif _is_frame_folder(folder):
        yield folder, None
        for images in ignored_images(folder):
            yield folder / images, OTHER_PATTERN
    else:
        entries = sorted(folder.iterdir(), key=lambda entry: (natural_key(entry.name), entry.name))
        for entry in entries:
            reason = why_not_video(entry)
            if is_folder(entry) and reason not in (HIDDEN, FOREIGN):
                yield from walk(entry, above | {real})
            elif is_worth_a_note(entry, reason):
                yield entry, reason


def is_worth_a_note(entry: Path, reason: str | None) -> bool:
    """False for hidden entries that have no video's name, such as .git and .DS_Store."""
    return reason != HIDDEN or (has_video_suffix(entry.name) and not is_folder(entry))


def ignored_images(folder: Path) -> list[str]:
    """The name patterns, with counts, of the images in a folder of frames that are not frames."""
    return [f"{pattern} ({count} images)" for pattern, count in list_frames(folder).ignored]


def is_address(path: str | os.PathLike) -> bool:
    """Whether a path is the URL of a file or a stream; Path makes one slash of two."""
    return bool(re.match(r"[a-z][a-z0-9+.-]+:/", os.fspath(path), re.IGNORECASE))


def _is_frame_folder(folder: Path) -> bool:
    """Whether it has numbered images, and no videos that the images could belong to."""
    if not is_frame_folder(folder):
        return False
    try:
        return not any(
            has_video_suffix(entry.name) and not entry.name.startswith(".")
            for entry in folder.iterdir()
        )
    except OSError:
        return True


def _is_container(head: bytes) -> bool:
    """Whether a file that begins with `head` is a container of video."""
    if head[:4] == b"OggS":
        return any(mark in head for mark in _OGG_VIDEO)
    if head[4:8] == b"ftyp" and head[8:12] in _NO_VIDEO_BRANDS:
        return False
    if any(head[offset : offset + len(mark)] == mark for offset, mark in _SIGNATURES):
        return True
    # MPEG transport streams: packets of 188 bytes, or 192 with a time stamp in front (AVCHD).
    return any(
        len(head) > 2 * length + start
        and all(head[start + length * packet] == 0x47 for packet in range(3))
        for start, length in ((0, 188), (4, 192))
    )
