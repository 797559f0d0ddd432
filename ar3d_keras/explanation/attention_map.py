"""Where a network with a gate looks: the gate's mean over channels, laid over the clip."""

import functools

import keras
from keras import ops

from ar3d_keras.models.layers import AttentionGate


def find_gate(network: keras.Model) -> AttentionGate | None:
    """The network's gate, the last where it has several; None where it has none."""
    gates = [layer for layer in network.layers if isinstance(layer, AttentionGate)]
    return gates[-1] if gates else None


@functools.lru_cache(maxsize=1)  # each one made stays tied to the network's layers for good
def attention_network(network: keras.Model) -> keras.Model | None:
    """The same network with its attention map as a second output; None where it has no gate.

    It shares the network's weights and runs the network once.

    Returns:
        A model from `clip` (batch, T, H, W, C) to a dict of `probabilities` float32 (batch,
        classes) and `attention` float32 (batch, T, H, W), in 0..1: the mean of the gate's
        sigmoids over its channels. Where the gate sees fewer positions than the clip has, its
        map is enlarged to the clip's: bilinearly in space, to the nearest in time.
    """
    gate = find_gate(network)
    if gate is None:
        return None
    features, values = gate.input, gate.attention_map(gate.input)
    # From the gate's values on, so that its convolution, half of the network, runs once.
    behind = keras.Model(gate.output, network.output, name="behind_the_gate")
    _, frames, height, width, _ = network.input_shape
    attention = ops.mean(ops.cast(values, "float32"), axis=-1)
    return keras.Model(
        network.input,
        {
            "probabilities": behind(features * values),
            "attention": enlarged(attention, frames, height, width),
        },
        name=f"{network.name}_attention_map",
    )


def enlarged(maps, frames: int, height: int, width: int):
    """A map of fewer positions, laid over a clip.

    Args:
        maps: float (batch, t, h, w), array or tensor of the backend.
        frames: of the clip.
        height: of the clip, pixels.
        width: likewise.

    Returns:
        (batch, frames, height, width); bilinear in space, the nearest in time.
    """
    _, time, *size = maps.shape
    if size != [height, width]:
        rows = ops.reshape(maps, (-1, *size, 1))
        rows = ops.image.resize(
            rows, (height, width), interpolation="bilinear", data_format="channels_last"
        )
        maps = ops.reshape(rows, (-1, time, height, width))
    if time != frames:
        nearest = [(2 * frame + 1) * time // (2 * frames) for frame in range(frames)]
        maps = ops.take(maps, nearest, axis=1)
    return maps
