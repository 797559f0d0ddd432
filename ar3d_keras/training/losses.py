"""What training makes small."""

import keras
from keras import ops

from ar3d_keras.models.layers import PACKAGE


def crossentropy(label_smoothing: float = 0.0, *, soft_labels: bool = False) -> keras.losses.Loss:
    """The cross-entropy of probabilities (batch, classes) and labels.

    Averaged by weight, so that a clip that could not be read (weight 0) counts nowhere: Keras's
    default would divide by the whole batch.

    Args:
        label_smoothing: share of a label that is spread evenly over all classes.
        soft_labels: whether labels are float (batch, classes), shares of each class, rather than
            integers (batch,).
    """
    mean = "mean_with_sample_weight"
    if soft_labels:
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=mean)
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing=label_smoothing, reduction=mean)
    return keras.losses.SparseCategoricalCrossentropy(reduction=mean)


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy against labels that leave a share to every class.

    The label's class has 1 - smoothing + smoothing / classes, each other class smoothing / classes
    (Szegedy et al., *Rethinking the Inception Architecture*, arXiv:1512.00567, section 7). Keras
    has it for one-hot labels; this takes integers (batch,).
    """

    def call(self, y_true, y_pred):
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return super().call(ops.one_hot(labels, y_pred.shape[-1]), y_pred)
