"""A split whose videos have been probed: what training and evaluation draw their clips from."""

from collections.abc import Sequence
from dataclasses import dataclass

from ar3d_keras.config import DataConfig
from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.probe import probe
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.sampling import ClipShape, resize_for
from ar3d_keras.videos.sources import ClipSource, GridViews, RandomViews, VideoSource
from ar3d_keras.videos.splits import SPLITS, Split

_REPLACE = "the reasons are named above: replace or remove those files"


@dataclass(frozen=True)
class Dataset:
    """The decodable videos of a split, as sources of clips.

    Attributes:
        split: which video is in which split, undecodable ones included.
        frames: path -> frames that can be decoded.
        unreadable: path -> reason, for the videos that cannot.
        shape: the geometry of the clips.
    """

    split: Split
    frames: dict[str, int]
    unreadable: dict[str, str]
    shape: ClipShape

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; labels are places in here."""
        return self.split.catalog.classes

    def skipped(self, name: str) -> tuple[tuple[str, str], ...]:
        """(path, reason) of the videos of a split that cannot be decoded."""
        return tuple(
            (video.path, self.unreadable[video.path])
            for video in self.split.videos(name)
            if video.path in self.unreadable
        )

    def training(self, *, seed: int, flip: bool) -> ClipSource:
        """The training videos, a random clip of each in every epoch."""
        return self._source("train", RandomViews(seed, flip))

    def evaluation(self, name: str, *, clips: int = 1, crops: int = 1) -> ClipSource:
        """The videos of a split, a fixed grid of clips x crops of each."""
        return self._source(name, GridViews(clips, crops))

    def _source(self, name: str, views) -> ClipSource:
        videos = [v for v in self.split.videos(name) if v.path not in self.unreadable]
        return VideoSource(
            self.split.catalog.root, videos, self.frames, self.classes, self.shape, views
        )


def clip_shape(config: DataConfig) -> ClipShape:
    """The geometry that a configuration asks for."""
    resize = config.resize or resize_for(config.height, config.width)
    return ClipShape(config.frames, config.height, config.width, *resize, config.stride)


def open_dataset(
    split: Split,
    shape: ClipShape,
    *,
    workers: int | None = None,
    reporter: Reporter | None = None,
    splits: Sequence[str] = SPLITS,
) -> Dataset:
    """Probes the videos of a split, names the ones that cannot be decoded, and goes on.

    Args:
        split: which videos.
        shape: the geometry of the clips.
        workers: threads that decode; None: one per core.
        reporter: draws the bar and says what is skipped.
        splits: the ones to probe, where not all are needed.

    Raises:
        UserError: a split, or a class in training, has no decodable video left.
    """
    reporter = reporter or Reporter()
    root = split.catalog.root
    catalog = Catalog(root, tuple(video for name in splits for video in split.videos(name)))
    with reporter.bar("checking", len(catalog), "videos") as update:
        probed = probe(catalog, workers=decoding_threads(workers), progress=update)
    dataset = Dataset(split, probed.frames, probed.unreadable, shape)
    for name in splits:
        skipped = dataset.skipped(name)
        for path, reason in skipped:
            reporter.say(f"skipped ({name}): {path!r}: {reason}")
        if len(skipped) == len(split.videos(name)):
            raise UserError(f"no video of {name} in {root} can be decoded; {_REPLACE}")
    if probed.unreadable:
        reporter.say(f"{len(probed.unreadable)} of {len(catalog)} videos cannot be decoded")
    trained = {v.label for v in split.videos("train") if v.path in probed.frames}
    lost = [label for label in dataset.classes if label not in trained]
    if "train" in splits and lost:
        raise UserError(
            f"no training video of class {lost[0]!r} in {root} can be decoded; {_REPLACE}"
        )
    return dataset
