"""Decode every video of a data set once, and list those that cannot be decoded.

ar3d check --data data/UCF-101
ar3d check --data PACK         reads every byte of a pack and compares checksums
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ar3d_keras.cli.options import parse
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError

if TYPE_CHECKING:
    from ar3d_keras.videos.catalog import Catalog
    from ar3d_keras.videos.scan import Scan


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Which videos."""

    data: Path
    """A folder of class folders, a CSV, a folder with a labels.csv in it, or a pack."""
    workers: int | None = None
    """Decoding threads. Default: one per CPU core."""


OPTIONS = CheckOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError if any video cannot be decoded, after logging each."""
    options = parse(CheckOptions, arguments, verb="check", text=__doc__)
    from ar3d_keras.videos.catalog import open_catalog
    from ar3d_keras.videos.pack_index import is_pack
    from ar3d_keras.videos.reader import decoding_threads
    from ar3d_keras.videos.scan import scan

    console = Console()
    if is_pack(options.data):
        _check_pack(options.data, decoding_threads(options.workers), console)
        return
    catalog = open_catalog(options.data)
    with console.bar("checking", len(catalog), "videos") as update:
        scanned = scan(catalog, workers=decoding_threads(options.workers), progress=update)
    _log(scanned, catalog, console)
    if scanned.unreadable:
        raise UserError(
            f"{len(scanned.unreadable)} of {len(catalog)} videos in {catalog.root} cannot be "
            "decoded (named above): replace or remove them"
        )


def _check_pack(folder: Path, workers: int, console: Console) -> None:
    from ar3d_keras.videos.pack_index import AGAIN
    from ar3d_keras.videos.packs import open_pack

    pack = open_pack(folder)
    with console.bar("checking", len(pack.videos), "videos") as update:
        damaged = pack.verify(workers=workers, progress=update)
    for path, reason in damaged.items():
        console.log(f"{path!r}: {reason}")
    _log(pack.scan(pack.catalog.videos), pack.catalog, console)
    if damaged:
        raise UserError(
            f"{len(damaged)} of {len(pack.videos)} videos in the pack {pack.root} are damaged "
            f"(named above): copy it again from an intact copy, or {AGAIN}"
        )
    pack.check_unchanged()


def _log(scanned: "Scan", catalog: "Catalog", console: Console) -> None:
    for note in catalog.notes:
        console.log(note)
    for path, reason in scanned.unreadable.items():
        console.log(f"{path!r}: {reason}")
    for path, damage in scanned.damaged.items():
        console.log(f"{path!r} is damaged: {damage}")
    lengths = sorted(scanned.frames.values())
    if lengths:
        console.log(
            f"{len(lengths)} videos, {len(catalog.class_names)} classes; frames: shortest "
            f"{lengths[0]}, median {lengths[len(lengths) // 2]}, longest {lengths[-1]}"
        )
