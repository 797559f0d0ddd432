"""Several calls of `fit` that are one training for its callbacks."""

from collections.abc import Sequence
from typing import Any

import keras

from ar3d_keras.training.stopping import StopSignals

Callbacks = Sequence[keras.callbacks.Callback]


class OneTraining(keras.callbacks.CallbackList):
    """Trains a model in several calls of `fit`; the callbacks see one training.

    Keras takes the number of batches from the first epoch of a `fit`, so the rest of an epoch that
    was stopped must be a `fit` of its own. `on_train_begin` and `on_train_end` are called once, and
    batches have the number that they have in a whole epoch.

    Args:
        model: the compiled model.
        callbacks: of the training.
        epochs: the number of the last epoch.
        steps: the number of steps in a whole epoch.
        stop: a stop that was requested in the last step of an epoch is raised after it.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Callbacks,
        *,
        epochs: int,
        steps: int,
        stop: StopSignals,
    ) -> None:
        self._own = [*callbacks, keras.callbacks.History()]
        super().__init__(
            self._own, add_history=True, model=model, verbose=0, epochs=epochs, steps=steps
        )
        self._begun, self._first, self._stop = False, 0, stop
        self._logs: Any = None
        model.stop_training = False

    def fit(
        self,
        data: Any,
        epochs: range,
        *,
        first: int = 0,
        steps: int | None = None,
        callbacks: Callbacks = (),
    ) -> None:
        """Trains on some epochs; nothing if a callback has stopped the training.

        Args:
            data: the first argument of `model.fit`.
            epochs: the numbers of the epochs, from 0.
            first: the number of the first step, from 0.
            steps: an argument of `model.fit`: the number of steps in `data` for each epoch.
            callbacks: the callbacks that `data` needs; they are called first.
        """
        if self.model.stop_training or not epochs:
            return
        self._first, self.callbacks = first, [*callbacks, *self._own]
        self.model.fit(
            data,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=steps,
            shuffle=False,  # batches come in an order drawn from (seed, epoch)
            verbose=0,
            callbacks=self,
        )

    def end_epoch(self, epoch: int) -> None:
        """Calls what follows the last step of an epoch that was stopped there."""
        self.on_train_begin()
        self.on_epoch_begin(epoch)
        self.on_epoch_end(epoch, dict(self.model.get_metrics_result()))

    def end(self) -> None:
        """Calls `on_train_end` of the callbacks."""
        super().on_train_end(self._logs)

    def on_train_begin(self, logs: Any = None) -> None:
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._logs = logs  # another `fit` may follow

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_begin(batch + self._first, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch + self._first, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._stop.requested:
            raise self._stop.requested
        super().on_epoch_end(epoch, logs)
