"""A layer that cuts the moving part out of a clip, so that every network sees it at one size."""

import random
from typing import Any, NamedTuple

import keras
from keras import ops

from ar3d_keras.models.layers import PACKAGE
from ar3d_keras.models.one_pass import in_one_pass


class MotionBox(NamedTuple):
    """The box of each clip, in pixels: float32 (batch,) each."""

    top: Any
    bottom: Any
    left: Any
    right: Any


@keras.saving.register_keras_serializable(PACKAGE)
class MotionCrop(keras.layers.Layer):
    """Cuts each clip to the box that holds its motion, and resizes the box to one size.

    The motion of a pixel is the sum over time and channels of the absolute differences between
    consecutive frames. Of its sums over columns and over rows, the box leaves out the share `tail`
    at each end. It is then widened on each side by `margin` times its size, made at least `least`
    times as large as the frame, and moved into it. All frames of a clip have the same box. A clip
    without motion is taken whole. The resize is bilinear, with a wider kernel where it makes the
    picture smaller, so that it averages.

    In training, the box is stretched and moved at random: otherwise no augmentation of position
    and scale before this layer would have an effect.

    Input: float (batch, time, H, W, channels), whose first `colors` channels count as motion.
    Output: float32 (batch, time, height, width, channels).

    Args:
        height: height of the output, pixels.
        width: width of the output, pixels.
        tail: share of the motion that is left out at each of the four sides.
        margin: share of the box's size that is added at each side.
        least: smallest share of the frame's height and width.
        scale: in training, height and width are multiplied by exp(u), u uniform in -scale..scale,
            and their ratio by the same with half of it.
        shift: in training, the box moves by up to this share of its height and width.
        seed: of the random numbers; None: drawn from Python's generator.
        colors: how many of the first channels are color, whose differences are the motion.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        tail: float = 0.03,
        margin: float = 0.15,
        least: float = 0.2,
        scale: float = 0.3,
        shift: float = 0.05,
        seed: int | None = None,
        colors: int = 3,
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.colors = colors
        self.height, self.width = height, width
        self.tail, self.margin, self.least = tail, margin, least
        self.scale, self.shift = scale, shift
        self.seed = random.randint(1, 10**9) if seed is None else seed
        # A variable counts the draws, so that a resumed run goes on with the same numbers.
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, clips: Any, training: bool = False) -> Any:
        if training:
            box = self._jittered(self._boxes(in_one_pass(_motion)(clips, self.colors)))
        else:
            box = self.boxes(clips)
        rows = _sampling(box.top, box.bottom, clips.shape[2], self.height)
        columns = _sampling(box.left, box.right, clips.shape[3], self.width)
        time, height, width, channels = clips.shape[1:]
        # Rows first: then what is transposed is small.
        x = ops.reshape(ops.cast(clips, "float32"), (-1, time, height, width * channels))
        x = ops.matmul(rows[:, None], x)
        x = ops.transpose(ops.reshape(x, (-1, time, self.height, width, channels)), (0, 1, 2, 4, 3))
        x = ops.reshape(x, (-1, time, self.height * channels, width))
        x = ops.matmul(x, ops.transpose(columns, (0, 2, 1))[:, None])
        x = ops.reshape(x, (-1, time, self.height, channels, self.width))
        return ops.transpose(x, (0, 1, 2, 4, 3))

    def boxes(self, clips: Any) -> MotionBox:
        """The boxes of clips as evaluation cuts them; `clips` as for the call."""
        return self._boxes(_motion(clips, self.colors))

    def _boxes(self, motion: Any) -> MotionBox:
        return MotionBox(*self._ends(ops.sum(motion, 2)), *self._ends(ops.sum(motion, 1)))

    def _ends(self, profile: Any) -> tuple[Any, Any]:
        """Both ends of the box along an axis, in pixels, from the motion (batch, pixels)."""
        pixels = profile.shape[1]
        total = ops.sum(profile, axis=1, keepdims=True)
        # A clip without motion counts as one with the same motion everywhere.
        profile = ops.where(total > 0, profile, ops.ones_like(profile))
        share = ops.cumsum(profile, axis=1) / ops.sum(profile, axis=1, keepdims=True)
        low = _crossing(share, profile, self.tail)
        high = _crossing(share, profile, 1 - self.tail)
        still = total[:, 0] <= 0
        low, high = ops.where(still, 0.0, low), ops.where(still, float(pixels), high)
        size = ops.maximum((1 + 2 * self.margin) * (high - low), self.least * pixels)
        size = ops.minimum(size, float(pixels))
        low = _limited((low + high - size) / 2, 0.0, pixels - size)
        return low, low + size

    def _jittered(self, box: MotionBox) -> MotionBox:
        batch = ops.shape(box.top)[0]
        draws = keras.random.uniform((4, batch), -1, 1, dtype="float32", seed=self.seed_generator)
        ends = []
        for low, high, sign, shift in (
            (box.top, box.bottom, 0.5, draws[2]),
            (box.left, box.right, -0.5, draws[3]),
        ):
            size = (high - low) * ops.exp(self.scale * (draws[0] + sign * draws[1]))
            middle = (low + high) / 2 + self.shift * shift * size
            ends += [middle - size / 2, middle + size / 2]
        return MotionBox(*ends)

    def placed(self, maps: Any, clips: Any) -> Any:
        """Puts maps over the output back to where they are in the clips.

        Args:
            maps: float (batch, time, height, width).
            clips: the input that they belong to.

        Returns:
            float32 (batch, time, H, W), 0 outside the boxes.
        """
        box = self.boxes(clips)
        rows = _placing(box.top, box.bottom, clips.shape[2], self.height)
        columns = _placing(box.left, box.right, clips.shape[3], self.width)
        low = ops.matmul(rows[:, None], ops.cast(maps, "float32"))
        return ops.matmul(low, ops.transpose(columns, (0, 2, 1))[:, None])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:2], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        names = ("height", "width", "tail", "margin", "least", "scale", "shift", "seed", "colors")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def find_motion_crop(network: keras.Model) -> MotionCrop | None:
    """The MotionCrop of a network; None if it has none."""
    found = (layer for layer in network.layers if isinstance(layer, MotionCrop))
    return next(found, None)


def _motion(clips: Any, colors: int) -> Any:
    """The motion of each pixel: float32 (batch, H, W); see MotionCrop."""
    frames = ops.cast(clips[..., :colors], "float32")
    # Time first: a sum over the channels of many pixels is slow.
    return ops.sum(ops.sum(ops.abs(frames[:, 1:] - frames[:, :-1]), axis=1), axis=3)


def _limited(values: Any, low: Any, high: Any) -> Any:
    """`ops.clip`, whose operation in a graph would have the name of the input, "clip"."""
    return ops.maximum(low, ops.minimum(values, high))


def _crossing(share: Any, profile: Any, level: float) -> Any:
    """Where the cumulated `share` (batch, pixels) reaches `level`, between pixel borders: (batch,)."""
    before = ops.cast(share < level, "float32")
    whole = ops.sum(before, axis=1)
    # In the pixel where it crosses, the share rises linearly.
    reached = ops.max(share * before, axis=1)
    pixels = share.shape[1]
    place = ops.cast(ops.minimum(whole, pixels - 1), "int32")
    crossed = ops.one_hot(place, pixels, dtype="float32")
    rise = ops.sum(profile * crossed, axis=1) / ops.sum(profile, axis=1)
    return whole + _limited((level - reached) / ops.maximum(rise, 1e-12), 0.0, 1.0)


def _sampling(low: Any, high: Any, pixels: int, outputs: int) -> Any:
    """Matrices (batch, outputs, pixels) that resize the stretch low..high of an axis to `outputs`.

    Beyond the ends of the picture its first and last pixels count again.
    """
    step = (high - low)[:, None] / outputs
    centers = low[:, None] + step * (ops.arange(outputs, dtype="float32") + 0.5) - 0.5
    centers = _limited(centers, 0.0, pixels - 1.0)
    distance = ops.abs(ops.arange(pixels, dtype="float32") - centers[..., None])
    weights = ops.maximum(0.0, 1 - distance / ops.maximum(step, 1.0)[..., None])
    return weights / ops.sum(weights, axis=-1, keepdims=True)


def _placing(low: Any, high: Any, pixels: int, inputs: int) -> Any:
    """Matrices (batch, pixels, inputs): each pixel of an axis from the inputs that lie over it."""
    step = (high - low)[:, None] / inputs
    middles = ops.arange(pixels, dtype="float32") + 0.5
    places = (middles - low[:, None]) / step - 0.5
    inside = ops.cast((places > -0.5) & (places < inputs - 0.5), "float32")
    places = _limited(places, 0.0, inputs - 1.0)
    distance = ops.abs(ops.arange(inputs, dtype="float32") - places[..., None])
    return inside[..., None] * ops.maximum(0.0, 1 - distance)
