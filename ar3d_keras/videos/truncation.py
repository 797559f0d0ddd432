"""Whether a file was cut off, by the length that its container records at its beginning.

AVI: the size of the RIFF chunk. Matroska and WebM: that of the segment (RFC 9559). MP4 and MOV: those
of the outermost boxes (ISO/IEC 14496-12). GIF: the end mark.
"""

import os
from pathlib import Path
from typing import IO

from ar3d_keras.videos.remote import open_binary

_MOST_BOXES = 10_000  # of a fragmented MP4
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


def missing_bytes(path: Path | None) -> int:
    """The number of bytes that are missing at the end of a file; 0: none, or unknown in its format."""
    if path is None:  # a stream
        return 0
    try:
        with open_binary(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            head = file.read(12)
            if head[:4] == b"RIFF":
                end = _riff_end(head)
            elif head[:4] == _EBML:
                end = _segment_end(file)
            elif head[4:8] in _BOXES:
                end = _boxes_end(file, size)
            elif head[:4] == b"GIF8":
                file.seek(max(0, size - 1024))
                end = size + (not file.read().rstrip(b"\0").endswith(b";"))
            else:
                end = 0
    except OSError:
        return 0
    return max(0, end - size)


def _riff_end(head: bytes) -> int:
    length = int.from_bytes(head[4:8], "little")
    return 0 if length == 0xFFFFFFFF else 8 + length


def _segment_end(file: IO[bytes]) -> int:
    file.seek(4)
    file.seek(_element_size(file) or 0, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _element_size(file)
    return 0 if length is None else file.tell() + length


def _element_size(file: IO[bytes]) -> int | None:
    """A size as EBML writes it; None: unknown, as in a live stream."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()  # the leading zeros tell the number of bytes
    value = int.from_bytes(first + file.read(width - 1), "big")
    mask = (1 << 7 * width) - 1
    return None if value & mask == mask else value & mask


def _boxes_end(file: IO[bytes], size: int) -> int:
    place = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        header = file.read(16)
        if len(header) < 8:
            return place + 8 if header else place
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: to the end of the file
            return 0
        place += length
        if place > size:
            return place
    return 0
