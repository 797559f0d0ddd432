"""Adam with the two kinds of weight decay that the paper's sentence can mean."""

import keras
from keras import ops

from ar3d_keras.config import RecipeConfig
from ar3d_keras.models.layers import PACKAGE
from ar3d_keras.training.schedules import learning_rate


@keras.saving.register_keras_serializable(PACKAGE)
class DecayingAdam(keras.optimizers.Adam):
    """Adam whose weight decay can be L2 and can begin late.

    Args:
        learning_rate: a float or a keras LearningRateSchedule.
        decay: strength of the weight decay, on every trainable variable.
        decay_kind: "l2" adds decay * w to the gradient, as torch.optim.Adam(weight_decay=...)
            does (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html);
            "decoupled" subtracts learning_rate * decay * w from w, as AdamW does.
        decay_after: optimizer steps before the decay begins.
    """

    def __init__(
        self, learning_rate=1e-4, decay=0.0, decay_kind="l2", decay_after=0, name="adam", **kwargs
    ):
        super().__init__(learning_rate, name=name, **kwargs)
        self.decay, self.decay_kind, self.decay_after = decay, decay_kind, decay_after

    def update_step(self, gradient, variable, learning_rate):
        """Keras's hook for one variable; gradients are clipped before, as in PyTorch."""
        if self.decay:
            strength = self.decay * ops.cast(self.iterations >= self.decay_after, gradient.dtype)
            if self.decay_kind == "l2":
                gradient = gradient + strength * ops.convert_to_tensor(variable)
            else:
                variable.assign(variable * (1 - ops.cast(learning_rate, gradient.dtype) * strength))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {
            **super().get_config(),
            "decay": self.decay,
            "decay_kind": self.decay_kind,
            "decay_after": self.decay_after,
        }


def make_optimizer(
    recipe: RecipeConfig, steps_per_epoch: int, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, whose epochs are turned into steps here.

    Under mixed_float16 the loss is scaled, or small gradients would become zero. Keras does that
    by itself only where the model, not just its layers, carries the policy.
    """
    optimizer = DecayingAdam(
        learning_rate(recipe, steps_per_epoch),
        decay=recipe.weight_decay,
        decay_kind=recipe.weight_decay_kind,
        decay_after=recipe.weight_decay_after * steps_per_epoch,
        global_clipnorm=recipe.clip_norm or None,
    )
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
