"""Training steps on batches that several devices share; see `devices`."""

from collections.abc import Callable
from typing import Any

import keras

from ar3d_keras.devices import current


def share_batches(model: Any, batch_size: int, last: int) -> None:
    """Makes a compiled model train on batches with padding as on the same batches without it.

    Loss, gradients, their clipping, and metrics are those of the whole batch. Where the backend is
    TensorFlow, each device computes the statistics of batch norms from its own part.

    Args:
        model: built inside `using`.
        batch_size: the clips of a batch.
        last: the clips of the last batch of an epoch.
    """
    here = current()
    if here.count == 1:
        return
    if keras.backend.backend() == "jax":
        clips_in = {here.rows(clips, batch_size): clips for clips in (batch_size, last)}
        own_step = type(model).train_step.__get__(model)
        model.train_step = _without_padding(own_step, clips_in)
    else:
        model.train_step = _summed_step(model)


def _without_padding(step: Callable, clips_in: dict[int, int]) -> Callable:
    """A training step of JAX that cuts the padding off before it computes anything."""

    def train_step(state: Any, data: tuple) -> Any:
        clips = clips_in[data[0].shape[0]]
        return step(state, tuple(part[:clips] for part in data))

    return train_step


def _summed_step(model: Any) -> Callable:
    """A training step of TensorFlow on a replica, which has a part of the batch.

    Keras's own takes the mean of the replicas' means, which is not that of the batch if they have
    unequally many clips, and clips the gradients of each replica instead of their sum.
    """
    import tensorflow as tf

    by_weight = model.loss.reduction == "mean_with_sample_weight"

    def train_step(data: tuple) -> dict[str, Any]:
        clips, labels, marked = data
        weights, is_clip = tf.maximum(marked, 0), tf.cast(marked >= 0, marked.dtype)
        replica = tf.distribute.get_replica_context()

        def over_all(value: Any) -> Any:
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, value)

        count = over_all(tf.reduce_sum(is_clip))
        own = tf.reduce_sum(weights) if by_weight else tf.cast(tf.shape(clips)[0], marked.dtype)
        whole = over_all(own) if by_weight else count
        # Keras divides the mean by the number of replicas, because it adds their gradients.
        share = replica.num_replicas_in_sync * tf.math.divide_no_nan(own, whole)
        with tf.GradientTape() as tape:
            outputs = model(clips, training=True)
            loss = share * model.compute_loss(clips, labels, outputs, weights)
            scaled = model.optimizer.scale_loss(loss)
        variables = model.trainable_variables
        gradients = over_all(tape.gradient(scaled, variables))
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        tracker = next(metric for metric in model.metrics if metric.name == "loss")
        tracker.update_state(over_all(loss), sample_weight=count / replica.num_replicas_in_sync)
        return model.compute_metrics(clips, labels, outputs, sample_weight=weights)

    return train_step
