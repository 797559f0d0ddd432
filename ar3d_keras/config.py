"""Every option: these dataclasses are the command line, the keywords of `train` and run.json.

The string under a field is its help text. Values come from, in this order: flags, `config`,
`preset`, and the defaults below, which are the paper's.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from ar3d_keras.errors import UserError
from ar3d_keras.networks import NETWORKS

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Backbone = Literal[
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50V2", "Xception"
]
Flow = Literal["none", "dis", "dis_fine", "farneback", "tvl1"]
Scheme = Literal[
    "column", "csv", "date", "group", "hmdb1", "hmdb2", "hmdb3", "kfold", "logo", "official1",
    "official2", "official3", "paper", "random",
]  # fmt: skip
Sampling = Literal["stride", "uniform"]
Balance = Literal["none", "sampler", "loss"]
Monitor = Literal["val_accuracy", "val_class_mean", "val_loss"]
Pretext = Literal["instance", "order", "speed"]
Preset = Literal["paper", "demo", "small-data", "auto"]

DEMO = Path("data/demo")  # where the built-in data set is, and is made if it is missing
FOLDS = 5


@dataclass(frozen=True)
class Range:
    """The values that a numeric option may have, from `low` to `high`.

    Attributes:
        low: the smallest value.
        high: the largest value.
        exclude: bounds that are themselves not allowed.
    """

    low: float
    high: float = math.inf
    exclude: tuple[float, ...] = ()

    def check(self, name: str, value: float) -> None:
        """Raises UserError if `value`, of the option `name`, is out of range or NaN."""
        if self.low <= value <= self.high and value not in self.exclude:
            return
        least = "above" if self.low in self.exclude else "at least"
        most = "below" if self.high in self.exclude else "at most"
        bounds = [f"{least} {self.low:g}"]
        if self.high < math.inf:
            bounds.append(f"{most} {self.high:g}")
        raise UserError(f"`{name}` must be {' and '.join(bounds)}, not {value}")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raises UserError if `value`, of the option `name`, is not a member of a Literal."""
    if value not in get_args(choices):
        raise UserError(f"`{name}` must be one of {', '.join(get_args(choices))}, not {value!r}")


Share = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1)]


def check_ranges(options: Any) -> None:
    """Checks every field of a dataclass instance that is annotated with a Range.

    Raises:
        UserError: names the option, its value and its bounds.
    """
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        for kind in (item.type, *get_args(item.type)):
            if get_origin(kind) is Annotated and isinstance(value, int | float):
                for bound in kind.__metadata__:
                    if isinstance(bound, Range):
                        bound.check(item.name, value)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training clips beyond the paper's crop and flip; off by default."""

    crop_scale: tuple[float, float] | None = None
    """Smallest and largest share of the frame area that a random crop covers; the crop is resized to the clip. Usual: 0.4 1. Default: crops of the clip's size."""
    stride_jitter: Annotated[int, Range(0, 1000)] = 0
    """Vary the stride of each training clip by up to this many frames."""
    brightness: Share = 0.0
    """Multiply the pixels of each training clip by a random factor in [1 - B, 1 + B]."""
    contrast: Share = 0.0
    """Scale the pixels of each training clip about their mean by a random factor in [1 - C, 1 + C]."""
    saturation: Share = 0.0
    """Scale the color saturation of each training clip by a random factor in [1 - S, 1 + S]."""
    hue: Annotated[float, Range(0, 0.5)] = 0.0
    """Rotate the hue of each training clip by a random share of the color circle in [-H, H]."""
    random_erasing: Share = 0.0
    """Probability of random erasing: one box of the clip, the same in all frames, becomes gray."""
    mixup: Annotated[float, Range(0, 100)] = 0.0
    """Mixup: blend pairs of training clips and their labels. Alpha of the Beta distribution of the weight; 0.2 is usual."""
    cutmix: Annotated[float, Range(0, 100)] = 0.0
    """CutMix: paste a box of another training clip, and its share of the label. Alpha of the Beta distribution; 1 is usual. With mixup too, each batch gets one of the two."""

    def validate(self) -> None:
        """Checks the values.

        Raises:
            UserError: names the option, its value, and what it may be.
        """
        check_ranges(self)
        if self.crop_scale and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise UserError(
                f"`crop_scale` {self.crop_scale[0]} {self.crop_scale[1]} must be two shares of the "
                "frame area, above 0 and at most 1, the smaller one first"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(AugmentConfig):
    """Which videos to use, and how clips are sampled from them."""

    data: Path | None = None
    """A folder of class folders; a folder of train, val and test with class folders inside; a CSV file (path,label[,group][,split][,start,end]); a folder with a labels.csv; or a pack. Default: the built-in demo set."""
    split_scheme: Scheme | None = None
    """How train, val and test are made. `group`: no recording in two splits. `csv`: the CSV's split column. `kfold`, `logo`: cross-validation by group. `column`, `date`: by the column `split_by`; no value is in two splits, or train is earliest and test latest. `random`, `paper`: ignore groups, so they leak. Default: `csv` if the CSV has a split column, else `group`."""
    group_by: str | None = None
    """Which videos were cut from one recording: a regular expression that is searched in the path (its group named `group`, or the first one); `parent`, the folder above the video inside its class folder; `column:NAME`, a column of the CSV; or `block:SECONDS`, blocks of time of a file with segments."""
    split_by: str | None = None
    """The column of the CSV for the schemes column (its values are divided), logo (one value is left out in each fold) and date (ISO dates)."""
    segments: Literal["strict", "clip"] = "strict"
    """Segments (rows of a CSV with start and end) that end beyond their file or overlap a segment of another class. `strict`: refuse them. `clip`: a segment ends where its file ends or the next one starts."""
    background: str | None = None
    """Add a class of this name, drawn from the stretches of the files that no segment covers: as many seconds as the median class."""
    split_lists: Path | None = None
    """Folder of the official split lists: ucfTrainTestlist for official1..3 (without it, the same rule is applied to the file names); testTrainMulti_7030_splits for hmdb1..3."""
    fold: Count | None = None
    """The fold of kfold, logo or random that is tested, from 1; the next fold is val (see `val_fold`) and the others train. `ar3d crossval` runs all folds. Default: 1."""
    val_fold: bool | None = None
    """Whether the fold after the tested one is val. Without it that fold trains too, and nothing is measured on val. Default: with `keep` best; with `keep` last, nothing is chosen on val, so the videos are better used for training."""
    folds: Annotated[int, Range(3)] | None = None
    """Number of folds of kfold and random. Default: 5."""
    train_share: Annotated[float, Range(0, 1, exclude=(0,))] = 1.0
    """Train with this share of the training videos, whole groups of them; `ar3d crossval --shares` compares several."""
    frames: Count = 16
    """Frames of a clip."""
    height: Count = 112
    """Height of a clip, in pixels."""
    width: Count = 112
    """Width of a clip, in pixels."""
    resize: tuple[int, int] | None = None
    """Height and width that frames are resized to before the crop. Default: 128 171 for clips of 112x112, in proportion for other sizes."""
    sampling: Sampling = "stride"
    """Which frames a clip has. `stride`: a window of the video, frames at a stride. `uniform`: the whole video (or segment, or window), one frame from each of as many equal parts as `frames`; a random one in training, the middle one in evaluation."""
    stride: Count = 4
    """Largest step between the frames of a clip: the largest of S, S-1, ..., 1 for which the video is longer than the clip."""
    fps: Annotated[float, Range(0, exclude=(0, math.inf))] | None = None
    """Frames per second of a clip, whatever the frame rate of the video: frames are chosen by their time stamps. Not with `stride`. Default: the frames of the video, at a stride."""
    clip_seconds: Annotated[float, Range(0, exclude=(0, math.inf))] | None = None
    """Seconds that a clip spans: another way to give `fps`, which is `frames` divided by it."""
    roi: tuple[float, float, float, float] | None = None
    """Region of interest: the left, top, right and bottom edge of the part of each frame that is used, in pixels or as shares in 0..1. A row of a CSV with the columns left, top, right and bottom has its own."""
    flip: bool | None = None
    """Mirror half of the training clips. Switch it off where left and right are different actions. Default: yes, unless two classes differ by left and right in their names (swipe_left, swipe_right)."""
    flow: Flow | None = None
    """Optical flow between frames as two more channels, for the networks that use it: DIS, DIS with fine steps for slow motion (`dis_fine`), Farneback, or TV-L1 (needs opencv-contrib-python). Default: the first that the network takes, else `none`."""
    skip: Path | None = None
    """Leave out the videos that this CSV names in its column path, such as skip.csv of `ar3d check --html`."""
    strict: bool = False
    """Stop at the first video that cannot be decoded. Default: name it and go on, unless more than 5 % of the training videos fail after the scan."""
    allow_outside: bool = False
    """A CSV may name videos outside its folder."""
    decode_seconds: Annotated[float, Range(0, exclude=(0, math.inf))] = 60.0
    """When files are checked before training: the seconds after which a decoder without progress is stopped. The limit for a whole file is 30 times as long."""
    decode_memory: Annotated[float, Range(0, exclude=(0, math.inf))] = 4.0
    """When files are checked before training: the gigabytes of memory for the decoding of one file (Linux and macOS)."""
    workers: Count | None = None
    """Decoding threads. Default: one per CPU core."""

    def validate(self) -> None:
        """See `AugmentConfig.validate`."""
        super().validate()
        if self.resize and (self.resize[0] < self.height or self.resize[1] < self.width):
            raise UserError(
                f"`resize` {self.resize[0]} {self.resize[1]} is smaller than the clip, "
                f"{self.height}x{self.width}: give a larger resize, or a smaller `height` and `width`"
            )
        if self.roi:
            left, top, right, bottom = self.roi
            if not (0 <= left < right < math.inf and 0 <= top < bottom < math.inf):
                raise UserError(
                    "`roi` must be left, top, right, bottom, in pixels or as shares in 0..1, with "
                    f"right above left and bottom above top, not {left:g} {top:g} {right:g} {bottom:g}"
                )
        if self.sampling == "uniform":
            for name, given in (
                ("clip_seconds", self.clip_seconds),
                ("stride_jitter", self.stride_jitter),
            ):
                if given:
                    raise UserError(
                        f"`{name}` cannot be combined with `sampling` uniform, whose clips span the "
                        "whole video"
                    )
        if self.fps and self.clip_seconds:
            raise UserError("`fps` and `clip_seconds` cannot be combined: give one of them")
        scheme = self.split_scheme
        if scheme is None:  # its default depends on the data, or is kfold: see `resolved`
            return
        if self.split_lists and not scheme.startswith(("official", "hmdb")):
            raise UserError("`split_lists` needs `split_scheme` official1..3 or hmdb1..3")
        if self.split_by is not None and scheme not in ("column", "date", "logo"):
            raise UserError("`split_by` needs `split_scheme` column, date or logo")
        if scheme in ("column", "date") and not self.split_by:
            raise UserError(f"`split_scheme` {scheme} needs `split_by`, the column to split by")
        if self.fold is not None and scheme not in ("kfold", "logo", "random"):
            raise UserError("`fold` needs `split_scheme` kfold, logo or random")
        if self.val_fold is not None and scheme not in ("kfold", "logo", "random"):
            raise UserError("`val_fold` needs `split_scheme` kfold, logo or random")
        if self.folds is not None and scheme not in ("kfold", "random"):
            raise UserError("`folds` needs `split_scheme` kfold or random")
        if self.fold and self.fold > (self.folds or (self.fold if scheme == "logo" else FOLDS)):
            raise UserError(f"`fold` {self.fold} must be at most `folds` ({self.folds or FOLDS})")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network and its options. None is the network's own default; no network has all options."""

    model: Literal[*NETWORKS] = "conv3d"  # type: ignore[valid-type]
    """The network. `conv3d` is the paper's; `fused3d`, `two_stream` and `two_stream3d` also take optical flow."""
    attention: bool = False
    """Multiply the last convolution's features by a sigmoid gate computed from them: the paper's contribution."""
    filters: int | None = None
    """Channels of the convolution."""
    kernel: tuple[int, int, int] | None = None
    """Kernel of the convolution (time height width)."""
    gate_kernel: tuple[int, int, int] | None = None
    """Kernel of the gate's convolution (time height width)."""
    motion_crop: tuple[int, int] | None = None
    """Cut each clip to the box that holds its motion, and resize the box to this height and width. `height` and `width` stay those of the clip before it."""
    spatial_downsample: int | None = None
    """Average the input over squares of this many pixels a side; removes noise and small details."""
    differences: bool = False
    """Give the network differences between consecutive frames instead of the frames."""
    motion_normalization: bool = False
    """Divide the differences of each clip by their root mean square, so that small or pale people move as much as large ones. Needs `differences`."""
    pool: tuple[int, int, int] | Literal["global"] | None = None
    """Window of the average pooling (time height width), or `global`: one average for each channel."""
    grid: tuple[int, int, int] | None = None
    """Cells of the average pooling (time height width): each is the average of an equal part of the clip."""
    log_pooling: bool = False
    """Take the logarithm of the pooled features and normalize it over the training batches."""
    dense: int | None = None
    """Units of a hidden dense layer."""
    units: int | None = None
    """Units of the LSTM."""
    dropout: float | None = None
    """Dropout rate of the hidden units."""
    width_multiplier: float | None = None
    """Multiplies all channels: less than 1 makes the network smaller than the publication's."""
    norm_momentum: float | None = None
    """Momentum of the moving statistics of batch norms."""
    backbone: Backbone | None = None
    """Image network for single frames, from keras.applications."""
    backbone_weights: Literal["none", "imagenet"] | None = None
    """Initial weights of the image network; Keras downloads ImageNet's."""

    @property
    def full_name(self) -> str:
        """The network's name for people and folders, e.g. `conv3d-attention`."""
        return self.model + ("-attention" if self.attention else "")

    def given(self) -> dict[str, Any]:
        """The options that are set: not None, and not a switch that is off."""
        options = {name: value for name, value in vars(self).items() if name != "model"}
        return {n: v for n, v in options.items() if v is not None and v is not False}


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """How the network is trained."""

    epochs: Count = 50
    """Passes over the training videos. After each one val is evaluated and the run is saved."""
    clips_per_epoch: Annotated[int, Range(0)] = 0
    """At least this many training clips in an epoch: each video gives several random clips, all videos equally many. Few videos then train as long as many. 0: one clip of each video."""
    test_clips: Count = 1
    """Clips of each video in the test report after training; their probabilities are averaged."""
    batch_size: Count = 16
    """Clips per training step, on all devices together."""
    devices: Count | Literal["all"] = 1
    """GPUs (or, without one, CPU devices) of this machine that train, each on an equal part of every batch: a number, or `all`. `batch_size` is that of all together, so the learning rate stays as it is. TensorFlow and JAX; PyTorch trains on one."""
    learning_rate: Annotated[float, Range(0, exclude=(0, math.inf))] = 1e-4
    """Learning rate of Adam."""
    weight_decay: Annotated[float, Range(0)] = 1e-4
    """Weight decay; 0 switches it off."""
    weight_decay_kind: Literal["l2", "decoupled"] = "l2"
    """`l2`: add it to the gradient, as PyTorch's Adam does. `decoupled`: shrink the weights by learning rate x decay, as AdamW does; next to nothing at 1e-4."""
    weight_decay_after: Annotated[int, Range(0)] = 4
    """Epochs before weight decay begins (the paper's "after 4 steps"); 0: from the start."""
    lr_step: Annotated[int, Range(0)] = 0
    """Divide the learning rate by 10 every this many epochs (another reading of "after 4 steps"); 0: never."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate schedule. `cosine`: falls to zero over all epochs."""
    warmup_epochs: Annotated[int, Range(0)] = 0
    """Epochs of linear warm-up to the learning rate."""
    clip_norm: Annotated[float, Range(0)] = 0.0
    """Clip the global gradient norm to this value; 0: no clipping."""
    label_smoothing: Annotated[float, Range(0, 1, exclude=(1,))] = 0.0
    """Label smoothing of the training loss; 0.1 is usual. The val and test loss is without it."""
    balance: Balance = "none"
    """For classes of unequal size. `sampler`: every class has equally many clips in each epoch. `loss`: the loss of a clip is weighted by the inverse frequency of its class."""
    monitor: Monitor = "val_accuracy"
    """What makes an epoch better, for `keep` best, early stopping and tuning. `val_class_mean`: the mean over classes of the share of right answers. Ties: val loss, or val accuracy for `val_loss`."""
    early_stop: Annotated[int, Range(0)] = 0
    """Stop after this many epochs without a better `monitor`; 0: never."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights are evaluated and exported. `best`: best `monitor`, i.e. highest val accuracy (ties: lowest val loss). `last`: safer with few val videos, where the best epoch is mostly luck."""
    seed: Annotated[int, Range(0, 2**32, exclude=(2**32,))] = 0
    """Seed of weights, batch order, clip sampling, augmentation, dropout, and the splits group, kfold and random."""
    precision: Precision = "auto"
    """Training precision. `auto`: mixed_bfloat16 on a GPU with bfloat16 units and, with TensorFlow, on a CPU with AMX or where two steps of the network, timed at the start, are 1.15 times as fast in it; else float32. Evaluation and export always use float32."""
    deterministic: bool = False
    """Ask TensorFlow for bit-identical runs on a GPU too (slower). A CPU is always deterministic."""
    init_from: str | None = None
    """Start from the weights of this run (folder or name) or .keras file, layer by layer where name and shapes match; the head only if the classes are the same. Or from published weights (.pth, .safetensors, .h5, .npz): clips are then made as these weights need them. `torchvision:r3d_18`, mc3_18, r2plus1d_18 and s3d are downloaded."""
    freeze: tuple[str, ...] = ()
    """Layers whose weights do not train: names, or patterns such as 'conv*'; `backbone` is every layer but the head and the gate."""
    fine_tune: bool = False
    """Train the head alone first, at ten times the learning rate, then all layers, the first ones slowly. Needs `init_from`."""
    head_epochs: Count = 5
    """With `fine_tune`: the epochs of the head alone."""
    layer_decay: Annotated[float, Range(0, 1, exclude=(0,))] = 0.1
    """With `fine_tune`: the learning rate of the first layer as a share of the last layer's; between them it rises by a constant ratio."""
    reject_error: Annotated[float, Range(0, 1, exclude=(0, 1))] | None = None
    """Reject uncertain predictions as "none of these", so that at most this share of the accepted val videos is wrong, e.g. 0.05. Default: accept all."""

    @property
    def needs_val(self) -> bool:
        """Whether val has a part in the result: the kept epoch, the end, or the rejection."""
        return self.keep == "best" or self.early_stop > 0 or self.reject_error is not None

    def validate(self) -> None:
        """Checks the values.

        Raises:
            UserError: names the option, its value, and what it may be.
        """
        check_ranges(self)
        if self.fine_tune and not self.init_from:
            raise UserError(
                "`fine_tune` needs `init_from`: there is nothing to tune without weights"
            )
        if self.fine_tune and "backbone" in self.freeze:
            raise UserError("`fine_tune` trains the backbone, and `freeze` backbone does not")
        if self.fine_tune and self.head_epochs >= self.epochs:
            raise UserError(
                f"`head_epochs` {self.head_epochs} must be below `epochs` {self.epochs}, which counts "
                "both phases of `fine_tune`"
            )
        if self.lr_step and (self.schedule != "constant" or self.warmup_epochs):
            raise UserError(
                "`lr_step` cannot be combined with `schedule` cosine or with `warmup_epochs`"
            )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that defines a run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)

    def validate(self) -> None:
        """Checks the values of `data` and `recipe`; a network checks its own sizes.

        Raises:
            UserError: names the option, its value, and what it may be.
        """
        self.data.validate()
        self.recipe.validate()

    def resolved(
        self, *, split_scheme: str, flows: Sequence[str], has_sides: bool = False
    ) -> "TrainConfig":
        """Replaces every None of `data` by the value that holds, once for the whole experiment.

        The options of `model` keep their None: it means that the network's own default holds.
        `workers` keeps it too: it belongs to the machine and not to the run.

        Args:
            split_scheme: the default for this catalog.
            flows: the optical flows that the network takes, the default first; none: it takes none.
            has_sides: whether two classes differ by left and right.

        Raises:
            UserError: optical flow is missing for a network that needs it, or given to one that
                does not use it; an option does not go with the split scheme.
        """
        data, name = self.data, self.model.model
        scheme: Any = data.split_scheme or split_scheme
        flow: Any = data.flow or (flows[0] if flows else "none")
        if flows and flow not in flows:
            raise UserError(
                f"`model` {name} needs optical flow, and not {flow}: set `flow` to "
                f"{' or '.join(flows)}, or leave it out"
            )
        if not flows and flow != "none":
            raise UserError(
                f"`model` {name} does not use optical flow: leave `flow` out, or set it to none"
            )
        has_folds = scheme in ("kfold", "logo", "random")
        resolved = dataclasses.replace(
            data,
            data=data.data or DEMO,
            split_scheme=scheme,
            fold=data.fold or (1 if has_folds else None),
            val_fold=self.recipe.needs_val
            if has_folds and data.val_fold is None
            else data.val_fold,
            folds=data.folds or (FOLDS if scheme in ("kfold", "random") else None),
            resize=data.resize or default_resize(data.height, data.width),
            flow=flow,
            flip=not has_sides if data.flip is None else data.flip,
        )
        resolved.validate()  # options that need a certain split scheme
        return dataclasses.replace(self, data=resolved)

    def replace(self, **options: Any) -> "TrainConfig":
        """Returns a copy with other values for options, by their names without the section.

        Raises:
            UserError: there is no such option, or a value has the wrong type.
        """
        sections: dict[str, dict[str, Any]] = {}
        for name, value in options.items():
            sections.setdefault(section_of(name), {})[name] = value
        return from_json(sections, self, "")


def section_of(option: str) -> str:
    """The section of TrainConfig (data, model, recipe) that has an option.

    Raises:
        UserError: there is no such option.
    """
    for section in dataclasses.fields(TrainConfig):
        names = [item.name for item in dataclasses.fields(section.default_factory)]  # type: ignore[arg-type]
        if option in names:
            return section.name
    raise UserError(f"there is no option `{option}`: see `python train.py --help-all`")


def default_resize(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the resize before a crop: the paper's 128x171 for 112x112, in proportion."""
    return round(height * 128 / 112), round(width * 171 / 112)


Config = TypeVar("Config", bound=TrainConfig)

# Options of earlier versions, whose run.json files and flags still work.
RENAMED = {
    "shrink": "spatial_downsample",
    "log_features": "log_pooling",
    "erase": "random_erasing",
    "frames_network": "backbone",
    "frames_weights": "backbone_weights",
}


def to_json(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The sections and options as JSON values; `from_json` is its inverse."""
    plain = TrainConfig(data=config.data, model=config.model, recipe=config.recipe)
    return json.loads(json.dumps(dataclasses.asdict(plain), default=str))


def from_json(sections: Mapping, base: Config, where: str = "the config") -> Config:
    """Returns `base` with the values in `sections`.

    Args:
        sections: {"data": {...}, "model": {...}, "recipe": {...}}, each may be partial.
        base: the values of all other options.
        where: the name of the file, for the error; empty if the values come from Python.

    Raises:
        UserError: an unknown section or option, or a value of the wrong type.
    """
    import typeguard

    prefix = f"{where}: " if where else ""
    changes: dict[str, Any] = {}
    known = {item.name: item for item in dataclasses.fields(TrainConfig)}
    for section, values in sections.items():
        if section not in known or not isinstance(values, Mapping):
            raise UserError(f"{prefix}there is no section {section!r}; known: {', '.join(known)}")
        part = getattr(base, section)
        types = {item.name: item.type for item in dataclasses.fields(part)}
        fields: dict[str, Any] = {}
        for name, value in values.items():
            name = RENAMED.get(name, name)
            if name not in types:
                raise UserError(f"{prefix}there is no option `{name}` in section {section!r}")
            fields[name] = _parsed(value, types[name])
            try:
                typeguard.check_type(fields[name], types[name])
            except typeguard.TypeCheckError as error:
                reason = " ".join(str(error).split())  # a union's members come in lines
                raise UserError(f"{prefix}`{name}` = {value!r} is invalid: {reason}") from None
        changes[section] = dataclasses.replace(part, **fields)
    return dataclasses.replace(base, **changes)


def _parsed(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and Path in (kind, *get_args(kind)) else value
