"""A picture of the clips that training sees, from the very batches that it makes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.config import Preset, Range, TrainConfig
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments import setup
from ar3d_keras.experiments.configure import configure
from ar3d_keras.progress import Reporter
from ar3d_keras.reports.contact_sheet import Row, draw_clips
from ar3d_keras.reports.drawing import save
from ar3d_keras.reports.fonts import class_labels
from ar3d_keras.videos.dataset import Dataset
from ar3d_keras.videos.mixing import Mix, Mixing
from ar3d_keras.videos.pipeline import ClipBatches
from ar3d_keras.videos.reader import decoding_threads
from ar3d_keras.videos.sampling import ClipSpec


def show_clips(
    config: TrainConfig | str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] = "clips.png",
    count: int = 6,
    epoch: int = 1,
    preset: Preset | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> Path:
    """Draws training clips, one per row, with their augmentation in words.

    Args:
        config: as for `train`.
        out: the picture, a .png file.
        count: how many clips, in the order in which training sees them.
        epoch: the epoch whose clips are drawn, from 1.
        preset: as for `train`.
        reporter: shows progress. Default: prints it.
        options: as for `train`.

    Returns:
        The path of the picture.

    Raises:
        UserError: an option is out of range, `out` is not a .png in an existing folder, or the data
            cannot be used.
    """
    configured = configure(config, preset=preset, reporter=reporter, **options)
    Range(1).check("count", count)
    Range(1).check("epoch", epoch)
    file = Path(out)
    if file.suffix.lower() != ".png":
        raise UserError(f"`out` {file} must end in .png")
    if not file.absolute().parent.is_dir():
        raise UserError(f"`out` {file}: there is no folder {file.parent}")
    reporter = reporter or Console()
    configured, dataset = setup.prepare(configured, reporter, splits=("train",))
    save(draw_clips(_rows(configured, dataset, count, epoch - 1)), file)
    reporter.log(str(file))
    return file


def _rows(config: TrainConfig, dataset: Dataset, count: int, epoch: int) -> list[Row]:
    """The first clips of an epoch, counted from 0."""
    data, seed = config.data, config.recipe.seed
    source = dataset.training(
        seed=seed, flip=bool(data.flip), augment=data, at_least=config.recipe.clips_per_epoch
    )
    mixing = Mixing(data, num_classes=len(dataset.class_names), seed=seed)
    batches = ClipBatches(
        source,
        config.recipe.batch_size,
        seed=seed,
        workers=decoding_threads(data.workers),
        mixing=mixing,
        balance=config.recipe.balance,
    )
    batches.epoch = epoch
    order = batches.order(epoch)
    rows: list[Row] = []
    for step in range(len(batches)):
        clips, labels, _ = batches[step]
        indices = order[step * batches.batch_size :][: len(clips)]
        size = clips.shape[2:4]
        mix = mixing.draw(len(clips), size, epoch=epoch, step=step) if mixing else None
        for place, index in enumerate(indices):
            text = _describe_spec(source.clip_spec(int(index), epoch), size)
            if mix:
                partner = source.videos[source.video_of(indices[mix.partners[place]])].key
                text += f" · {_describe_mix(mix)} {partner}"
            label = _label(labels[place], class_labels(dataset.class_names))
            rows.append(
                Row(clips[place, ..., :3], label, source.videos[source.video_of(index)].key, text)
            )
            if len(rows) == count:
                return rows
    return rows


def _label(label: np.ndarray, class_names: Sequence[str]) -> str:
    """A class, or the classes of a mixed clip with their shares."""
    if label.ndim == 0:
        return class_names[int(label)]
    ranked = [c for c in (-label).argsort(kind="stable") if label[c] > 0]
    if len(ranked) == 1:
        return class_names[ranked[0]]
    return " + ".join(f"{label[c]:.0%} {class_names[c]}" for c in ranked)


def _describe_spec(spec: ClipSpec, size: tuple[int, int]) -> str:
    first, *rest = spec.window.tolist()
    height, width = spec.crop or size
    steps = sorted(set(np.diff(spec.window).tolist()))
    step = f"step {steps[0]}" if len(steps) == 1 else f"{len(rest) + 1} of them" if steps else ""
    words = [
        f"frames {first} to {rest[-1]}, {step}" if rest else f"frame {first}",
        f"crop {width}x{height} at {spec.left}, {spec.top}",
    ]
    if spec.flip:
        words.append("mirrored")
    if spec.color:
        brightness, contrast, saturation, hue = spec.color
        words.append(
            f"brightness {brightness:.2f} contrast {contrast:.2f} "
            f"saturation {saturation:.2f} hue {hue:+.2f}"
        )
    if spec.erased:
        top, left, height, width = spec.erased
        words.append(f"erased {width}x{height} at {left}, {top}")
    return " · ".join(words)


def _describe_mix(mix: Mix) -> str:
    """How a clip was mixed, without the name of the other clip."""
    if mix.pasted is None:
        return f"blended {1 - mix.share:.0%} of"
    top, left, height, width = mix.pasted
    return f"{width}x{height} at {left}, {top} from"
