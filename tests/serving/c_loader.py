"""Runs a SavedModel through TensorFlow's C API, where no Python TensorFlow runs.

`TF_LoadSessionFromSavedModel` is the loader that TF Serving uses. The libraries are those of the
installed wheel, found but not imported.

    python c_loader.py VERSION IN.npz OUT.npz

IN.npz holds inputs named `case/signature/input`; OUT.npz then holds `case/signature/output`, and
`case/signature/!` where the run failed: the status's message; besides, `signatures`, their
names, `ops`, those of all registered operations, and `peak`, the most bytes that the process had.
"""

import ctypes
import functools
import importlib.util
import os
import resource
import sys
from ctypes import POINTER, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

UINT8, STRING = 4, 7  # tensorflow/core/framework/types.proto
DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, UINT8: np.uint8, 9: np.int64, 10: np.bool_}
TSTRING_BYTES = 24


class _Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Buffer(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


@functools.cache
def _library() -> ctypes.CDLL:
    folder = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    # Their symbols stay local: NumPy's generators crash on some of them.
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"))
    library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    for name in (
        "TF_NewStatus TF_NewGraph TF_NewSessionOptions TF_NewBuffer TF_LoadSessionFromSavedModel "
        "TF_GraphOperationByName TF_AllocateTensor TF_TensorData TF_StringGetDataPointer "
        "TF_GetAllOpList"
    ).split():
        getattr(library, name).restype = c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    library.TF_Dim.restype = c_int64
    library.TF_StringGetSize.restype = c_size_t
    return library


class StatusError(RuntimeError):
    """A status that is not OK; its message."""


def _check(status) -> None:
    library = _library()
    failed = library.TF_GetCode(c_void_p(status))
    message = library.TF_Message(c_void_p(status)).decode(errors="replace")
    library.TF_DeleteStatus(c_void_p(status))
    if failed:
        raise StatusError(message)


class Session:
    """A loaded SavedModel.

    Attributes:
        signatures: name -> (inputs, outputs), each a dictionary from a name in the signature to
            (operation, index of its output).
    """

    def __init__(self, version: str | os.PathLike):
        library = _library()
        status = library.TF_NewStatus()
        self._graph = c_void_p(library.TF_NewGraph())
        options = c_void_p(library.TF_NewSessionOptions())
        meta_graph = library.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = c_void_p(
            library.TF_LoadSessionFromSavedModel(
                options, None, os.fsencode(version), tags, 1, self._graph, c_void_p(meta_graph),
                c_void_p(status),
            )
        )  # fmt: skip
        _check(status)
        buffer = ctypes.cast(meta_graph, POINTER(_Buffer)).contents
        self.signatures = _signatures(ctypes.string_at(buffer.data, buffer.length))
        library.TF_DeleteBuffer(c_void_p(meta_graph))
        library.TF_DeleteSessionOptions(options)

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of a signature by name; strings are bytes in arrays of objects.

        Raises:
            StatusError: TensorFlow's message.
        """
        library = _library()
        fed, fetched = self.signatures[signature]
        values = (c_void_p * len(fed))(*(_tensor(inputs[name]) for name in fed))
        results = (c_void_p * len(fetched))()
        status = library.TF_NewStatus()
        library.TF_SessionRun(
            self._session, None,
            self._places(fed), values, c_int(len(fed)),
            self._places(fetched), results, c_int(len(fetched)),
            None, c_int(0), None, c_void_p(status),
        )  # fmt: skip
        for value in values:
            library.TF_DeleteTensor(c_void_p(value))
        _check(status)
        return {name: _array(result) for name, result in zip(fetched, results, strict=True)}

    def _places(self, tensors):
        find = _library().TF_GraphOperationByName
        return (_Output * len(tensors))(
            *(_Output(find(self._graph, name.encode()), index) for name, index in tensors.values())
        )

    def close(self) -> None:
        """Gives the memory back."""
        library = _library()
        status = library.TF_NewStatus()
        library.TF_DeleteSession(self._session, c_void_p(status))
        _check(status)
        library.TF_DeleteGraph(self._graph)


def _tensor(array: np.ndarray) -> int:
    """A TF_Tensor that holds a copy of an array; an array of bytes becomes strings."""
    library = _library()
    text = array.dtype == object
    dtype = STRING if text else next(k for k, v in DTYPES.items() if v == array.dtype)
    size = array.size * (TSTRING_BYTES if text else array.itemsize)
    sizes = (c_int64 * array.ndim)(*array.shape)
    tensor = library.TF_AllocateTensor(c_int(dtype), sizes, c_int(array.ndim), c_size_t(size))
    data = library.TF_TensorData(c_void_p(tensor))
    if text:
        for place, value in enumerate(array.flat):
            string = c_void_p(data + place * TSTRING_BYTES)
            library.TF_StringInit(string)
            library.TF_StringCopy(string, value, c_size_t(len(value)))
    elif size:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
    return tensor


def _array(tensor: int) -> np.ndarray:
    """A copy of a TF_Tensor, which is deleted."""
    library, tensor = _library(), c_void_p(tensor)
    shape = [library.TF_Dim(tensor, c_int(axis)) for axis in range(library.TF_NumDims(tensor))]
    dtype = library.TF_TensorType(tensor)
    data = library.TF_TensorData(tensor)
    if dtype == STRING:
        array = np.empty(shape, object)
        for place in range(array.size):
            string = c_void_p(data + place * TSTRING_BYTES)
            pointer = c_void_p(library.TF_StringGetDataPointer(string))
            array.flat[place] = ctypes.string_at(pointer, library.TF_StringGetSize(string))
    else:
        array = np.empty(shape, DTYPES[dtype])
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
    library.TF_DeleteTensor(tensor)
    return array


def registered_ops() -> set[str]:
    """The names of all operations that the library has."""
    buffer = ctypes.cast(_library().TF_GetAllOpList(), POINTER(_Buffer)).contents
    ops = _fields(ctypes.string_at(buffer.data, buffer.length))  # OpList: op = 1
    return {dict(_fields(op))[1].decode() for _, op in ops}  # OpDef: name = 1


def _signatures(meta_graph: bytes) -> dict[str, tuple[dict, dict]]:
    """MetaGraphDef.signature_def = 5, SignatureDef.inputs = 1 and .outputs = 2: maps all three."""
    found = {}
    for number, entry in _fields(meta_graph):
        if number == 5:
            name, signature = _entry(entry)
            if name == "__saved_model_init_op":
                continue
            tensors = [(number, *_entry(each)) for number, each in _fields(signature) if number < 3]
            found[name] = tuple(
                {key: _place(info) for number, key, info in tensors if number == wanted}
                for wanted in (1, 2)
            )
    return found


def _entry(entry: bytes) -> tuple[str, bytes]:
    fields = dict(_fields(entry))
    return fields[1].decode(), fields[2]


def _place(tensor_info: bytes) -> tuple[str, int]:
    """TensorInfo.name = 1, as `operation:output`."""
    name, _, index = dict(_fields(tensor_info))[1].decode().partition(":")
    return name, int(index)


def _fields(message: bytes):
    """(number, value) of a protobuf message's fields: bytes or an integer."""
    view, place = memoryview(message), 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = view[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(view):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield number, bytes(view[place : place + length])
            place += length


def main(version: str, asked: str, answered: str) -> None:
    session = Session(version)
    cases: dict[str, dict[str, np.ndarray]] = {}
    with np.load(asked, allow_pickle=True) as arrays:
        for key, array in arrays.items():
            case, name = key.rsplit("/", 1)
            cases.setdefault(case, {})[name] = array
    answers = {"signatures": np.array(sorted(session.signatures))}
    answers["ops"] = np.array(sorted(registered_ops()))
    for case, inputs in cases.items():
        try:
            answer = session.run(case.rsplit("/", 1)[1], inputs)
        except StatusError as error:
            answer = {"!": np.array(str(error))}
        answers |= {f"{case}/{name}": value for name, value in answer.items()}
    session.close()
    answers["peak"] = np.array(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    np.savez(answered, **answers)
    assert not {"tensorflow", "keras"} & set(sys.modules)


if __name__ == "__main__":
    main(*sys.argv[1:])
