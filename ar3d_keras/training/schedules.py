"""Learning rate schedules."""

from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay

from ar3d_keras.config import RecipeConfig


def learning_rate(recipe: RecipeConfig, steps_per_epoch: int) -> float | LearningRateSchedule:
    """Returns the learning rate of a recipe, with its epochs converted to steps.

    With W steps of warm-up, step k < W has the rate * (k + 1) / (W + 1), so that no step has the
    rate 0. The cosine schedule then decreases to 0 at the end of the last epoch (Loshchilov and
    Hutter, arXiv:1608.03983, without restarts).

    Args:
        recipe: a resolved recipe.
        steps_per_epoch: the number of optimizer steps in an epoch.

    Returns:
        A number if the rate is constant, else a schedule over the steps.
    """
    rate = recipe.learning_rate
    if recipe.lr_step:
        return _staircase(rate, recipe.lr_step, recipe.epochs, steps_per_epoch)
    cosine, warm = recipe.schedule == "cosine", recipe.warmup_epochs * steps_per_epoch
    if not (cosine or warm):
        return rate
    return CosineDecay(
        initial_learning_rate=rate / (warm + 1),
        warmup_target=rate,
        warmup_steps=warm,
        decay_steps=max(1, recipe.epochs * steps_per_epoch - warm),
        alpha=0.0 if cosine else 1.0,  # the share of the rate that remains at the end
    )


def _staircase(
    rate: float, epochs_a_step: int, epochs: int, steps_per_epoch: int
) -> PiecewiseConstantDecay:
    """Divides the rate by ten after every `epochs_a_step` epochs."""
    drops = range(epochs_a_step, epochs, epochs_a_step)
    return PiecewiseConstantDecay(
        # A boundary is the last step before the drop.
        boundaries=[epoch * steps_per_epoch - 1 for epoch in drops] or [2**31 - 1],
        values=[rate * 0.1**drop for drop in range(max(len(drops), 1) + 1)],
    )
