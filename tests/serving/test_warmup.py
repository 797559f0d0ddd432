"""The warm-up file, read with TF Serving's own protocol and answered."""

import pytest
import tensorflow as tf

from ar3d_keras.serving.warmup import WARMUP


def test_every_signature_gets_a_request_of_one_video(exported):
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    model = tf.saved_model.load(str(exported.version))
    requested = []
    for record in tf.data.TFRecordDataset(str(exported.version / WARMUP)):
        log = PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        outputs = model.signatures[name](**{key: tf.constant(v) for key, v in inputs.items()})
        requested.append(name)
        if name == "preprocessor":
            assert outputs["json"].shape == (1,)
            continue
        assert outputs["probabilities"].numpy().sum() == pytest.approx(1)
        if name == "jpeg":
            assert outputs["error"].numpy().tolist() == [b""]
            (images,) = inputs.values()
            assert tf.io.decode_jpeg(images[0, 0]).shape == (240, 320, 3)
    assert sorted(requested) == sorted(model.signatures)
    assert len(requested) == 5


def test_the_file_is_small(exported):
    assert (exported.version / WARMUP).stat().st_size < 200_000
