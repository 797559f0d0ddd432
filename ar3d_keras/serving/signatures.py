"""The signatures of a SavedModel: from a ready clip to encoded frames."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras

from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.inference.calibration import SMALLEST, Calibration, read_calibration
from ar3d_keras.serving.preprocessing import clip_of_frames, clip_of_images
from ar3d_keras.videos.sampling import ClipShape

TOP = 5


class Signature(NamedTuple):
    """A function from tensors to a dictionary of tensors, and the tensors' specifications.

    Only the signatures with time stamps have a second tensor.
    """

    function: Callable[..., dict[str, Any]]
    input: Any
    second: Any = None

    @property
    def inputs(self) -> list[Any]:
        """The specifications of all tensors."""
        return [self.input] if self.second is None else [self.input, self.second]


def signatures(network: keras.Model, description: Mapping[str, Any]) -> dict[str, Signature]:
    """Returns the signatures of a network by name; every input and output has one row a video.

    - `serving_default`: `clip` uint8 (batch, T, H, W, C), RGB or, for a network that sees flow, RGB,
      dx, dy (see `videos.flow`) -> `probabilities` float32 (batch, classes), `classes` string
      (batch, classes), and `top_classes` string and `top_probabilities` float32, both
      (batch, min(5, classes)), best first.
      With a calibration, also `calibrated_probabilities` float32 (batch, classes), and if it has
      thresholds `accepted` bool (batch,): whether the likeliest class is certain enough.
    - `frames`: `frames` uint8 (batch, at least 1, any height, any width, 3), RGB -> the same
      outputs, for the clip that evaluation would cut out of the frames (1 center clip x 1 center
      crop).
    - `jpeg`: `jpeg_bytes` string (batch, n), JPEG or PNG, each of any size -> the same outputs, and
      `error` string (batch,): what is wrong with the row, or an empty string. A row with an error
      has probabilities 0 and empty top_classes, is not accepted, and does not change the other rows.
      Empty strings are not frames, so requests of different lengths fit into one batch: with
      `pad_variable_length_inputs`, TF Serving pads a request with copies of its first string, so
      a request that begins with an empty string is padded with empty strings.
    - `timed_frames` and `timed_jpeg`, if the clips have a frame rate of their own (`fps`): as
      `frames` and `jpeg`, with `timestamps` float32 (batch, n) besides, the time of each frame in
      seconds, rising. The clip's frames are chosen by them, so that any camera fits. `frames` and
      `jpeg` take frames that are `fps` a second already.
    - `attention`, if the network has a gate: `clip` -> `probabilities` and `attention` float32
      (batch, T, H, W), in 0..1 (see `explanation.attention_map`).
    - `preprocessor`: `unused` string (batch,), any text, because a signature must have an input ->
      `json` string (batch,): preprocessor.json, from which a client learns the size of a frame and
      the stride of a clip.

    A network that sees flow has no `frames` and no `jpeg`: TensorFlow has no operation that
    computes optical flow.

    Args:
        network: with clips as input and class probabilities as output.
        description: made by `inference.classifier.describe`.
    """
    import tensorflow as tf

    shape = ClipShape(**description["clip_shape"])
    # The name of a folder need not be UTF-8; a string tensor holds bytes.
    class_names = [name.encode("utf-8", "surrogateescape") for name in description["class_names"]]
    names = tf.constant(class_names)
    calibration = read_calibration(description.get("calibration"), description["class_names"])
    content = json.dumps(description)  # ASCII, because REST answers in UTF-8

    # The server does not compare requests with the signature; tf.ensure_shape does.
    clip = tf.TensorSpec((None, *shape.array), tf.uint8, "clip")
    frames = tf.TensorSpec((None, None, None, None, 3), tf.uint8, "frames")
    jpeg = tf.TensorSpec((None, None), tf.string, "jpeg_bytes")
    unused = tf.TensorSpec((None,), tf.string, "unused")

    # Traced once, and a part of the SavedModel once, for all signatures.
    @tf.function(input_signature=[clip], autograph=False)
    def predict(clips: Any) -> Any:
        return network(clips, training=False)

    def classify(clips: Any) -> dict[str, Any]:
        probabilities = predict(tf.ensure_shape(clips, clip.shape))
        best, places = tf.math.top_k(probabilities, min(TOP, len(class_names)))
        outputs = {
            "probabilities": probabilities,
            "classes": tf.repeat(names[tf.newaxis], tf.shape(probabilities)[0], axis=0),
            "top_classes": tf.gather(names, places),
            "top_probabilities": best,
        }
        if calibration is not None:
            outputs |= calibrated_outputs(calibration, description["class_names"], probabilities)
        return outputs

    def classify_frames(videos: Any, times: Any = None) -> dict[str, Any]:
        return classify(clip_of_frames(tf.ensure_shape(videos, frames.shape), shape, times))

    def classify_images(encoded: Any, times: Any = None) -> dict[str, Any]:
        images, error = clip_of_images(encoded, shape, times)
        outputs = classify(images)
        good = (error == "")[:, tf.newaxis]
        for name, empty in (
            ("probabilities", 0.0),
            ("calibrated_probabilities", 0.0),
            ("top_probabilities", 0.0),
            ("top_classes", ""),
        ):
            if name in outputs:
                outputs[name] = tf.where(good, outputs[name], empty)
        if "accepted" in outputs:
            outputs["accepted"] = tf.logical_and(outputs["accepted"], error == "")
        return {**outputs, "error": error}

    def describe(rows: Any) -> dict[str, Any]:
        return {"json": tf.fill(tf.shape(rows), content)}

    found = {"serving_default": Signature(classify, clip)}
    if not shape.flow:
        found["frames"] = Signature(classify_frames, frames)
        found["jpeg"] = Signature(classify_images, jpeg)
    if shape.fps and not shape.flow:
        timestamps = tf.TensorSpec((None, None), tf.float32, "timestamps")
        found["timed_frames"] = Signature(classify_frames, frames, timestamps)
        found["timed_jpeg"] = Signature(classify_images, jpeg, timestamps)
    if explained := attention_network(network):

        def explain(clips: Any) -> dict[str, Any]:
            return explained(tf.ensure_shape(clips, clip.shape), training=False)

        found["attention"] = Signature(explain, clip)
    found["preprocessor"] = Signature(describe, unused)
    return found


def calibrated_outputs(
    calibration: Calibration, class_names: Sequence[str], probabilities: Any
) -> dict[str, Any]:
    """What `Calibration.calibrate` and `Calibration.accept` return, as TensorFlow operations.

    Args:
        calibration: of the network.
        class_names: in the order of its outputs.
        probabilities: float32 (batch, classes).
    """
    import tensorflow as tf

    logits = tf.math.log(tf.maximum(probabilities, SMALLEST)) / calibration.temperature
    calibrated = tf.nn.softmax(logits)
    outputs = {"calibrated_probabilities": calibrated}
    if calibration.thresholds is not None:
        best = tf.argmax(probabilities, axis=-1)
        confidence = tf.gather(calibrated, best, axis=-1, batch_dims=1)
        limits = tf.constant(calibration.limits(class_names))
        outputs["accepted"] = confidence >= tf.gather(limits, best)
    return outputs
