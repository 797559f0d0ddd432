"""Requests that TF Serving answers to itself before it opens a version to anybody.

The first request to each signature is slow, for kernels are chosen and memory is reserved then.
One video each: the first larger batch is as fast as the second, and the server would refuse the
version if a request were larger than its `max_batch_size`.
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ar3d_keras.serving.signatures import Signature

# In the folder of a version, where the server looks for it.
WARMUP = "assets.extra/tf_serving_warmup_requests"
VIDEO = (240, 320)  # height, width: UCF-101's


def can_write() -> bool:
    """Whether the server's protocol is installed: `pip install ar3d-keras[serving]`."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warmup(version: Path, signatures: dict[str, Signature], frames: int) -> None:
    """Writes a request for each signature into the folder of a version.

    Args:
        version: the folder.
        signatures: by name.
        frames: of a video, where a signature takes any number.
    """
    import tensorflow as tf

    file = version / WARMUP
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as records:
        for log in _requests(signatures.items(), frames):
            records.write(log.SerializeToString())


def _requests(signatures: Iterable[tuple[str, Signature]], frames: int) -> Iterator:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for name, (_, spec) in signatures:
        free = iter((1, frames, *VIDEO))
        shape = [size or next(free) for size in spec.shape]
        # One value stands for all elements: the file stays small.
        value = _image() if spec.dtype == tf.string else 128
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = name
        request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(value, spec.dtype, shape))
        yield log


def _image() -> bytes:
    """A JPEG as large as a frame of UCF-101, about 10 kB."""
    import tensorflow as tf

    blocks = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    picture = tf.cast(tf.image.resize(blocks, VIDEO), tf.uint8)
    return tf.io.encode_jpeg(picture, quality=90).numpy()
