"""The devices of the machine, what they can compute, seeds and determinism."""

import contextlib
import importlib
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from ar3d_keras.devices import current
from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import cores


def backend() -> str:
    """The backend of Keras: tensorflow, jax or torch."""
    return keras.backend.backend()


def gpu_name() -> str | None:
    """The name of the first GPU of the backend; None if it computes on the CPU."""
    if backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return (
            tf.config.experimental.get_device_details(gpus[0]).get("device_name") if gpus else None
        )
    if backend() == "jax":
        import jax

        device = jax.devices()[0]
        return device.device_kind if device.platform == "gpu" else None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def device_name(count: int | None = None) -> str:
    """The GPU, or the CPU with its number of cores, for the record.

    Args:
        count: the devices that compute together; None: those of `devices.using`.
    """
    name = gpu_name() or f"CPU, {cores()} cores ({cpu_model()})"
    count = current().count if count is None else count
    return name if count == 1 else f"{count} x {name}"


def cpu_model() -> str:
    """The name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def check_precision(precision: str) -> None:
    """Raises UserError if the backend cannot compute in a precision or dtype policy on this device."""
    if backend() == "tensorflow" and gpu_name() is None and precision == "mixed_float16":
        raise UserError(
            f"`precision` {precision} does not work with tensorflow on a CPU, which has no 3D average "
            "pooling in it: use float32"
        )


def bfloat16_units() -> tuple[str, ...]:
    """What this CPU computes bfloat16 with: amx_bf16, avx512_bf16 (x86-64), bf16 (arm64)."""
    return tuple(flag for flag in cpu_flags() if flag in ("amx_bf16", "avx512_bf16", "bf16"))


def cpu_flags() -> tuple[str, ...]:
    """The vector units of this CPU that matter for the speed of a network; empty if unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    return tuple(flag for flag in _VECTOR_UNITS if flag in flags)


_VECTOR_UNITS = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "sve", "i8mm", "bf16",
)  # fmt: skip


def gpu_has_bfloat16() -> bool:
    """Whether the first GPU has bfloat16 units; there must be one."""
    if backend() == "tensorflow":
        import tensorflow as tf

        gpu = tf.config.list_physical_devices("GPU")[0]
        details = tf.config.experimental.get_device_details(gpu)
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    if backend() == "torch":
        import torch

        return torch.cuda.get_device_capability(0) >= (8, 0)
    import jax

    return float(getattr(jax.devices()[0], "compute_capability", 0)) >= 8


def seed_everything(seed: int, *, deterministic: bool) -> None:
    """Seeds Python, NumPy and the backend, and makes TensorFlow deterministic.

    Without deterministic operations, two runs with the same seed differ in the last bits. On a CPU
    they are always used, because no slowdown was measured there.

    Args:
        seed: for all random number generators.
        deterministic: whether to use deterministic operations on a GPU too.
    """
    keras.utils.set_random_seed(seed)
    if backend() == "tensorflow" and (deterministic or gpu_name() is None):
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def generator_states() -> list[np.ndarray]:
    """The states of the backend's global generators, uint8: only torch has some.

    A layer without a seed, such as keras.layers.Dropout, draws from them on torch.
    """
    if backend() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if gpu_name() else [])]
    return [state.cpu().numpy() for state in states]


def set_generator_states(states: Sequence[np.ndarray]) -> None:
    """Restores what `generator_states` returned; nothing without any, and on other backends."""
    if not states or backend() != "torch":
        return
    import torch

    first, *others = (torch.from_numpy(np.array(state)) for state in states)
    torch.set_rng_state(first)
    if others:
        torch.cuda.set_rng_state_all(others)


@contextlib.contextmanager
def disable_tf32() -> Iterator[None]:
    """Disables TensorFloat-32 on GPUs inside the context, so that float32 is exact.

    Metrics, predictions and exports then agree on every machine. The setting is restored at the
    end, because training uses the faster default.
    """
    if backend() == "tensorflow":
        import tensorflow as tf

        before = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)
    elif backend() == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
    else:
        import torch

        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        allowed = cudnn.allow_tf32, matmul.allow_tf32
        cudnn.allow_tf32 = matmul.allow_tf32 = False
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32 = allowed


def compile_options() -> dict[str, bool]:
    """Keyword arguments for `model.compile`: no XLA on TensorFlow's CPU, where it is 10x slower."""
    if backend() == "tensorflow" and gpu_name() is None:
        return {"jit_compile": False}
    return {}


def environment_info() -> dict[str, str]:
    """The backend and the device of this process, for a report."""
    return {"backend": backend(), "device": device_name()}


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result depends on, for the record."""
    import cv2
    import numpy

    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend(): importlib.import_module(backend()).__version__,
        "opencv": cv2.__version__,
        "numpy": numpy.__version__,
    }
