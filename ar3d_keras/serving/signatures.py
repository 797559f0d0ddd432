"""What a SavedModel can be asked, from a clip that is ready to encoded frames as they come."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.serving.preprocessing import clip_of_frames, clip_of_images
from ar3d_keras.videos.sampling import ClipShape

TOP = 5


class Signature(NamedTuple):
    """A function from one tensor to a dictionary of tensors, and the tensor's specification."""

    function: Callable[[Any], dict[str, Any]]
    input: Any


def signatures(
    network: keras.Model, class_names: Sequence[str], shape: ClipShape
) -> dict[str, Signature]:
    """The signatures of a network, by name; every input and output has one row a video.

    - `serving_default`: `clip` uint8 (batch, T, H, W, C), RGB or, for a network that sees flow,
      RGB, dx, dy (see `videos.flow`) -> the answer: `probabilities` float32 (batch, classes),
      `class_names` string (batch, classes), and `top_classes` string and `top_probabilities` float32
      (batch, min(5, classes)), best first.
    - `frames`: `frames` uint8 (batch, at least 1, any height, any width, 3), RGB -> the answer
      for the clip that evaluation would cut out of them (1 centre clip x 1 centre crop).
    - `jpeg`: `jpeg_bytes` string (batch, n), JPEG or PNG, each of any size -> the same, and
      `error` string (batch,): where it is not empty, it says what is wrong with the row, whose
      probabilities are 0 and top_classes empty. The other rows are as if it were not there.
      Empty strings are no frames, so requests of different lengths fit into one batch: with
      `pad_variable_length_inputs`, TF Serving lengthens a request by its first element, so one
      that begins with an empty string gets empty strings.
    - `attention`, where the network has a gate: `clip` -> `probabilities` and `attention` float32
      (batch, T, H, W), in 0..1 (see `inference.attention_map`).

    A network that sees flow has neither `frames` nor `jpeg`: no operation of TensorFlow computes
    optical flow.
    """
    import tensorflow as tf

    # A folder's name need not be UTF-8; a string tensor holds bytes.
    names = tf.constant([name.encode("utf-8", "surrogateescape") for name in class_names])

    # The server does not compare requests with the signature: these are its checks.
    clip = tf.TensorSpec((None, *shape.array), tf.uint8, "clip")
    frames = tf.TensorSpec((None, None, None, None, 3), tf.uint8, "frames")
    jpeg = tf.TensorSpec((None, None), tf.string, "jpeg_bytes")

    def classify(given):
        probabilities = network(tf.ensure_shape(given, clip.shape), training=False)
        best, places = tf.math.top_k(probabilities, min(TOP, len(class_names)))
        return {
            "probabilities": probabilities,
            "classes": tf.repeat(names[tf.newaxis], tf.shape(probabilities)[0], axis=0),
            "top_classes": tf.gather(names, places),
            "top_probabilities": best,
        }

    def classify_frames(given):
        return classify(clip_of_frames(tf.ensure_shape(given, frames.shape), shape))

    def classify_images(given):
        images, error = clip_of_images(given, shape)
        answer = classify(images)
        good = (error == "")[:, tf.newaxis]
        for name, nothing in (
            ("probabilities", 0.0),
            ("top_probabilities", 0.0),
            ("top_classes", ""),
        ):
            answer[name] = tf.where(good, answer[name], nothing)
        return {**answer, "error": error}

    def explain(given):
        return explained(tf.ensure_shape(given, clip.shape), training=False)

    found = {"serving_default": Signature(classify, clip)}
    if not shape.flow:
        found["frames"] = Signature(classify_frames, frames)
        found["jpeg"] = Signature(classify_images, jpeg)
    explained = attention_network(network)
    if explained:
        found["attention"] = Signature(explain, clip)
    return found
