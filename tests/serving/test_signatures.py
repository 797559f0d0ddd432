"""Every signature through TensorFlow's C API: equal to Keras, with clear errors for bad input."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tiny import BYTES, SHAPE  # tests/serving/tiny.py

from ar3d_keras.inference.classifier import DESCRIPTION
from ar3d_keras.serving.preprocessing import clip_of_frames
from ar3d_keras.videos.catalog import Video
from ar3d_keras.videos.reader import every_frame
from ar3d_keras.videos.sources import UniformSampler, VideoSource

# Operations that run Python, or need a compiler that a model server lacks.
FOREIGN = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "XlaLaunch", "XlaHostCompute"}
COUNTS = (1, 3, 8)
FRAMES, SIZE = 21, (48, 64)


@pytest.fixture(scope="module")
def videos(write_video, tmp_path_factory):
    """8 videos: their frames as decoded, and the clips that evaluation cuts out of them."""
    root = tmp_path_factory.mktemp("videos")
    names = [f"{number}.avi" for number in range(8)]
    for number, name in enumerate(names):
        write_video(root / name, FRAMES, first=25 * number, size=SIZE)
    frames = np.stack([list(every_frame(root / name, SIZE)) for name in names])[..., ::-1]
    lengths = dict.fromkeys(names, FRAMES)
    source = VideoSource(
        root, [Video(name, None) for name in names], lengths, [], SHAPE, UniformSampler()
    )
    return frames, np.stack([source[place, 0] for place in range(8)])


def jpeg(frame) -> bytes:
    return cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes()


def array(rows) -> np.ndarray:
    """Rows of bytes as an array of objects; the shorter ones end in empty strings."""
    width = max(map(len, rows))
    return np.array([[*row, *[b""] * (width - len(row))] for row in rows], object)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def answers(exported, videos, ask):
    """The outputs of the C API for all the inputs of these tests."""
    frames, _ = videos
    images = [[jpeg(frame) for frame in video] for video in frames]
    mixed = [
        [jpeg(noise(20 + n, 30 - row, 3, seed=n)) for n in range(12 + row)] for row in range(8)
    ]
    inputs = {}
    for count in COUNTS:
        inputs[f"{count}/frames/frames"] = frames[:count]
        inputs[f"{count}/jpeg/jpeg_bytes"] = array(images[:count])
        inputs[f"mixed-{count}/jpeg/jpeg_bytes"] = array(mixed[:count])
    for row in range(8):
        inputs[f"alone-{row}/jpeg/jpeg_bytes"] = array([mixed[row]])
    inputs["spoilt/jpeg/jpeg_bytes"] = array(
        [mixed[0], [*mixed[1][:7], mixed[1][7][:200], *mixed[1][8:]], mixed[2], [], mixed[4]]
    )
    inputs["nothing/jpeg/jpeg_bytes"] = np.empty((2, 0), object)
    inputs["nothing/frames/frames"] = np.zeros((2, 0, 9, 9, 3), np.uint8)
    inputs["grey/frames/frames"] = np.zeros((1, 5, 9, 9, 1), np.uint8)
    inputs["sizeless/frames/frames"] = np.zeros((1, 5, 0, 9, 3), np.uint8)
    inputs["two/preprocessor/unused"] = np.array([b"", b"x"], object)
    inputs["short/serving_default/clip"] = np.zeros((1, 3, 8, 8, 3), np.uint8)
    inputs["short/attention/clip"] = np.zeros((1, 3, 8, 8, 3), np.uint8)
    return ask(exported.version, inputs)


@pytest.mark.parametrize("count", COUNTS)
def test_frames_give_the_outputs_of_evaluation(count, answers, exported, videos):
    network = exported.model
    frames, clips = videos
    answer = answers[f"{count}/frames/probabilities"]
    expected = network.predict_on_batch(clip_of_frames(frames, SHAPE).numpy())[:count]
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    # The two ways to resize may differ by one gray level, which changes a probability this much.
    evaluated = network.predict_on_batch(clips)[:count]
    np.testing.assert_allclose(answer, evaluated, rtol=0, atol=1e-3)
    best = np.argsort(-expected, axis=1)[:, :5]
    expected_names = [[BYTES[place] for place in row] for row in best]
    assert answers[f"{count}/frames/top_classes"].tolist() == expected_names


@pytest.mark.parametrize("count", COUNTS)
def test_images_give_the_outputs_of_their_frames(count, answers, exported, videos):
    network = exported.model
    decoded = [
        [tf.io.decode_jpeg(jpeg(frame), dct_method="INTEGER_ACCURATE") for frame in video]
        for video in videos[0][:count]
    ]
    expected = network.predict_on_batch(clip_of_frames(tf.stack(decoded), SHAPE).numpy())
    answer = answers[f"{count}/jpeg/probabilities"]
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    assert answers[f"{count}/jpeg/error"].tolist() == [b""] * count


@pytest.mark.parametrize("count", COUNTS)
def test_other_requests_in_a_batch_do_not_change_an_output(count, answers):
    for row in range(count):
        for name in ("probabilities", "top_probabilities"):
            alone, among = (
                answers[f"alone-{row}/jpeg/{name}"],
                answers[f"mixed-{count}/jpeg/{name}"],
            )
            np.testing.assert_allclose(among[row], alone[0], rtol=0, atol=1e-6)
    among, alone = (answers[f"{case}/jpeg/probabilities"] for case in ("mixed-8", "alone-0"))
    assert np.abs(among[1:] - alone).max() > 1e-4  # else the comparison proves nothing


def test_a_corrupt_image_and_a_row_without_frames_fail_alone(answers):
    answer = {name: answers[f"spoilt/jpeg/{name}"] for name in (
        "error", "probabilities", "top_classes", "top_probabilities", "classes",
    )}  # fmt: skip
    assert answer["error"].tolist() == [
        b"", b"frame 7 is not a JPEG or PNG that can be decoded", b"", b"there are no frames", b"",
    ]  # fmt: skip
    for row in (1, 3):
        assert not answer["probabilities"][row].any()
        assert not answer["top_probabilities"][row].any()
        assert answer["top_classes"][row].tolist() == [b""] * 5
    for row in (0, 2, 4):
        alone = answers[f"alone-{row}/jpeg/probabilities"][0]
        np.testing.assert_allclose(answer["probabilities"][row], alone, rtol=0, atol=1e-6)
        assert all(answer["top_classes"][row])
    assert answer["classes"].tolist() == [BYTES] * 5


def test_the_preprocessor_signature_returns_the_file(answers, exported):
    content = json.loads((exported.version / DESCRIPTION).read_text())
    assert [json.loads(row) for row in answers["two/preprocessor/json"]] == [content, content]


def test_errors_of_bad_requests_say_what_is_wrong(answers):
    assert answers["nothing/jpeg/error"].tolist() == [b"there are no frames"] * 2
    for case, message in {
        "nothing/frames": "`frames` holds no frame; a video has at least 1",
        "grey/frames": "[1,5,9,9,1] is not compatible with expected shape [?,?,?,?,3]",
        "sizeless/frames": "input image must be of non-zero size",
        "short/serving_default": "[1,3,8,8,3] is not compatible with expected shape [?,4,8,8,3]",
        "short/attention": "[1,3,8,8,3] is not compatible with expected shape [?,4,8,8,3]",
    }.items():
        assert message in str(answers[f"{case}/!"])


@pytest.mark.parametrize("signature", ["frames", "jpeg"])
def test_frames_of_4k_need_little_more_memory_than_they_are_large(
    signature, exported, answers, ask
):
    video = np.repeat(np.repeat(noise(1, 2, 270, 480, 3), 8, axis=2), 8, axis=3)
    if signature == "jpeg":
        question = {"4k/jpeg/jpeg_bytes": array([[jpeg(frame) for frame in video[0]]])}
    else:
        question = {"4k/frames/frames": video}
    answer = ask(exported.version, question)
    assert answer[f"4k/{signature}/probabilities"].sum() == pytest.approx(1)
    # The request twice, in NumPy and in TensorFlow, and a few frames; as float32, the clip
    # alone would be 400 MB.
    assert answer["peak"] - answers["peak"] < 4 * video.nbytes


def operations(version) -> tuple[set[str], set[str]]:
    """The names of all operations of a SavedModel, and of the functions that XLA must compile."""
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    (graph,) = [meta.graph_def for meta in saved.meta_graphs]
    functions = graph.library.function
    nodes = [*graph.node, *(node for function in functions for node in function.node_def)]
    compiled = {
        item.signature.name if hasattr(item, "signature") else item.name
        for item in (*nodes, *functions)
        if item.attr["_XlaMustCompile"].b
    }
    names = {function.signature.name for function in functions}
    return {node.op for node in nodes} - names, compiled


def test_there_is_no_operation_that_a_model_server_lacks(exported, answers):
    """It links TensorFlow's own, all of them, and no other: model_servers/BUILD."""
    found, compiled = operations(exported.version)
    assert {"Conv3D", "DecodeJpeg", "ResizeBilinear", "IgnoreErrorsDataset"} <= found
    assert not found & FOREIGN
    assert found <= set(answers["ops"].tolist())
    assert not compiled


def test_operations_that_a_model_server_lacks_would_be_seen(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((2,), tf.float32)
    python = tf.function(lambda x: tf.py_function(np.sin, [x], tf.float32), [spec])
    compiled = tf.function(tf.sin, [spec], jit_compile=True)
    module.calls = [python, tf.function(lambda x: compiled(x), [spec])]
    tf.saved_model.save(module, tmp_path)
    found, compiled = operations(tmp_path)
    assert found & FOREIGN == {"EagerPyFunc"}
    assert compiled
