"""Every option: these dataclasses ARE the command line and run.json.

A string under a field is its help. Values come from, in this order: flags, `--config`,
`--preset`, and the defaults below, which are the paper's.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ar3d_keras.errors import UserError

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Backbone = Literal[
    "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50V2", "Xception"
]
Flow = Literal["none", "dis", "farneback", "tvl1"]
Scheme = Literal[
    *("csv", "group", "hmdb1", "hmdb2", "hmdb3", "kfold", "logo"),
    *("official1", "official2", "official3", "paper", "random"),
]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What training does to clips beyond the paper's crop and flip: nothing by default."""

    crop_scale: tuple[float, float] | None = None
    """Smallest and largest share of a frame's area that a training crop covers, resized to the clip; 0.4 1 is usual. Default: crops of the clip's own size."""
    stride_jitter: int = 0
    """Draw the step of a training clip from those up to so many narrower or wider than --stride gives."""
    brightness: float = 0.0
    """Multiply a training clip with a factor from 1 - B to 1 + B; likewise the next two."""
    contrast: float = 0.0
    """Stretch a training clip's pixels about their mean."""
    saturation: float = 0.0
    """Strengthen or fade a training clip's colours."""
    hue: float = 0.0
    """Turn a training clip's colours by up to so much of the colour circle, at most 0.5."""
    random_erasing: float = 0.0
    """Share of the training clips that lose a box, the same in all frames."""
    mixup: float = 0.0
    """Blend training clips, and their labels, in pairs: alpha of the Beta distribution of the weight; 0.2 is usual."""
    cutmix: float = 0.0
    """Paste a box of another training clip, and as much of its label: alpha likewise; 1 is usual. With --mixup, each batch has one of the two."""

    def validate(self) -> None:
        """Refuses values out of range.

        Raises:
            UserError: names the flag, the value, and what it may be.
        """
        for flag, value, most in (
            ("stride-jitter", self.stride_jitter, 1000),
            ("brightness", self.brightness, 1), ("contrast", self.contrast, 1),
            ("saturation", self.saturation, 1), ("hue", self.hue, 0.5), ("random-erasing", self.random_erasing, 1),
            ("mixup", self.mixup, 100), ("cutmix", self.cutmix, 100),
        ):  # fmt: skip
            if not 0 <= value <= most:
                raise UserError(f"--{flag} {value} must be 0 to {most}")
        if self.crop_scale and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise UserError(
                f"--crop-scale {self.crop_scale[0]} {self.crop_scale[1]} must be two shares of "
                "the frame's area, above 0 to 1, the smaller first"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(AugmentConfig):
    """Which videos, and how clips are cut out of them."""

    data: Path | None = None
    """A folder of class folders, or of train, val and test with class folders in them, a CSV (path,label[,group][,split]), a folder with a labels.csv in it, or a pack (`ar3d pack`). Without it: the built-in demo set."""
    split_scheme: Scheme | None = None
    """How train, val and test are made. Default: `csv` where the catalog has a split column, else the leak-free `group`. `kfold`: groups dealt into folds. `random`: videos dealt, blind to groups. `paper` and `random` leak."""
    split_lists: Path | None = None
    """UCF-101's ucfTrainTestlist folder, for official1..3; without it the same rule is read from the names. HMDB-51's testTrainMulti_7030_splits, for hmdb1..3."""
    fold: int | None = None
    """Which fold of kfold or random tests, from 1 (the default); the next one is val, the rest trains. `ar3d crossval` runs them all."""
    folds: int | None = None
    """How many folds kfold and random deal. Default: 5."""
    frames: int = 16
    """Frames of a clip."""
    height: int = 112
    """Height of a clip, pixels."""
    width: int = 112
    """Width of a clip, pixels."""
    resize: tuple[int, int] | None = None
    """Height and width that frames are resized to before the crop. Default: 128 171 for 112x112, in proportion for other sizes."""
    stride: int = 4
    """Widest step between frames of a clip: the largest of S, S-1, ..., 1 that leaves a video more than FRAMES frames. 1 reads the paper's "consecutive" literally."""
    flip: bool = True
    """Mirror half of the training clips. Switch it off where left and right are different actions."""
    flow: Flow | None = None
    """Optical flow from each frame to the next, as two more channels of a clip, where the network sees it: DIS, Farneback, or TV-L1 (needs opencv-contrib-python). Default: `dis` for such networks, else `none`."""
    workers: int | None = None
    """Threads that decode. Default: one per core."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and its sizes; None is the network's own default, named below."""

    model: Literal["c3d", "conv3d", "fused3d", "i3d", "lrcn", "two_stream"] = "conv3d"
    """The network. `conv3d` is the paper's; fused3d and two_stream see optical flow too."""
    attention: bool = False
    """Multiply the last convolution's features with a sigmoid gate computed from them: the paper's contribution. Of c3d, conv3d, fused3d, i3d."""
    filters: int | None = None
    """Channels of the convolution. conv3d: 64; fused3d: 512."""
    kernel: tuple[int, int, int] | None = None
    """Kernel of the convolution (time height width). conv3d: 3 3 3."""
    gate_kernel: tuple[int, int, int] | None = None
    """Kernel of the gate's convolution (time height width). c3d, conv3d, fused3d, i3d: 3 3 3."""
    spatial_downsample: int | None = None
    """Average squares of so many pixels a side into one before anything else: what small things do, and noise, is lost. conv3d: 1."""
    differences: bool = False
    """Show the convolution what changes between frames instead of the frames. Of conv3d."""
    pool: tuple[int, int, int] | Literal["global"] | None = None
    """Window of the average pooling (time height width), or `global`: one average a channel. conv3d: 4 16 16."""
    log_pooling: bool = False
    """Take the logarithm of the pooled features and normalise it over the training batches. Of conv3d."""
    dense: int | None = None
    """Units of a hidden dense layer. c3d: 4096; conv3d, lrcn: 512."""
    units: int | None = None
    """Units of the LSTM. lrcn: 256."""
    dropout: float | None = None
    """Share of the hidden units dropped in training. conv3d: 0.25; c3d, fused3d, i3d, lrcn, two_stream: 0.5."""
    width_multiplier: float | None = None
    """Multiplies all channels: less than 1 makes a smaller network than the publication's. c3d, i3d, two_stream: 1.0."""
    backbone: Backbone | None = None
    """Network of single frames, from keras.applications. fused3d, lrcn: MobileNetV2."""
    backbone_weights: Literal["none", "imagenet"] | None = None
    """What it starts from: nothing, or ImageNet (downloaded by Keras). fused3d, lrcn: none."""

    def given(self) -> dict[str, Any]:
        """The options that were given, by name: neither None nor a switch that is off."""
        options = {name: value for name, value in vars(self).items() if name != "model"}
        return {n: v for n, v in options.items() if v is not None and v is not False}


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """How it is trained."""

    epochs: int = 50
    """Passes over the training videos, one clip a video."""
    batch_size: int = 16
    """Clips a training step."""
    learning_rate: float = 1e-4
    """Of Adam."""
    weight_decay: float = 1e-4
    """Strength of the weight decay; 0 switches it off."""
    weight_decay_kind: Literal["l2", "decoupled"] = "l2"
    """`l2`: added to the gradient, as PyTorch's Adam does. `decoupled`: shrinks the weights by learning rate x decay (AdamW, Keras); next to nothing at 1e-4."""
    weight_decay_after: int = 4
    """Epochs before the weight decay begins: the paper's "after 4 steps". 0: from the start."""
    lr_step: int = 0
    """Divide the learning rate by 10 every so many epochs: the other reading of "after 4 steps". 0: never."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine`: the learning rate falls to zero over all epochs, along half a cosine."""
    warmup_epochs: int = 0
    """Epochs in which the learning rate first rises, step by step, to --learning-rate."""
    clip_norm: float = 0.0
    """Shorten the gradient of all weights together to this length where it is longer. 0: never."""
    label_smoothing: float = 0.0
    """Share of a training label that is spread evenly over all classes; 0.1 is usual. The loss of val and test is without it."""
    early_stop: int = 0
    """Stop when so many epochs have brought no better val accuracy (ties: val loss). 0: never."""
    keep: Literal["best", "last"] = "best"
    """Which epoch's network is judged and exported: the one of the best val accuracy (ties: val loss), or the last; among few val videos the best epoch is mostly luck."""
    seed: int = 0
    """Of weights, order, windows, crops, flips, dropout and the splits `group`, `kfold` and `random`."""
    precision: Precision = "auto"
    """`auto`: mixed_bfloat16 where the hardware is fast at it (GPU; CPU with AMX under TensorFlow), else float32. Evaluation and export are float32 always."""
    deterministic: bool = False
    """Ask TensorFlow on a GPU for bit-identical runs too (slower). A CPU always gives them: they cost nothing there."""
    init_from: str | None = None
    """Begin with the weights of this run (its folder, or its name under RUNS_DIR) or .keras file, layer by layer where name and shapes fit; the head only where the classes are the same."""
    freeze: tuple[str, ...] = ()
    """Layers whose weights stay as they are: names, or patterns as 'conv*'."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that makes a run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)

    def validate(self) -> None:
        """Refuses values that no run can have; the network checks its own sizes.

        Raises:
            UserError: names the flag, the value, and what it may be.
        """
        data, recipe = self.data, self.recipe
        data.validate()
        for flag, value, least in (
            ("frames", data.frames, 1), ("height", data.height, 1), ("width", data.width, 1),
            ("stride", data.stride, 1),
            ("epochs", recipe.epochs, 1), ("batch-size", recipe.batch_size, 1),
            ("weight-decay", recipe.weight_decay, 0),
            ("weight-decay-after", recipe.weight_decay_after, 0),
            ("lr-step", recipe.lr_step, 0), ("warmup-epochs", recipe.warmup_epochs, 0),
            ("clip-norm", recipe.clip_norm, 0), ("early-stop", recipe.early_stop, 0),
            ("seed", recipe.seed, 0),
        ):  # fmt: skip
            if not value >= least:
                raise UserError(f"--{flag} {value} must be at least {least}")
        if recipe.seed >= 2**32:
            raise UserError(f"--seed {recipe.seed} must be below {2**32}")
        if not 0 < recipe.learning_rate < float("inf"):
            raise UserError(f"--learning-rate {recipe.learning_rate} must be above 0")
        if not 0 <= recipe.label_smoothing < 1:
            raise UserError(
                f"--label-smoothing {recipe.label_smoothing} must lie in 0 <= smoothing < 1"
            )
        if recipe.lr_step and (recipe.schedule != "constant" or recipe.warmup_epochs):
            raise UserError("--lr-step goes with neither --schedule cosine nor --warmup-epochs")
        if data.resize and (data.resize[0] < data.height or data.resize[1] < data.width):
            raise UserError(
                f"--resize {data.resize[0]} {data.resize[1]} is smaller than the clip, "
                f"{data.height}x{data.width}: give a larger resize or a smaller height and width"
            )
        if data.split_lists and not (data.split_scheme or "").startswith(("official", "hmdb")):
            raise UserError("--split-lists is for --split-scheme official1..3 and hmdb1..3")
        if data.split_scheme not in ("kfold", "random"):
            for flag, value in (("fold", data.fold), ("folds", data.folds)):
                if value is not None:
                    raise UserError(f"--{flag} is for --split-scheme kfold or random")


# What a preset changes against the defaults, which are the paper's; NAME-MODEL adds to NAME what
# holds for one network.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {},
    # data/demo: small moving discs, some told apart by left and right, so nothing is mirrored.
    "demo": {
        "data": {"height": 48, "width": 48, "flip": False},
        "recipe": {"epochs": 8, "batch_size": 8, "learning_rate": 1e-3},
    },
    "demo-conv3d": {"model": {"pool": (4, 8, 8), "dense": 256}},
    "demo-c3d": {
        "model": {"width_multiplier": 0.25, "dense": 256},
        "recipe": {"epochs": 20, "learning_rate": 3e-4},
    },
    "demo-fused3d": {
        "model": {"backbone": "MobileNet", "filters": 128, "dropout": 0.0},
        "recipe": {
            "epochs": 10, "learning_rate": 3e-4, "weight_decay": 0.0, "precision": "float32",
        },
    },
    "demo-lrcn": {
        "model": {"backbone": "MobileNet", "dropout": 0.0},
        "recipe": {
            "epochs": 25, "learning_rate": 2e-4, "weight_decay": 0.0, "precision": "float32",
        },
    },
    "demo-two_stream": {
        "model": {"width_multiplier": 0.25},
        "recipe": {"epochs": 12, "learning_rate": 3e-4},
    },
    # A few hundred videos whose classes differ in how much moves; docs/results.md says how it was
    # found, and what else was tried.
    "small-data": {
        "data": {"height": 96, "width": 128, "resize": (112, 144)},
        "recipe": {
            "epochs": 40, "learning_rate": 2e-3, "weight_decay": 0.0, "schedule": "cosine",
            "warmup_epochs": 3, "clip_norm": 1.0, "label_smoothing": 0.1, "keep": "last",
            "precision": "float32",
        },
    },
    "small-data-conv3d": {
        "model": {
            "filters": 16, "gate_kernel": (1, 1, 1), "dense": 32, "dropout": 0.5,
            "spatial_downsample": 4, "differences": True, "pool": "global", "log_pooling": True,
        },
    },
}  # fmt: skip


def with_preset(base: TrainConfig, name: str, model: str = "conv3d") -> TrainConfig:
    """`base` with the network `model` and what the preset `name` says of all and of this one."""
    base = dataclasses.replace(base, model=dataclasses.replace(base.model, model=model))
    for part in (name, f"{name}-{model}"):
        base = from_json(PRESETS.get(part, {}), base, f"preset {part}")
    return base


def to_json(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """The sections and fields as JSON values; `from_json` is its inverse."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def from_json(sections: dict, base: TrainConfig, where: str = "the config") -> TrainConfig:
    """`base` with the values that `sections` names.

    Args:
        sections: {"data": {...}, "model": {...}, "recipe": {...}}, each partial.
        base: what stands where `sections` says nothing.
        where: the file's name, for the error.

    Raises:
        UserError: an unknown section or field, or a value of another type.
    """
    import typeguard

    changes = {}
    known = {item.name: item for item in dataclasses.fields(base)}
    for section, values in sections.items():
        if section not in known or not isinstance(values, dict):
            raise UserError(f"{where} has no section {section!r}: it may have {', '.join(known)}")
        part = getattr(base, section)
        types = {item.name: item.type for item in dataclasses.fields(part)}
        fields = {}
        for name, value in values.items():
            if name not in types:
                raise UserError(f"{where} names an unknown option {name!r} in section {section!r}")
            fields[name] = _parsed(value, types[name])
            try:
                typeguard.check_type(fields[name], types[name])
            except typeguard.TypeCheckError as error:
                reason = " ".join(str(error).split())  # it lists a union's members in lines
                raise UserError(f"{where}: {section}.{name} = {value!r}: {reason}") from None
        changes[section] = dataclasses.replace(part, **fields)
    return dataclasses.replace(base, **changes)


def _parsed(value: Any, kind: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Path(value) if isinstance(value, str) and Path in (kind, *get_args(kind)) else value
