"""The paper's network: one 3D convolution, gated or not, pooled and classified.

Source: *3D Convolutional with Attention for Action Recognition*, section 3; docs/paper.md says
how each sentence was read and why the sizes that it leaves open are what they are here.
"""

import random

import keras
from keras import layers

from ar3d_keras.errors import UserError
from ar3d_keras.models.layers import PACKAGE, AttentionGate

Sizes3D = int | tuple[int, int, int]


@keras.saving.register_keras_serializable(PACKAGE)
class Conv3DClassifier(keras.Model):
    """Clips in 0..255 to class probabilities.

        clip      (batch, 16, 112, 112, 3)    uint8 or float, 0..255; scaled to 0..1 inside
        features  (batch, 16, 112, 112, 64)   Conv3D 3x3x3, ReLU
        gate      (batch, 16, 112, 112, 64)   AttentionGate, where `attention`
        pool      (batch, 4, 7, 7, 64)        AveragePooling3D
        dense     (batch, 512)                Dense, ReLU, dropout 0.25
        output    (batch, classes)            Dense, softmax, float32 under every precision

    Args:
        classes: number of classes, at least 2.
        attention: whether the features are multiplied with the sigmoid gate.
        frames: T of a clip.
        height: of a clip, pixels.
        width: of a clip, pixels.
        filters: channels of the convolution (paper: 64).
        kernel: of the convolution, one integer or (time, height, width).
        gate_kernel: of the gate's convolution, likewise.
        pool: window and stride of the average pooling, likewise.
        dense: units of the hidden dense layer.
        dropout: the share of hidden units that training drops (paper: 0.25).

    Raises:
        UserError: a size that makes no network.
    """

    def __init__(
        self,
        classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        filters: int = 64,
        kernel: Sizes3D = 3,
        gate_kernel: Sizes3D = 3,
        pool: Sizes3D = (4, 16, 16),
        dense: int = 512,
        dropout: float = 0.25,
        **kwargs,
    ):
        kernel, gate_kernel, pool = map(_three, (kernel, gate_kernel, pool))
        sizes = {
            "classes": classes,
            "attention": attention,
            "frames": frames,
            "height": height,
            "width": width,
            "filters": filters,
            "kernel": kernel,
            "gate_kernel": gate_kernel,
            "pool": pool,
            "dense": dense,
            "dropout": dropout,
        }
        _refuse_bad_sizes(**sizes)
        dtype = kwargs.pop("dtype", None)

        # float32, because a uint8 Input would cut the fraction off float clips; uint8 arrays are
        # cast inside the graph, so they travel to the device as uint8.
        clip = keras.Input((frames, height, width, 3), dtype="float32", name="clip")
        x = layers.Rescaling(1 / 255, dtype="float32", name="rescaling")(clip)
        x = layers.Conv3D(
            filters,
            kernel,
            padding="same",
            activation="relu",
            dtype=dtype,
            name="features",
            data_format="channels_last",
        )(x)
        if attention:
            x = AttentionGate(gate_kernel, dtype=dtype, name="gate")(x)
        x = layers.AveragePooling3D(pool, dtype=dtype, name="pool", data_format="channels_last")(x)
        x = layers.Flatten(dtype=dtype, name="flatten")(x)
        x = layers.Dense(dense, activation="relu", dtype=dtype, name="dense")(x)
        # Without a seed, Keras on torch drops by torch's global generator, which no checkpoint
        # holds; with one, what was drawn is counted in a variable on every backend.
        seed = random.randint(1, 10**9)
        x = layers.Dropout(dropout, seed=seed, dtype=dtype, name="dropout")(x)
        output = layers.Dense(classes, activation="softmax", dtype="float32", name="output")(x)
        kwargs.setdefault("name", "conv3d_attention" if attention else "conv3d")
        super().__init__(clip, output, **kwargs)
        self.sizes = sizes

    def get_config(self):
        # No dtype policy: weights are float32 under every precision, and a network that is
        # loaded computes in float32.
        return {**self.sizes, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config, dtype="float32")


def _three(sizes: Sizes3D) -> tuple[int, int, int]:
    return tuple(sizes) if isinstance(sizes, list | tuple) else (sizes,) * 3


def _refuse_bad_sizes(
    *, classes, frames, height, width, kernel, gate_kernel, pool, dropout, filters, dense, **_
) -> None:
    counts = {
        "classes": classes,
        "frames": frames, "height": height, "width": width, "filters": filters, "dense": dense,
        "kernel": kernel, "gate_kernel": gate_kernel, "pool": pool,
    }  # fmt: skip
    for name, value in counts.items():
        flag = "--" + name.replace("_", "-")
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(number, int) for number in numbers):
            raise UserError(f"{flag} {value} must be of whole numbers")
        if isinstance(value, tuple) and len(value) != 3:
            raise UserError(f"{flag} {value} must be one integer or three (time, height, width)")
        if min(numbers) < 1:
            raise UserError(f"{flag} {value} must be at least 1")
    if classes < 2:
        raise UserError(f"a classifier needs at least 2 classes, not {classes}")
    if not 0 <= dropout < 1:
        raise UserError(f"--dropout {dropout} must lie in 0 <= dropout < 1")
    for axis, window, extent in zip(
        ("frames", "height", "width"), pool, (frames, height, width), strict=True
    ):
        if window > extent:
            raise UserError(
                f"--pool {' '.join(map(str, pool))} is larger than the features, which have "
                f"{axis} {extent}: give a smaller pool or a larger {axis}"
            )
