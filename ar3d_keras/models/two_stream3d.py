"""Two small 3D networks for few videos: one sees brightness, the other optical flow.

Two streams whose scores are averaged: Simonyan, Zisserman, *Two-Stream Convolutional Networks for
Action Recognition in Videos*, NIPS 2014. docs/results.md says what each stream is worth.
"""

from typing import Any, ClassVar

import keras
from keras import ops

from ar3d_keras.models.classifier import Sizes3D, VideoClassifier, arguments, clip_input, triple
from ar3d_keras.models.compact3d import Compact3D, stream
from ar3d_keras.models.layers import PACKAGE, MotionNormalization, brightness
from ar3d_keras.models.one_pass import in_one_pass
from ar3d_keras.models.preparation import prepared
from ar3d_keras.videos.flow import STILL

FLOOR = 0.005  # of the flow normalization: 0.1 pixels


@keras.saving.register_keras_serializable(PACKAGE)
class TwoStream3D(VideoClassifier):
    """Clips with flow, in 0..255, to class probabilities.

        clip      (batch, 16, 112, 112, 5)   uint8 or float, 0..255
        first     (batch, 16, 112, 112, 1)   brightness in -1..1, or its differences with `differences`
        second    (batch, 16, 112, 112, 2)   flow, divided by the root mean square of its clip
        scores    (batch, classes)           of each: the layers of `compact3d` with weights of their own
        output    (batch, classes)           the mean of both, float32 under every dtype policy

    **In training each clip trains one stream:** the first half of a batch the first one, the second
    half the second one. So the streams learn independently, as two networks would, and a step takes
    the time of one. Training accuracy is that of single streams.

    Args:
        num_classes: number of classes, at least 2.
        attention: whether the last features of each stream are multiplied by a sigmoid gate.
        frames: frames of a clip.
        height: height of a clip, pixels.
        width: width of a clip, pixels.
        filters: see Compact3D.
        gate_kernel: see Compact3D.
        grid: see Compact3D.
        dropout: see Compact3D.
        **kwargs: see VideoClassifier.

    Raises:
        UserError: an option is unknown or out of range.
    """

    flows = ("dis_fine",)
    search_space = Compact3D.search_space
    presets: ClassVar[dict[str, dict[str, dict[str, Any]]]] = {
        "demo": {"recipe": {"epochs": 16}},
        # Each clip trains one of the streams.
        "small-data": {"recipe": {"clips_per_epoch": 960}},
    }

    def __init__(
        self,
        num_classes: int,
        *,
        attention: bool = False,
        frames: int = 16,
        height: int = 112,
        width: int = 112,
        filters: int = 16,
        gate_kernel: Sizes3D = 1,
        grid: Sizes3D = (2, 3, 4),
        dropout: float = 0.5,
        **kwargs: Any,
    ):
        gate_kernel, grid = map(triple, (gate_kernel, grid))
        sizes = arguments(locals())
        dtype = kwargs.pop("dtype", None) or "float32"

        clip = clip_input(frames, height, width, channels=5)
        x = prepared(BrightnessAndFlow(name="brightness_and_flow")(clip), sizes, colors=1)
        flow = MotionNormalization(FLOOR, colors=2, name="flow_normalization")(x[..., 1:])
        scores = [
            stream(HalfOfBatch(0, name="first_half")(x[..., :1]), sizes, dtype),
            stream(HalfOfBatch(1, name="second_half")(flow), sizes, dtype, prefix="flow_"),
        ]
        output = StreamAverage(name="average")([*scores, x])
        kwargs.setdefault("name", "two_stream3d_attention" if attention else "two_stream3d")
        super().__init__(clip, output, sizes, **kwargs)


@keras.saving.register_keras_serializable(PACKAGE)
class BrightnessAndFlow(keras.layers.Layer):
    """Brightness as in `layers.Brightness`, and the flow `dis_fine` in twentieths of pixels.

    Input: (batch, time, height, width, 5), 0..255, see `videos.flow`. Output: float32 (batch, time,
    height, width, 3), -1..1.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, clips: Any, training: bool = False) -> Any:
        return (in_one_pass(_brightness_and_flow) if training else _brightness_and_flow)(clips)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 3)


def _brightness_and_flow(clips: Any) -> Any:
    root = (clips[..., 3:] - STILL) / 127
    return ops.concatenate([brightness(clips[..., :3]), root * ops.abs(root)], axis=-1)


@keras.saving.register_keras_serializable(PACKAGE)
class HalfOfBatch(keras.layers.Layer):
    """In training one half of a batch, else all of it. Of an odd batch, both halves have the middle.

    Args:
        half: 0 for the first, 1 for the second.
    """

    def __init__(self, half: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.half = half

    def call(self, batch: Any, training: bool = False) -> Any:
        if not training:
            return batch
        rows = ops.shape(batch)[0]
        return batch[rows // 2 :] if self.half else batch[: rows - rows // 2]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return None, *input_shape[1:]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "half": self.half}


@keras.saving.register_keras_serializable(PACKAGE)
class StreamAverage(keras.layers.Layer):
    """The mean of two streams' scores; in training the scores of both halves of a batch.

    Input: two times float (batch, classes), in training of the halves of HalfOfBatch, and the whole
    batch of features, (batch, ...). Output: float32 (batch, classes).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        first, second, whole = inputs
        if not training:
            return (first + second) / 2
        # The middle of an odd batch is in both halves, and counts once.
        rest = ops.shape(whole)[0] // 2
        return ops.concatenate([first, second[ops.shape(second)[0] - rest :]], axis=0)

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return shapes[0]
