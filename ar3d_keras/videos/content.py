"""What the content of videos has shown, kept in the user's cache folder: descriptors and pairs.

`ar3d check` finds the near-duplicates of a data set once. The leak report of every split of the
same data quotes them afterwards.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.videos.cache import cache_folder
from ar3d_keras.videos.descriptor import SIDE, Descriptor
from ar3d_keras.videos.duplicates import VERSION


@dataclass(frozen=True)
class NearDuplicate:
    """Two videos that show the same recording.

    Attributes:
        one: `Video.key` of the first video in the catalog's order.
        other: that of the second one.
        kind: "same bytes", "overlap" (segments of one file that share frames), "copy" or "mirrored".
        score: correlation of the two, to 1.
        shift: seconds by which the second video begins before the first one.
    """

    one: str
    other: str
    kind: str
    score: float
    shift: float


def store_near_duplicates(fingerprint: str, pairs: Sequence[NearDuplicate], compared: int) -> None:
    """Keeps the near-duplicates of a data set; a cache that cannot be written is left out.

    Args:
        fingerprint: `Catalog.fingerprint`.
        pairs: all of them, whatever the split.
        compared: the number of videos that were compared.
    """
    if file := _pairs_file(fingerprint):
        content = {"version": VERSION, "compared": compared, "pairs": [asdict(p) for p in pairs]}
        with contextlib.suppress(OSError):
            atomic.write_text(file, json.dumps(content))


def load_near_duplicates(fingerprint: str) -> tuple[NearDuplicate, ...] | None:
    """The near-duplicates of a data set; None where `ar3d check` has not compared its videos."""
    file = _pairs_file(fingerprint)
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file else {}
        if content.get("version") != VERSION:
            return None
        return tuple(NearDuplicate(**pair) for pair in content["pairs"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _pairs_file(fingerprint: str) -> Path | None:
    folder = cache_folder()
    return folder / f"duplicates-{fingerprint}.json" if folder else None


def store_descriptors(file: Path, descriptors: Mapping[str, tuple[str, Descriptor]]) -> None:
    """Writes `Video.key` -> (stamp of the file, descriptor); a disk that is full is no error."""
    values = [descriptor for _, descriptor in descriptors.values()]
    names = json.dumps([[key, stamp] for key, (stamp, _) in descriptors.items()])
    pictures = [np.empty((0, SIDE, SIDE), np.uint16), *(value.pictures for value in values)]
    with contextlib.suppress(OSError), atomic.replacing(file) as temporary:
        np.savez(
            temporary,
            version=VERSION,
            names=np.frombuffer(names.encode(), np.uint8),
            lengths=np.array([len(value.pictures) for value in values], np.int64),
            steps=np.array([value.step for value in values], np.float64),
            pictures=np.concatenate(pictures),
        )


def load_descriptors(file: Path) -> dict[str, tuple[str, Descriptor]]:
    """What `store_descriptors` wrote; empty where there is nothing, or another version."""
    try:
        with np.load(file) as stored:
            if int(stored["version"]) != VERSION:
                return {}
            names = json.loads(stored["names"].tobytes())
            ends = np.cumsum(stored["lengths"])
            parts = np.split(stored["pictures"], ends[:-1]) if len(ends) else []
            steps = stored["steps"].tolist()
        return {
            key: (stamp, Descriptor(pictures, step))
            for (key, stamp), pictures, step in zip(names, parts, steps, strict=True)
        }
    # A truncated or foreign file: zipfile and NumPy raise many kinds.
    except Exception:
        return {}
