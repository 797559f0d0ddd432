"""Reads files of weights of several formats as named arrays."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.models.torch_files import read_torch_file


def read_weight_file(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of weights, by the name of their layer and of the weight: `conv1.kernel`.

    Args:
        path: .pth or .pt (PyTorch), .safetensors, .h5 or .hdf5 (Keras 1 and 2), or .npz.

    Raises:
        UserError: the file is damaged or holds something else.
    """
    reader = READERS[path.suffix]
    try:
        arrays = reader(path)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # each library raises its own errors for a damaged file
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(
            f"`init_from` {path} is damaged or is no {path.suffix} file of weights: {reason}"
        ) from None
    return {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The length of a JSON header, the header, and the numbers (huggingface.co/docs/safetensors)."""
    kinds = {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
        "I8": "i1", "U8": "u1", "BOOL": "?", "BF16": "<u2",
    }  # fmt: skip
    data = np.memmap(path, np.uint8, "r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    if length > len(data) - 8:
        raise ValueError("it ends within its header")
    header = json.loads(data[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    arrays = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        numbers = data[8 + length + begin : 8 + length + end]
        array = numbers.view(kinds[about["dtype"]]).reshape(about["shape"])
        if about["dtype"] == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        arrays[name] = np.array(array)
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
        return {_dotted(name): saved[name] for name in saved.files}


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """A group for each layer, as `save_weights` and `save` of Keras 1 and 2 wrote them."""
    import h5py

    arrays = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer_weights"):
            first, *_, last = name.removeprefix("model_weights/").split("/")
            arrays[_dotted(f"{first}/{last}")] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(take)
    return arrays


def _dotted(name: str) -> str:
    """`conv1/kernel:0` as `conv1.kernel`."""
    return name.removesuffix(":0").replace("/", ".")


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".pth": read_torch_file,
    ".pt": read_torch_file,
    ".pickle": read_torch_file,
    ".safetensors": _read_safetensors,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".npz": _read_npz,
}
