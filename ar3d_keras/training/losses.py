"""The loss functions of training."""

from typing import Any

import keras
from keras import ops

from ar3d_keras.models.layers import PACKAGE


def crossentropy(
    label_smoothing: float = 0.0, *, soft_labels: bool = False, class_weighted: bool = False
) -> keras.losses.Loss:
    """Returns the cross-entropy, in nats, of probabilities (batch, classes) and labels.

    It is the weighted mean over the clips, so that a clip that could not be decoded (weight 0) does
    not count. Keras's default would divide by the size of the batch.

    Args:
        label_smoothing: the share of each label that is spread evenly over all classes, 0 to 1.
        soft_labels: whether labels are floats (batch, classes), the share of each class, instead
            of integers (batch,).
        class_weighted: whether sample weights hold the weights of classes, with mean 1 over an
            epoch. The sum is then divided by the size of the batch: a mean by weight would cancel
            them in every batch whose clips are of one class.
    """
    mean = "sum_over_batch_size" if class_weighted else "mean_with_sample_weight"
    if soft_labels:
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=mean)
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing=label_smoothing, reduction=mean)
    return keras.losses.SparseCategoricalCrossentropy(reduction=mean)


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy with label smoothing, for integer labels (batch,).

    With smoothing s and C classes, the class of the label has the target 1 - s + s / C, and every
    other class s / C (Szegedy et al., *Rethinking the Inception Architecture*, arXiv:1512.00567,
    section 7). Keras implements it for one-hot labels only.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return super().call(ops.one_hot(labels, y_pred.shape[-1]), y_pred)
