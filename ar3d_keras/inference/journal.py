"""A journal of predictions: many videos are predicted in several sittings.

One JSON document a line: first what was predicted with, then each video. Lines are only appended,
and a line that was cut by a kill is ignored, so a prediction that is in the journal is never lost.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.errors import UserError, naming
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.timeline import SegmentPrediction
from ar3d_keras.videos.catalog import Catalog, Video, stamp

CHUNK = 32  # videos that are predicted before their lines are written


def weights_digest(network: Any) -> str:
    """16 hex digits over the values of all weights of a Keras model."""
    digest = hashlib.sha256()
    for value in network.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the journal holds of a video; the fields are those of a Prediction."""

    probabilities: np.ndarray | None
    segments: tuple[SegmentPrediction, ...] = ()
    failure: str | None = None


class Journal:
    """The predictions of a file, and those that are added to it.

    Args:
        file: of the journal, made if it is missing.
        classifier: the network.
        settings: what a prediction depends on besides: clips, crops, windows, batch size.

    Raises:
        UserError: the file is something else, or of another network or other settings.
    """

    def __init__(self, file: Path, classifier: Classifier, settings: Mapping[str, Any]) -> None:
        self.file, self._found = file, dict[str, dict[str, Any]]()
        header = {
            "journal": 1,
            "network": _digest(classifier),
            "class_names": list(classifier.class_names),
            "clip_shape": dataclasses.asdict(classifier.shape),
            "precision": classifier.precision,
            **settings,
        }
        header = json.loads(json.dumps(header))  # tuples become lists
        if not file.exists() or not file.stat().st_size:
            self._append([header])
            return
        lines = _lines(file)
        # Earlier versions computed in float32 alone.
        before = {"precision": "float32", **lines[0]} if lines else {}
        if before.get("journal") != 1:
            raise UserError(f"`journal` {file} is no journal of predictions: choose another file")
        different = [key for key in header if before.get(key) != header[key]]
        if different:
            raise UserError(
                f"`journal` {file} was begun with another {', '.join(different)}: give the same "
                "options, or choose another file"
            )
        self._found = {line["path"]: line for line in lines[1:]}

    def has(self, catalog: Catalog, video: Video) -> bool:
        """Whether there is a prediction of a video, and its file has not changed since."""
        line = self._found.get(video.key)
        return line is not None and line["stamp"] == list(stamp(catalog.root / video.path))

    def get(self, video: Video) -> Entry:
        """The last prediction of a video."""
        line = self._found[video.key]
        segments = tuple(
            SegmentPrediction(start, end, np.array(shares, np.float32))
            for start, end, shares in line["segments"]
        )
        shares = line["probabilities"]
        probabilities = None if shares is None else np.array(shares, np.float32)
        return Entry(probabilities, segments, line["failure"])

    def add(self, catalog: Catalog, entries: Sequence[tuple[Video, Entry]]) -> None:
        """Appends predictions, and flushes them to the disk."""
        lines: list[dict[str, Any]] = [
            {
                "path": video.key,
                "stamp": list(stamp(catalog.root / video.path)),
                "probabilities": _exact(entry.probabilities),
                "segments": [
                    (part.start, part.end, _exact(part.probabilities)) for part in entry.segments
                ],
                "failure": entry.failure,
            }
            for video, entry in entries
        ]
        self._append(lines)
        self._found |= {line["path"]: line for line in lines}

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        with naming(self.file), self.file.open("a+b") as journal:
            # A line that a kill has cut must not swallow the next one.
            if journal.tell() and not _ends_with_newline(self.file):
                journal.write(b"\n")
            for line in lines:
                journal.write(json.dumps(line).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())


def _lines(file: Path) -> list[dict[str, Any]]:
    """The documents of a journal, without lines that were cut."""
    found = []
    for line in file.read_bytes().split(b"\n"):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            found.append(document)
    return found


def _ends_with_newline(file: Path) -> bool:
    with file.open("rb") as journal:
        journal.seek(-1, os.SEEK_END)
        return journal.read(1) == b"\n"


def _exact(probabilities: np.ndarray | None) -> list[float] | None:
    """Numbers that give the same float32 again."""
    return None if probabilities is None else [float(share) for share in probabilities]


def _digest(classifier: Classifier) -> str:
    if hasattr(classifier.network, "get_weights"):
        return weights_digest(classifier.network)
    digest = hashlib.sha256()  # a SavedModel
    for file in sorted(Path(classifier.origin).glob("variables/*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
