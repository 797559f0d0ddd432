"""Files of weights: what is read from each format, and what is refused."""

import collections
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from ar3d_keras.models.weight_files import read_weight_file

torch = pytest.importorskip("torch")


@pytest.fixture
def state():
    draw = torch.Generator().manual_seed(0)
    whole = torch.randn(4, 6, generator=draw)
    return collections.OrderedDict(
        {
            "conv.weight": torch.randn(2, 3, 1, 3, 3, generator=draw),
            "part.weight": whole.t()[1:5, ::2],  # a view with an offset and strides
            "half.weight": whole.half(),
            "brain.weight": whole.bfloat16(),
            "norm.num_batches_tracked": torch.tensor(7),
            "none.weight": torch.zeros(0, 3),
        }
    )


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_torch_files_are_read_without_torch(state, new, wrapped, tmp_path):
    """Both formats of torch.save; a checkpoint, and the names of DataParallel."""
    saved = {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}
    file = tmp_path / "file.pth"
    torch.save(saved if wrapped else state, file, _use_new_zipfile_serialization=new)
    arrays = read_weight_file(file)
    assert arrays.keys() == state.keys()
    for name, tensor in state.items():
        expected = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        np.testing.assert_array_equal(arrays[name], expected.numpy())


def test_safetensors_npz_and_h5(tmp_path):
    import h5py

    weight = np.arange(6, dtype="<f4").reshape(2, 3)
    brain = (weight.view("<u4") >> 16).astype("<u2")
    header = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b.weight": {"dtype": "BF16", "shape": [6], "data_offsets": [24, 36]},
    }
    head = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(
        len(head).to_bytes(8, "little") + head + weight.tobytes() + brain.tobytes()
    )
    arrays = read_weight_file(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(arrays["a.weight"], weight)
    np.testing.assert_array_equal(arrays["b.weight"], weight.reshape(-1))

    np.savez(tmp_path / "a.npz", **{"a/kernel:0": weight, "b.bias": weight[0]})
    assert read_weight_file(tmp_path / "a.npz").keys() == {"a.kernel", "b.bias"}

    for inside in ("", "model_weights/"):  # save_weights, and save
        with h5py.File(tmp_path / "a.h5", "w") as saved:
            saved[f"{inside}a/a_1/kernel:0"] = weight
            saved["optimizer_weights/iterations:0"] = 3
        assert read_weight_file(tmp_path / "a.h5").keys() == {"a.kernel"}


class _Code:
    def __reduce__(self):
        return os.system, ("touch code-ran",)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_torch_file_is_refused_and_not_run(new, state, tmp_path, monkeypatch, user_error):
    monkeypatch.chdir(tmp_path)
    torch.save(
        {"state_dict": state, "args": _Code()}, "evil.pth", _use_new_zipfile_serialization=new
    )
    with user_error("`init_from`", "evil.pth", "system"):
        read_weight_file(tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(_Code()))
    with user_error("`init_from`", "plain.pth", "system"):
        read_weight_file(tmp_path / "plain.pth")
    torch.save(torch.nn.Linear(2, 2), "whole.pth")
    with user_error("`init_from`", "whole.pth", "Linear", "state_dict"):
        read_weight_file(tmp_path / "whole.pth")
    assert not (tmp_path / "code-ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".old.pth", ".safetensors", ".npz", ".h5"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_truncated_files_are_refused(suffix, part, state, tmp_path, user_error):
    import h5py

    file = tmp_path / f"file{suffix}"
    numbers = np.random.default_rng(0).random(5000)
    if suffix.endswith("pth"):
        torch.save({"a.weight": torch.from_numpy(numbers)}, file,
                   _use_new_zipfile_serialization=suffix == ".pth")  # fmt: skip
    elif suffix == ".npz":
        np.savez(file, a=numbers)
    elif suffix == ".h5":
        with h5py.File(file, "w") as saved:
            saved["a/kernel:0"] = numbers
    else:
        about = {"dtype": "F64", "shape": [5000], "data_offsets": [0, 40000]}
        head = json.dumps({"a.weight": about}).encode()
        file.write_bytes(len(head).to_bytes(8, "little") + head + numbers.tobytes())
    whole = file.read_bytes()
    assert len(read_weight_file(file)) == 1
    file.write_bytes(whole[: int(part * len(whole))])
    with user_error("`init_from`", file.name):
        read_weight_file(file)


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, user_error):
    file = tmp_path / "file.pth"
    torch.save({"a.weight": torch.zeros(100)}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data[:40] if name.endswith("data/0") else data)
    with user_error("`init_from`", "file.pth"):
        read_weight_file(file)


def test_objects_and_files_without_tensors(tmp_path, user_error):
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    with user_error("`init_from`", "objects.npz"):
        read_weight_file(tmp_path / "objects.npz")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with user_error("`init_from`", "empty.pth", "state_dict"):
        read_weight_file(tmp_path / "empty.pth")
