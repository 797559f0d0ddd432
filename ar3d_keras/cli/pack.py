"""Decode and resize every video once, into a pack that trains at the speed of memory.

ar3d pack --data data/UCF-101 --out data/UCF-101-pack                 the same command continues a stopped pack
python train.py --attention --data data/UCF-101-pack                  the same clips as from the videos, bit for bit
ar3d pack --data data/UCF-101 --out data/small --codec jpeg           a quarter of the disk space or less
ar3d pack --data data/UCF-101 --out data/UCF-101-pack --on ray        the same pack, decoded by the workers of a Ray cluster
ar3d pack --data data/UCF-101 --out data/flow --flow dis              with optical flow, for two_stream and fused3d
ar3d pack --data data/mine --resize 96 128 --flow dis_fine --out data/mine-pack    for --preset small-data
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.options import parse
from ar3d_keras.config import Flow


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Which videos, where to, and how."""

    data: Path
    """A folder of class folders, a CSV, or a folder with a labels.csv in it."""
    out: Path
    """The pack's folder: new, empty, or an unfinished pack, which is continued."""
    codec: Literal["raw", "jpeg"] = "raw"
    """`raw`: exactly the pixels of the videos, 66 kB per frame at 128x171. `jpeg`: about a fifth of that, slower to read, nearly the same pixels."""
    container: Literal["shards", "webdataset"] = "shards"
    """`webdataset`: tar files that WebDataset reads too; training reads them as it reads shards."""
    quality: int | None = None
    """JPEG quality, 1 to 100. Default: 95."""
    resize: tuple[int, int] | None = None
    """Height and width of the frames; a run that uses the pack must have the same. Default: the default of train.py, 128 171."""
    stride: int = 4
    """The --stride of the runs that will use the pack, for the record. Every frame is kept, so runs with another stride can use the pack too."""
    flow: Flow = "none"
    """Compute optical flow too, with this algorithm for the networks that use it: `dis` for two_stream and fused3d, `dis_fine` for two_stream3d, which `small-data` chooses. Other networks ignore it."""
    roi: tuple[float, float, float, float] | None = None
    """As in train.py: left, top, right and bottom edge of the part of each frame that is used; a run that uses the pack must have the same."""
    segments: Literal["strict", "clip"] = "strict"
    """As in train.py: `strict` refuses segments that end beyond their file or overlap one of another class, `clip` cuts them."""
    background: str | None = None
    """As in train.py: add a class of this name, drawn from the stretches that no segment covers."""
    group_by: str | None = None
    """As --group-by of train.py: the rule that finds the recording of each video; the pack keeps the groups."""
    skip: Path | None = None
    """As in train.py: leave out the videos that this CSV names."""
    allow_outside: bool = False
    """A CSV may name videos outside its folder."""
    decode_seconds: float = 60.0
    """As in train.py: seconds after which a decoder without progress is stopped. The limit for a whole file is 30 times as long."""
    decode_memory: float = 4.0
    """As in train.py: gigabytes of memory for the decoding of one file (Linux and macOS)."""
    workers: int | None = None
    """Decoding threads, or Ray workers with --on. Default: one per CPU core."""
    close: bool = False
    """Finish an unfinished pack with the videos that it has; the others are listed as not packed."""
    on: str | None = None
    """Decode on a Ray cluster: `ray` (that of RAY_ADDRESS, else a local one) or ray://HOST:PORT. Default: in this process."""


OPTIONS = PackOptions


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can correct."""
    options = parse(PackOptions, arguments, verb="pack", text=__doc__)
    from ar3d_keras.experiments.pack import pack

    pack(**vars(options))
