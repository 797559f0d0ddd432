"""The warm-up file, read with TF Serving's own protocol and answered."""

import pytest
import tensorflow as tf

from ar3d_keras import Conv3DClassifier
from ar3d_keras.inference.classifier import describe
from ar3d_keras.serving.export import export_saved_model
from ar3d_keras.serving.warmup import WARMUP
from ar3d_keras.videos.sampling import ClipShape


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warmup")
    sizes = {"frames": 3, "height": 8, "width": 8, "filters": 4, "pool": (3, 4, 4), "dense": 5}
    Conv3DClassifier(3, attention=True, **sizes).save(folder / "n.keras")
    description = describe(["a", "b", "c"], ClipShape(3, 8, 8, 9, 12))
    return export_saved_model(folder / "n.keras", folder / "m", description)


def test_it_asks_every_signature(version):
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    model = tf.saved_model.load(str(version))
    asked = []
    for record in tf.data.TFRecordDataset(str(version / WARMUP)):
        log = PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        signature = model.signatures[request.model_spec.signature_name]
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        given = {name: tf.constant(value) for name, value in inputs.items()}
        answer = signature(**given)
        assert answer["probabilities"].numpy().sum() == pytest.approx(1)  # one video
        asked.append(request.model_spec.signature_name)
        if "error" in answer:
            assert answer["error"].numpy().tolist() == [b""]
            (images,) = inputs.values()
            assert tf.io.decode_jpeg(images[0, 0]).shape == (240, 320, 3)
    assert sorted(asked) == sorted(model.signatures)
    assert sorted(asked) == ["attention", "frames", "jpeg", "serving_default"]


def test_it_is_small(version):
    assert (version / WARMUP).stat().st_size < 200_000
