"""The devices that train one network together, each on an equal part of every batch.

TensorFlow does it with tf.distribute.MirroredStrategy, JAX with keras.distribution.DataParallel, in
one process or in several (`hosts.py`). The batch of the recipe is the batch of all devices.
"""

import contextlib
import sys
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.hosts import is_joined

PADDING = -1.0  # the weight of a row that fills a batch up, so that all devices get equally many


@dataclass(frozen=True)
class Devices:
    """How a batch is divided.

    Attributes:
        count: the devices of all processes.
        process: the number of this process.
        processes: the number of processes, which have equally many devices.
    """

    count: int = 1
    process: int = 0
    processes: int = 1

    def rows(self, clips: int, batch_size: int) -> int:
        """The rows of a batch with padding: a multiple of the devices.

        Args:
            clips: of this batch.
            batch_size: the clips of a whole batch. A smaller batch has other rows than a whole one,
                so the number of rows tells how many are clips.
        """
        rows, whole = (-(-number // self.count) * self.count for number in (clips, batch_size))
        return rows + self.count if rows == whole and clips != batch_size else rows

    def part(self, rows: int) -> slice:
        """The rows of a batch that this process reads."""
        size = rows // self.processes
        return slice(self.process * size, (self.process + 1) * size)


def available() -> int:
    """The devices of this machine that the backend can train on together."""
    return len(_names())


def number_of(devices: int | Literal["all"], batch_size: int | None = None) -> int:
    """The number of devices that an option `devices` means.

    Args:
        devices: a number, or all. If several processes train together, each uses all of its own.
        batch_size: of the training, which each device must get a clip of.

    Raises:
        UserError: there are not so many, or the backend cannot use several.
    """
    if is_joined():
        devices = "all"
    if devices == 1:
        return 1
    if _backend() == "torch":
        if devices == "all":
            return 1
        raise UserError(
            f"`devices` {devices}: Keras trains on one device with PyTorch; set KERAS_BACKEND to jax "
            "or tensorflow for several"
        )
    there = available()
    number = there if devices == "all" else devices
    if number > there:
        raise UserError(
            f"`devices` {devices} is more than the {there} that {_backend()} finds here: give at most "
            f"{there}, or all"
        )
    if is_joined():
        import jax

        number = jax.device_count()
    if batch_size is not None and number > batch_size:
        raise UserError(
            f"`devices` {devices} is more than `batch_size` {batch_size}, the clips of a step on all "
            "devices together: give a larger `batch_size`, or fewer `devices`"
        )
    return number


@contextlib.contextmanager
def using(number: int) -> Iterator[None]:
    """Networks that are built inside the context train and predict on several devices.

    Args:
        number: the devices of this machine, from `number_of`. If several processes train together,
            all devices of each are used.
    """
    if number == 1 and not is_joined():
        yield
    elif _backend() == "tensorflow":
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(_names()[:number]).scope():
            yield
    else:
        import keras

        names = keras.distribution.list_devices() if is_joined() else _names()[:number]
        with keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope():
            yield


def current() -> Devices:
    """The devices of the innermost `using`."""
    if "keras" not in sys.modules:  # a SavedModel needs no Keras
        return Devices()
    if _backend() == "tensorflow":
        import tensorflow as tf

        return Devices(tf.distribute.get_strategy().num_replicas_in_sync)
    if _backend() == "jax":
        import jax
        import keras

        if distribution := keras.distribution.distribution():
            devices = distribution.device_mesh.backend_mesh.devices.flat
            processes = len({device.process_index for device in devices})
            return Devices(len(devices), jax.process_index() if processes > 1 else 0, processes)
    return Devices()


def predict_on_batch(network: Any, clips: np.ndarray) -> np.ndarray:
    """`network.predict_on_batch` on all devices that the network was built on.

    Args:
        network: anything with `predict_on_batch`.
        clips: (clips, ...); if several processes work together, each has its part, all equally many.

    Returns:
        The outputs for the clips of all processes, in their order.
    """
    here = current()
    if here.count == 1 or not hasattr(network, "trainable_variables"):
        return network.predict_on_batch(clips)
    count = len(clips) * here.processes
    rows = -(-count // here.count) * here.count // here.processes
    filled = np.concatenate([clips, np.zeros((rows - len(clips), *clips.shape[1:]), clips.dtype)])
    predict = _predict_on_jax if _backend() == "jax" else _predict_on_replicas
    return predict(network, filled)[:count]


def gather(values: np.ndarray) -> np.ndarray:
    """The values of all processes, in their order; each gives equally many."""
    if current().processes == 1:
        return values
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values, tiled=True))


def _predict_on_replicas(network: Any, clips: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    strategy = network.distribute_strategy
    parts = np.split(clips, strategy.num_replicas_in_sync)
    values = strategy.experimental_distribute_values_from_function(
        lambda replica: tf.convert_to_tensor(parts[replica.replica_id_in_sync_group])
    )
    network.make_predict_function()
    return network.predict_function([(values,)]).numpy()


_predictors: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _predict_on_jax(network: Any, clips: np.ndarray) -> np.ndarray:
    import jax
    import keras

    layout = keras.distribution.distribution().get_data_layout(clips.shape).backend_layout
    if network not in _predictors:
        everywhere = jax.sharding.NamedSharding(layout.mesh, jax.sharding.PartitionSpec())
        reference = weakref.ref(network)  # the function must not keep the network alive

        def predict(trained: Any, others: Any, batch: Any) -> Any:
            alive: Any = reference()
            return alive.stateless_call(trained, others, batch, training=False)[0]

        _predictors[network] = jax.jit(predict, out_shardings=everywhere)
    batch = jax.make_array_from_process_local_data(layout, clips)
    trained = [variable.value for variable in network.trainable_variables]
    others = [variable.value for variable in network.non_trainable_variables]
    return np.asarray(_predictors[network](trained, others, batch))


def _names() -> list[str]:
    """The devices of this process: its GPUs, or else its CPUs."""
    if _backend() == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return [device.name for device in devices]
    import jax

    return [f"{device.platform}:{device.id}" for device in jax.local_devices()]


def _backend() -> str:
    import keras

    return keras.backend.backend()
