"""Warm-up requests, which TF Serving runs before it opens a version to clients.

The first request to each signature is slow, because TensorFlow chooses kernels and allocates memory
then. Each request holds one video: the first larger batch is as fast as the second, and the server
rejects a version whose warm-up requests exceed its `max_batch_size`.
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

import errno
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.serving.signatures import Signature

# In the folder of a version; the server expects this path.
WARMUP = "assets.extra/tf_serving_warmup_requests"
VIDEO = (240, 320)  # height and width of UCF-101


def can_write() -> bool:
    """Returns whether tensorflow-serving-api is installed: `pip install ar3d-keras[serving]`."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warmup(version: Path, signatures: Mapping[str, Signature], frames: int) -> None:
    """Writes one request for each signature into the folder of a version, and reads them back.

    The server does not load a version whose warm-up file is damaged.

    Args:
        version: the folder.
        signatures: by name.
        frames: number of frames in a video, for signatures that take any number.

    Raises:
        OSError: the file on disk differs from what was written.
    """
    import tensorflow as tf

    file = version / WARMUP
    file.parent.mkdir(exist_ok=True)
    written = [log.SerializeToString() for log in _requests(signatures, frames)]
    with tf.io.TFRecordWriter(str(file)) as records:
        for record in written:
            records.write(record)
    try:  # a reader compares checksums
        intact = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator()) == written
    except tf.errors.DataLossError:
        intact = False
    if not intact:
        raise OSError(errno.EIO, "the file differs from what was written", str(file))


def _requests(signatures: Mapping[str, Signature], frames: int) -> Iterator[Any]:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for name, signature in signatures.items():
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = name
        for spec in signature.inputs:
            free = iter((1, frames, *VIDEO))
            shape = [size or next(free) for size in spec.shape]
            # One value is stored for all elements, which keeps the file small.
            value = _image() if spec.dtype == tf.string else 128
            request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(value, spec.dtype, shape))
        yield log


def _image() -> bytes:
    """Returns a JPEG of the size of a UCF-101 frame, about 10 kB."""
    import tensorflow as tf

    blocks = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    picture = tf.cast(tf.image.resize(blocks, VIDEO), tf.uint8)
    return tf.io.encode_jpeg(picture, quality=90).numpy()
