"""Element-wise arithmetic in one pass over memory.

TensorFlow makes one pass for each operation. XLA fuses them, but compiling a whole network with XLA
makes it ten times slower on a CPU, because of the convolutions. So only single functions are
compiled. JAX and `torch.compile` fuse by themselves.

Not for export: model servers have no XLA for CPUs.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras


@functools.cache
def in_one_pass(arithmetic: Callable[..., Any]) -> Callable[..., Any]:
    """`arithmetic` compiled by XLA on TensorFlow, and unchanged on the other backends."""
    if keras.backend.backend() != "tensorflow":
        return arithmetic
    import tensorflow as tf

    return tf.function(arithmetic, jit_compile=True, autograph=False)
