"""Draw what the network is fed: a row a clip, frames from left to right. Takes train's options.

ar3d show-clips --data data/mine                                the first clips of epoch 1
ar3d show-clips --crop-scale 0.4 1 --brightness 0.4 --epoch 3   with augmentation, of the demo set
ar3d show-clips --config runs/NAME/run.json --count 16          what a run was fed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.cli.console import Console, start_backend
from ar3d_keras.cli.options import parse
from ar3d_keras.cli.train import DEMO, defaults
from ar3d_keras.config import TrainConfig
from ar3d_keras.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ShowClipsOptions(TrainConfig):
    """What train.py takes, and which of its clips to draw."""

    config: Path | None = None
    """A run.json whose options hold where no flag says otherwise."""
    preset: Literal["paper", "demo", "small-data"] | None = None
    """Named options under those of --config. Default: demo for the demo set, else paper."""
    out: Path = Path("clips.png")
    """The picture."""
    count: int = 6
    """Clips to draw, in the order in which training sees them."""
    epoch: int = 1
    """The epoch whose clips they are, counted from 1."""


def main(arguments: Sequence[str]) -> None:
    """Raises UserError for what the user can put right."""
    options = parse(
        ShowClipsOptions,
        arguments,
        verb="show-clips",
        text=__doc__,
        default=defaults(arguments, ShowClipsOptions()),
    )
    _validate(options)
    console = Console()
    start_backend()
    from ar3d_keras.reports.contact_sheet import draw_clips
    from ar3d_keras.reports.drawing import save

    save(draw_clips(_rows(options, console)), options.out)
    console.log(f"{options.out}")


def _validate(options: ShowClipsOptions) -> None:
    options.validate()
    for flag, value in (("count", options.count), ("epoch", options.epoch)):
        if value < 1:
            raise UserError(f"--{flag} {value} must be at least 1")
    if options.out.suffix.lower() != ".png":
        raise UserError(f"--out {options.out} must end in .png")
    if not options.out.absolute().parent.is_dir():
        raise UserError(f"--out {options.out}: there is no folder {options.out.parent}")


def _rows(options: ShowClipsOptions, console: Console) -> list:
    """The first clips of an epoch, out of the very batches that training makes."""
    from ar3d_keras.reports.contact_sheet import Row
    from ar3d_keras.reports.fonts import class_labels
    from ar3d_keras.videos.mixing import Mixing
    from ar3d_keras.videos.pipeline import ClipBatches
    from ar3d_keras.videos.reader import decoding_threads
    from ar3d_keras.videos.sampling import epoch_order

    data, seed, epoch = options.data, options.recipe.seed, options.epoch - 1
    dataset = _training_videos(options, console)
    source = dataset.training(seed=seed, flip=data.flip, augment=data)
    mixing = Mixing(data, num_classes=len(dataset.class_names), seed=seed)
    batches = ClipBatches(
        source,
        options.recipe.batch_size,
        seed=seed,
        workers=decoding_threads(data.workers),
        mixing=mixing,
    )
    batches.epoch = epoch
    order = epoch_order(len(source), seed=seed, epoch=epoch)
    rows: list[Row] = []
    for step in range(len(batches)):
        clips, labels, _ = batches[step]
        indices = order[step * batches.batch_size :][: len(clips)]
        size = clips.shape[2:4]
        mix = mixing.draw(len(clips), size, epoch=epoch, step=step) if mixing else None
        for place, index in enumerate(indices):
            told = _describe_spec(source.view(int(index), epoch), size)
            if mix:
                told += (
                    f" · {_describe_mix(mix)} {source.videos[indices[mix.partners[place]]].path}"
                )
            label = _label(labels[place], class_labels(dataset.class_names))
            rows.append(Row(clips[place, ..., :3], label, source.videos[index].path, told))
            if len(rows) == options.count:
                return rows
    return rows


def _training_videos(options: ShowClipsOptions, console: Console):
    """The Dataset that train.py would draw from; val and test are not looked at."""
    from ar3d_keras.cli.demo import make
    from ar3d_keras.videos.dataset import clip_shape, open_data, open_dataset
    from ar3d_keras.videos.splits import default_scheme, make_split

    data = options.data
    catalog = open_data(data.data if data.data else make(DEMO, console))
    split = make_split(
        catalog,
        data.split_scheme or default_scheme(catalog),
        seed=options.recipe.seed,
        lists=data.split_lists,
        fold=data.fold,
        folds=data.folds,
    )
    return open_dataset(
        split, clip_shape(data), workers=data.workers, reporter=console, splits=("train",)
    )


def _label(label, class_names: Sequence[str]) -> str:
    """A class, or the classes of a mixed clip with their shares."""
    if label.ndim == 0:
        return class_names[label]
    likeliest = [c for c in (-label).argsort(kind="stable") if label[c] > 0]
    if len(likeliest) == 1:
        return class_names[likeliest[0]]
    return " + ".join(f"{label[c]:.0%} {class_names[c]}" for c in likeliest)


def _describe_spec(view, size: tuple[int, int]) -> str:
    """A View in words."""
    first, *rest = view.window.tolist()
    height, width = view.crop or size
    words = [
        f"frames {first} to {rest[-1]}, step {rest[0] - first}" if rest else f"frame {first}",
        f"crop {width}x{height} at {view.left}, {view.top}",
    ]
    if view.flip:
        words.append("mirrored")
    if view.colour:
        brightness, contrast, saturation, hue = view.colour
        words.append(
            f"brightness {brightness:.2f} contrast {contrast:.2f} "
            f"saturation {saturation:.2f} hue {hue:+.2f}"
        )
    if view.erased:
        top, left, height, width = view.erased
        words.append(f"erased {width}x{height} at {left}, {top}")
    return " · ".join(words)


def _describe_mix(mix) -> str:
    """A Mix in words, without the partner's name."""
    if mix.pasted is None:
        return f"blended {1 - mix.share:.0%} of"
    top, left, height, width = mix.pasted
    return f"{width}x{height} at {left}, {top} from"
