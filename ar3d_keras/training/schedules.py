"""The learning rate of every step."""

from keras.optimizers.schedules import CosineDecay, LearningRateSchedule, PiecewiseConstantDecay

from ar3d_keras.config import RecipeConfig


def learning_rate(recipe: RecipeConfig, steps_per_epoch: int) -> float | LearningRateSchedule:
    """The learning rate of a recipe, whose epochs are turned into steps here.

    With W steps of warm-up, step k < W has the rate * (k + 1) / (W + 1), so that no step has rate
    zero. The cosine (Loshchilov and Hutter, arXiv:1608.03983, without restarts) falls from there
    to zero at the end of the last epoch.

    Returns:
        a number where the rate is constant, else a function of the step.
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
        alpha=0.0 if cosine else 1.0,  # what is left of the rate at the end
    )


def _staircase(rate: float, epochs_a_step: int, epochs: int, steps_per_epoch: int):
    """A tenth of the rate after every so many epochs."""
    drops = range(epochs_a_step, epochs, epochs_a_step)
    return PiecewiseConstantDecay(
        # A boundary is the last step before the drop.
        boundaries=[epoch * steps_per_epoch - 1 for epoch in drops] or [2**31 - 1],
        values=[rate * 0.1**drop for drop in range(max(len(drops), 1) + 1)],
    )
