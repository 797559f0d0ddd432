"""Predicts whole videos: decoding and network work at the same time, in memory that stays the same."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import predict_clips
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.one_pass import OnePassSource, fits_one_pass
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.sources import ClipSource, UniformSampler, VideoSource


@dataclass
class Found:
    """What was found of videos, by `Video.key`.

    Attributes:
        probabilities: float32 (classes,), the mean over the clips of the video.
        failures: the reason why a video could not be predicted.
        damaged: what is missing of a video that was predicted.
    """

    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


def predict_whole(
    classifier: Classifier,
    catalog: Catalog,
    *,
    clips: int,
    crops: int,
    workers: int,
    batch_size: int,
    reporter: Reporter,
) -> Found:
    """Predicts each video as evaluation does.

    Files are decoded once, in processes of their own. Segments, folders of frames and videos for a
    network that sees flow or has a frame rate of its own are scanned before, see `scan`.

    Args:
        classifier: the network.
        catalog: the videos.
        clips: of a video.
        crops: of a clip.
        workers: decoding processes, and threads.
        batch_size: clips a step.
        reporter: shows progress.
    """
    found = Found()
    shape, sampler = classifier.shape, UniformSampler(clips, crops)

    def predict(source: ClipSource) -> None:
        predicted = predict_clips(
            classifier.network, source, batch_size=batch_size, workers=workers, reporter=reporter
        )
        for video, row in zip(source.videos, predicted.probabilities, strict=True):
            found.probabilities[video.key] = row
        found.failures.update(source.failures)

    once = [video for video in catalog.videos if fits_one_pass(catalog.root, video, shape)]
    if once:
        with Isolation(Limits()) as isolation:
            source = OnePassSource(
                catalog.root, once, classifier.class_names, shape, sampler, isolation=isolation
            )
            predict(source)
        found.damaged.update(source.damaged)
    keys = {video.key for video in once}
    others = tuple(video for video in catalog.videos if video.key not in keys)
    if others:
        rest = dataclasses.replace(catalog, videos=others, sizes=None)
        with reporter.bar("checking", len(rest), "videos") as update:
            scanned = scan(
                rest, workers=workers, progress=update, clip_segments=True, fps=shape.fps
            )
        found.failures.update(scanned.unreadable)
        found.damaged.update(scanned.damaged)
        videos = [video for video in others if video.key in scanned.frames]
        if videos:
            predict(
                VideoSource(
                    catalog.root,
                    videos,
                    scanned.frames,
                    classifier.class_names,
                    shape,
                    sampler,
                    numbers=scanned.numbers,
                )
            )
    return found
