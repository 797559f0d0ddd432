"""Every network in every format, each file loaded by the runtime of its format."""

import functools
import json
import sys

import keras
import numpy as np
import pytest
import tiny  # tests/serving/tiny.py
from keras import layers

from ar3d_keras import UserError
from ar3d_keras.inference.classifier import describe
from ar3d_keras.models import network
from ar3d_keras.serving import formats
from ar3d_keras.serving.tensorflow_process import ExporterNotInstalled

CLASSES = ["걷기 walk", "run", "jump, high"]
PAPER = {"frames": 4, "height": 8, "width": 8, "filters": 6, "dense": 5}
THIN = {"frames": 4, "height": 32, "width": 32, "width_multiplier": 0.05}
FRAMES = {"frames": 4, "height": 48, "width": 48}
ENERGIES = {"spatial_downsample": 2, "differences": True, "pool": "global", "log_pooling": True}
MOTION = {"frames": 8, "height": 32, "width": 40, "motion_crop": (24, 32), "differences": True}
NETWORKS = {
    "conv3d": ("conv3d", {**PAPER, "pool": (2, 4, 4)}),
    "conv3d gated": ("conv3d", {**PAPER, "pool": (2, 3, 3), "attention": True}),
    "conv3d energies": ("conv3d", {**PAPER, **ENERGIES, "attention": True}),
    "compact3d": ("compact3d", {**MOTION, "attention": True}),
    "two_stream3d": ("two_stream3d", {**MOTION, "attention": True}),
    "c3d": ("c3d", {**THIN, "dense": 8, "attention": True}),
    "i3d": ("i3d", {**THIN, "frames": 16, "attention": True}),
    "i3d of 4 frames": ("i3d", THIN),
    "lrcn": ("lrcn", {**FRAMES, "dense": 8, "units": 8}),
    "two_stream": ("two_stream", THIN),
    "fused3d": ("fused3d", {**FRAMES, "filters": 8, "attention": True}),
}


def onnx(file):
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    (clip,) = session.get_inputs()
    assert (clip.name, clip.type) == ("clip", "tensor(uint8)")
    return lambda clips: session.run(["probabilities"], {"clip": clips})[0]


def openvino(file):
    sys.modules.setdefault("openvino_telemetry", None)  # it forks, to tell Intel of the import
    from openvino import Core

    # A CPU that has bfloat16 computes in it by default.
    model = Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert model.input("clip").element_type.to_string() == "u8"
    return lambda clips: model({"clip": clips})["probabilities"]


def litert(file):
    from ai_edge_litert.interpreter import Interpreter

    assert not {"CUSTOM", "CONV_3D", "WHILE"} & operators(file)  # Flex operators are custom ones
    interpreter = Interpreter(str(file), num_threads=2)
    (clip,) = interpreter.get_input_details()
    assert clip["dtype"] == np.uint8
    classify = interpreter.get_signature_runner("serving_default")
    return lambda clips: classify(clip=clips)["probabilities"]


def contents(file):
    """A LiteRT file as LiteRT's schema reads it."""
    from ai_edge_litert import schema_py_generated as schema

    return schema, schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)


def operators(file):
    schema, model = contents(file)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    return {names[max(o.builtinCode, o.deprecatedBuiltinCode)] for o in model.operatorCodes}


def weights(file):
    """(type, count) of every constant of a LiteRT file."""
    schema, model = contents(file)
    names = {number: name for name, number in vars(schema.TensorType).items()}
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        if model.buffers[tensor.buffer].data is not None:
            yield names[tensor.type], int(np.prod(tensor.shape))


RUNTIMES = {"onnx": onnx, "openvino": openvino, "litert": litert}


def build(name):
    """A network, three clips, and answers that depend on the clip."""
    keras.utils.set_random_seed(0)
    kind, sizes = NETWORKS[name]
    model = network(kind)(len(CLASSES), **sizes)
    clips = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
    clips[1] //= 8  # a dark one
    clips[2, 1:] = clips[2, :1]  # one that stands still
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, layers.Dense)]
    while np.ptp(answers := model.predict_on_batch(clips), axis=0).max() < 0.05:
        for layer in dense:
            layer.kernel.assign(8 * layer.kernel)
    return model, clips, answers


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function: name and format -> (file, clips, answers), each network built once."""

    @functools.cache
    def saved(name):
        model, clips, answers = build(name)
        file = tmp_path_factory.mktemp("network") / "network.keras"
        model.save(file)
        return file, clips, answers

    @functools.cache
    def export(name, format, int8=False):
        network, clips, answers = saved(name)
        file = network.parent / str(int8) / formats.FILES[format]
        file.parent.mkdir(exist_ok=True)
        formats.write(network, file, format, int8=int8)
        return file, clips, answers

    return export


# Networks of layers that the others have too; and lrcn, whose loop takes long to convert.
SLOW = {"conv3d", "i3d", "i3d of 4 frames", "lrcn", "fused3d", "two_stream"}
# tf2onnx before opset 18 makes a wrong graph of i3d with few frames, and of nothing else.
CASES = [
    pytest.param(
        name,
        format,
        marks=pytest.mark.slow if name in SLOW else (),
    )
    for name in NETWORKS
    for format in formats.FILES
    if name != "i3d of 4 frames" or format == "onnx"
]


@pytest.mark.parametrize(("name", "format"), CASES)
def test_every_runtime_equals_keras(name, format, files):
    file, clips, expected = files(name, format)
    classify = RUNTIMES[format](file)
    for count in (1, 3, 2):
        answers = classify(clips[:count])
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, expected[:count], atol=1e-5)


@pytest.mark.parametrize("name", ["c3d", pytest.param("lrcn", marks=pytest.mark.slow)])
def test_int8_holds_every_kernel_in_int8(name, files):
    file, clips, expected = files(name, "litert", int8=True)
    kept = [size for kind, size in weights(file) if kind == "FLOAT32"]
    assert max(kept) < 1024  # the converter leaves small ones alone: biases, first kernels
    quantised = sum(size for kind, size in weights(file) if kind == "INT8")
    assert quantised > 20 * sum(kept)
    exact, _, _ = files(name, "litert")
    assert file.stat().st_size < 0.5 * exact.stat().st_size
    np.testing.assert_allclose(litert(file)(clips), expected, atol=0.05)


def test_a_folder_holds_the_file_and_its_description(tmp_path, exported):
    description = describe(CLASSES, tiny.SHAPE)
    file = formats.export_file(exported.file, tmp_path / "export/openvino", description, "openvino")
    assert file == tmp_path / "export/openvino/network.xml"
    assert [path.name for path in (tmp_path / "export").iterdir()] == ["openvino"]
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "network.bin",
        "network.xml",
        "preprocessor.json",
    ]
    content = json.loads((file.parent / "preprocessor.json").read_text(encoding="utf-8"))
    assert content["class_names"] == CLASSES
    clips = tiny.random_clips(3, exported.model)
    expected = exported.model.predict_on_batch(clips)
    np.testing.assert_allclose(openvino(file)(clips), expected, atol=2e-6)


@pytest.mark.parametrize("format", formats.FILES)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    format, big_network, tmp_path, small_files, in_this_process, user_error
):
    with user_error("`format`", "`to`"):
        formats.export_file(big_network, tmp_path / "out", {}, format)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def refused(folder, format, **options) -> UserError:
    with pytest.raises(UserError) as error:
        formats.export_file(folder / "network.keras", folder / "out", {}, format, **options)
    return error.value


def test_int8_of_another_format_is_an_error(tmp_path):
    assert refused(tmp_path, "onnx", int8=True).parameter == "int8"


@pytest.mark.parametrize(
    ("format", "package", "extra"),
    [("onnx", "tf2onnx", "export"), ("openvino", "openvino", "export")]
    + [(format, "tensorflow", "tensorflow") for format in formats.FILES],
)
def test_a_missing_package_is_named_with_its_extra(format, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    error = refused(tmp_path, format)
    assert isinstance(error, ExporterNotInstalled)
    assert package in str(error)
    assert f"`pip install ar3d-keras[{extra}]`" in str(error)


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    assert refused(tmp_path, "litert").parameter == "to"


def test_a_failed_export_leaves_nothing(tmp_path, in_this_process):
    (tmp_path / "network.keras").write_bytes(b"no network")
    assert "network.keras" in str(refused(tmp_path, "litert"))
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
