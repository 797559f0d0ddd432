"""Mutants of small videos: a seeded generator over six containers and six kinds of damage."""

import functools
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Container -> encoder and options of the muxer.
CONTAINERS = {
    "mp4": ("libx264", {"movflags": "+faststart"}),
    "avi": ("mpeg4", {}),
    "mkv": ("libx264", {}),
    "webm": ("libvpx", {}),
    "mov": ("mjpeg", {"movflags": "+faststart"}),
    "gif": ("gif", {}),
}
KINDS = "flip", "truncate", "header", "duplicate", "drop", "zero"
_VALUES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@functools.cache
def sound_videos(frames: int = 24) -> dict[str, bytes]:
    """One sound video of each container, 64x48, with motion."""
    import av

    made = {}
    random_numbers = np.random.default_rng(0)
    pictures = random_numbers.integers(0, 60, (frames, 48, 64, 3), np.uint8)
    for number, picture in enumerate(pictures):
        picture[10:30, number : number + 20] += 150
    for suffix, (codec, options) in CONTAINERS.items():
        # Not in memory: the muxer reads an MP4 again to move its header to the front.
        file = Path(tempfile.mkdtemp()) / f"x.{suffix}"
        with av.open(str(file), "w", options=options) as to:
            stream = to.add_stream(codec, rate=12)
            stream.height, stream.width, stream.gop_size = 48, 64, 8
            stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            for picture in pictures:
                to.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            to.mux(stream.encode(None))
        made[suffix] = file.read_bytes()
        shutil.rmtree(file.parent)
    return made


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yields (name, content) of mutants; the same ones for the same seed.

    The name says number, kind and container: `0017-header.mkv`.
    """
    sound = sound_videos()
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        suffix = list(CONTAINERS)[number % len(CONTAINERS)]
        kind = KINDS[number // len(CONTAINERS) % len(KINDS)]
        content = mutate(sound[suffix], kind, draw)
        yield f"{number:04d}-{kind}.{suffix}", content


def mutate(content: bytes, kind: str, draw: random.Random) -> bytes:
    """One damaged copy."""
    data = bytearray(content)
    begin = draw.randrange(len(data))
    end = min(len(data), begin + draw.choice((1, 4, 16, 200, 2000)))
    if kind == "flip":
        for _ in range(draw.choice((1, 3, 30, 300))):
            place = draw.randrange(len(data))
            data[place] ^= 1 << draw.randrange(8)
    elif kind == "truncate":
        del data[begin:]
    elif kind == "header":  # boxes, chunks and elements stand at the beginning; some at the end
        for _ in range(draw.choice((1, 1, 4))):
            width, size = draw.choice((1, 2, 4, 8)), min(900, len(data) - 8)
            place = (
                draw.randrange(size)
                if draw.random() < 0.8
                else len(data) - 8 - draw.randrange(size)
            )
            value = draw.choice((*_VALUES, draw.getrandbits(32))) & (1 << 8 * width) - 1
            data[place : place + width] = value.to_bytes(width, draw.choice(("big", "little")))
    elif kind == "duplicate":
        data[begin:begin] = data[begin:end] * draw.choice((1, 3))
    elif kind == "drop":
        del data[begin:end]
    else:
        data[begin:end] = bytes(end - begin)
    return bytes(data)


def write_mutants(folder: Path, count: int, seed: int) -> list[str]:
    """Writes mutants as two classes of videos, with one sound video of each; returns their paths."""
    paths = []
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        (folder / label / "sound.mp4").write_bytes(sound_videos()["mp4"])
    for number, (name, content) in enumerate(mutants(count, seed)):
        path = f"{'ab'[number % 2]}/{name}"
        (folder / path).write_bytes(content)
        paths.append(path)
    return paths
