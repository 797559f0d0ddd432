"""Reads the tensors of a PyTorch file without PyTorch, and without running any code in it.

A .pth file is a pickle, which can call any function. This reader allows the few that rebuild tensors
and refuses all others. It reads both formats of `torch.save`: the zip archive, and the older one (up
to PyTorch 1.5), in which torchvision's first video weights are stored.
Source: torch/serialization.py and torch/_utils.py of PyTorch.
"""

import collections
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ar3d_keras.errors import UserError

_OLD_MAGIC = 0x1950A86A20F9469CFC6C
# The type of a storage -> that of its numbers. bfloat16 is the upper half of a float32.
_STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "<u2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1",
    "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip


class _Storage(NamedTuple):
    """A block of numbers in a file: its kind, a key of _STORAGES, its name and how many they are."""

    kind: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """A view of a storage, whose numbers may not be read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor as an array of its own; bfloat16 becomes float32."""
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)
        )
        if min((self.offset, *self.shape, *self.strides)) < 0 or last >= max(1, len(numbers)):
            raise ValueError("a tensor reaches beyond its storage")
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, [step * numbers.itemsize for step in self.strides]
        )
        if self.storage.kind == "BFloat16Storage":
            return (view.astype("<u4") << 16).view("<f4")
        return view.copy()


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name.

    A checkpoint that holds the state dict as `state_dict`, `model_state_dict` or `model` is taken
    apart, and the prefix `module.` of DataParallel is removed.

    Args:
        path: a file that `torch.save` wrote.

    Raises:
        UserError: the file is damaged, holds code to run, or no tensors.
    """
    try:
        value, numbers = _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)
        for name in ("state_dict", "model_state_dict", "model"):
            if isinstance(value, dict) and isinstance(value.get(name), dict):
                value = value[name]
        tensors = {
            str(name).removeprefix("module."): tensor.array(numbers(tensor.storage))
            for name, tensor in (value.items() if isinstance(value, dict) else ())
            if isinstance(tensor, _Tensor)
        }
    except (UserError, MemoryError):
        raise
    except Exception as error:  # pickle and zipfile raise almost anything for a damaged file
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"`init_from` {path} is damaged or is no PyTorch file: {reason}") from None
    if not tensors:
        raise UserError(f"`init_from` {path} holds no tensors: save the network's `state_dict()`")
    return tensors


Numbers = Callable[[_Storage], np.ndarray]


def _read_zip(path: Path) -> tuple[Any, Numbers]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickled = next(name for name in names if name.endswith("data.pkl"))
        value = _Tensors(io.BytesIO(archive.read(pickled)), path).load()
    folder = pickled.removesuffix("data.pkl")

    def numbers(storage: _Storage) -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            return np.frombuffer(archive.read(f"{folder}data/{storage.key}"), _dtype(storage))

    return value, numbers


def _read_old(path: Path) -> tuple[Any, Numbers]:
    """Five pickles (a magic number, a version, the machine, the value, the keys), then numbers."""
    with path.open("rb") as file:
        magic, _, _ = (_Tensors(file, path).load() for _ in range(3))
        if magic != _OLD_MAGIC:
            raise ValueError("it does not begin as one")
        unpickler = _Tensors(file, path)
        value = unpickler.load()
        found = {}
        for key in _Tensors(file, path).load():
            storage = unpickler.storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            data = file.read(count * _dtype(storage).itemsize)
            found[key] = np.frombuffer(data, _dtype(storage), count)
    return value, lambda storage: found[storage.key]


def _dtype(storage: _Storage) -> np.dtype:
    return np.dtype(_STORAGES[storage.kind])


class _Tensors(pickle.Unpickler):
    """Unpickles dictionaries, lists, numbers, strings and tensors, and nothing else."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return name
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        raise UserError(
            f"`init_from` {self.path} would run code ({module}.{name}), so it is not read: save only "
            "the network's `state_dict()`"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, count, *_ = pid
        self.storages[key] = _Storage(kind, key, count)
        return self.storages[key]


def _rebuild(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
