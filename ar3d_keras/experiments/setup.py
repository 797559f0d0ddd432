"""The steps that every experiment begins with: open the data, resolve, split, scan."""

import dataclasses
from collections.abc import Sequence

from ar3d_keras.config import DEMO, DataConfig, TrainConfig
from ar3d_keras.devices import number_of
from ar3d_keras.errors import UserError
from ar3d_keras.models import network
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.background import with_background
from ar3d_keras.videos.balance import rare_class_notes
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.dataset import Dataset, clip_shape, open_data, open_dataset
from ar3d_keras.videos.demo import make_demo_set
from ar3d_keras.videos.isolation import Limits
from ar3d_keras.videos.mirroring import mirrored_classes, mirroring_notes
from ar3d_keras.videos.shares import keep_share
from ar3d_keras.videos.splits import SPLITS, Split, default_scheme, make_split

LITTLE = 0.4  # share of a frame that a clip shows; the default crop shows 0.57


def with_devices(config: TrainConfig) -> TrainConfig:
    """`config` with the number of devices in place of `all`.

    Raises:
        UserError: there are not so many, or the backend trains on one.
    """
    number = number_of(config.recipe.devices, config.recipe.batch_size)
    return config.replace(devices=number)


def open_catalog(config: TrainConfig, reporter: Reporter) -> Catalog:
    """The labeled videos of an experiment.

    Args:
        config: its data section says where they are. Without `data`, or with the demo set's folder,
            the demo set is made if it is missing.
        reporter: shows the progress of making the demo set, and of finding the background.

    Raises:
        UserError: there is nothing that can be used, or the rule of the groups does not fit.
    """
    data, place = config.data, config.data.data
    if place is None or place == DEMO:
        place = make_demo_set(DEMO, reporter)
    clip = data.segments == "clip"
    catalog = open_data(
        place,
        data.group_by,
        clip_segments=clip,
        allow_outside=data.allow_outside,
        skip=data.skip,
    )
    if data.background is None:
        return catalog
    return with_background(
        catalog,
        data.background,
        clip_shape(data),
        seed=config.recipe.seed,
        workers=data.workers,
        limits=limits_of(data),
        reporter=reporter,
    )


def limits_of(data: DataConfig) -> Limits:
    """The limits on the decoding of one file."""
    return Limits(data.decode_seconds, data.decode_memory)


def resolve(config: TrainConfig, catalog: Catalog) -> TrainConfig:
    """`config` with every default of its data section filled in; see `TrainConfig.resolved`."""
    return config.resolved(
        split_scheme=default_scheme(catalog),
        flows=network(config.model.model).flows,
        has_sides=mirrored_classes(catalog.class_names) is not None,
    )


def split_videos(config: TrainConfig, catalog: Catalog) -> Split:
    """Draws the split of a resolved configuration.

    Raises:
        UserError: the split scheme does not fit the videos.
    """
    data = config.data
    assert data.split_scheme is not None, "the configuration is resolved"
    split = make_split(
        catalog,
        data.split_scheme,
        seed=config.recipe.seed,
        lists=data.split_lists,
        fold=data.fold,
        folds=data.folds,
        by=data.split_by,
        val_fold=data.val_fold is not False,
    )
    if config.recipe.needs_val and not split.sizes["val"]:
        raise UserError(
            f"split scheme {split.scheme} puts no video of {catalog.root} into val, by which the best "
            "epoch, `early_stop` and `reject_error` are decided: add val videos, or set `keep` to last"
        )
    split = keep_share(split, data.train_share, config.recipe.seed)
    notes = *rare_class_notes(split), *mirroring_notes(catalog.class_names, bool(data.flip))
    return dataclasses.replace(split, notes=(*split.notes, *notes))


def log_split(split: Split, reporter: Reporter) -> None:
    """Logs the sizes of a split, and which recordings its parts share."""
    sizes = ", ".join(f"{count} {name}" for name, count in split.sizes.items() if count)
    reporter.log(f"{split.catalog.root}: {len(split.catalog.class_names)} classes; {sizes}")
    reporter.log(f"split scheme {split.scheme}. " + " ".join(split.leak.sentences()))
    for note in (*split.catalog.notes, *split.notes):
        reporter.log(note)


def open_split(
    config: TrainConfig, split: Split, reporter: Reporter, splits: Sequence[str] = SPLITS
) -> Dataset:
    """Scans the videos of a split; see `videos.dataset.open_dataset`.

    Logs what a clip shows of a frame, where that is little: a preset may have a large `resize`, and
    the user gave a smaller `height` and `width` only.
    """
    shape = clip_shape(config.data)
    share = shape.height * shape.width / (shape.resize_height * shape.resize_width)
    if share < LITTLE:
        reporter.log(
            f"a clip of {shape.height}x{shape.width} is a crop with {share:.0%} of a frame that is "
            f"resized to {shape.resize_height}x{shape.resize_width}: set `resize` if that is too little"
        )
    return open_dataset(
        split,
        shape,
        workers=config.data.workers,
        reporter=reporter,
        splits=splits,
        clip_segments=config.data.segments == "clip",
        limits=limits_of(config.data),
        strict=config.data.strict,
    )


def prepare(
    config: TrainConfig, reporter: Reporter, splits: Sequence[str] = SPLITS
) -> tuple[TrainConfig, Dataset]:
    """All the steps: the resolved configuration, and its videos, scanned.

    Args:
        config: as the user gave it.
        reporter: shows progress; logs the split and the videos that cannot be decoded.
        splits: the ones that are needed.

    Raises:
        UserError: the data cannot be used, or the split scheme does not fit it.
    """
    catalog = open_catalog(config, reporter)
    config = resolve(config, catalog)
    split = split_videos(config, catalog)
    log_split(split, reporter)
    return config, open_split(config, split, reporter, splits)
