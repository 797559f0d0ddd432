"""packing.jsonl: which videos an unfinished pack holds, one line each, in order.

A line is the CRC-32 of its JSON and the JSON, so a line that was torn by a kill shows. The first
says the version and the settings.
"""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.videos.pack_index import (
    AGAIN,
    JOURNAL,
    VERSION,
    VERSIONS,
    PackedVideo,
    PackSettings,
)


def read_journal(folder: Path) -> tuple[PackSettings, list[PackedVideo]]:
    """The settings and the videos up to the first line that is not whole.

    Raises:
        UserError: the first line is damaged, or of another version.
    """
    file = folder / JOURNAL
    lines = []
    for line in file.read_bytes().splitlines(keepends=True):
        check, _, text = line.partition(b" ")
        if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text[:-1]):
            break
        lines.append(json.loads(text))
    if not lines:
        raise UserError(f"{file} is damaged: it is no record of a pack; {AGAIN}")
    if lines[0]["version"] not in VERSIONS:
        raise UserError(
            f"{folder} was begun as a pack of version {lines[0]['version']} and this ar3d_keras "
            f"writes version {VERSION}: {AGAIN}"
        )
    return PackSettings(**lines[0]["settings"]), list(map(PackedVideo.from_json, lines[1:]))


def write_journal(folder: Path, settings: PackSettings, done: Sequence[PackedVideo]) -> None:
    """Writes it anew, whole or not at all; `line` gives what is appended later."""
    header = {"version": settings.version, "settings": settings.to_json()}
    atomic.write_text(folder / JOURNAL, _checked(header) + "".join(map(line, done)))


def line(packed: PackedVideo) -> str:
    """A video's line, ASCII, with its end."""
    return _checked(packed.to_json())


def _checked(value: dict) -> str:
    text = json.dumps(value)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"
