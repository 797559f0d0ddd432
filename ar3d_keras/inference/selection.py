"""Which unlabeled videos to label next: uncertain ones that differ from each other."""

import numpy as np


def select_batch(
    probabilities: np.ndarray, features: np.ndarray, count: int, *, seed: int = 0
) -> np.ndarray:
    """Selects videos whose labels would teach the network most.

    BADGE (Ash et al.: *Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds*, ICLR
    2020). Each video stands for the gradient that its predicted label would give to the last layer:
    long where the network is uncertain, and in another direction for another kind of video. Videos
    are drawn as k-means++ draws centers, so both count.

    Args:
        probabilities: (videos, classes), each row sums to 1.
        features: (videos, features), the input of the last layer.
        count: how many to select; all, if there are fewer videos.
        seed: of the draws.

    Returns:
        (count,) int64, indices of videos, in the order in which they were selected.
    """
    residuals = np.array(probabilities, np.float64)
    residuals[np.arange(len(residuals)), residuals.argmax(axis=1)] -= 1
    features = np.asarray(features, np.float64)
    # A gradient is the outer product of residual and feature; it need not be formed.
    lengths = (residuals**2).sum(axis=1) * (features**2).sum(axis=1)
    random = np.random.default_rng(seed)
    chosen = [int(lengths.argmax())]
    # The first center is the gradient zero: a video that teaches nothing is not drawn.
    distances = lengths.copy()
    while len(chosen) < min(count, len(residuals)):
        last = chosen[-1]
        products = (residuals @ residuals[last]) * (features @ features[last])
        distances = np.minimum(distances, lengths + lengths[last] - 2 * products)
        distances = np.maximum(distances, 0)
        distances[chosen] = 0
        total = distances.sum()
        if total > 0:
            chosen.append(int(random.choice(len(residuals), p=distances / total)))
        else:  # the rest equal chosen ones
            chosen.append(int(np.setdiff1d(np.arange(len(residuals)), chosen)[0]))
    return np.array(chosen, np.int64)
