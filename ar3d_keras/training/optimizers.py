"""Adam with both kinds of weight decay that the paper may have used."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from ar3d_keras.config import Range, RecipeConfig
from ar3d_keras.errors import UserError
from ar3d_keras.models.layers import PACKAGE
from ar3d_keras.training.schedules import learning_rate


@keras.saving.register_keras_serializable(PACKAGE)
class DecayingAdam(keras.optimizers.Adam):
    """Adam with L2 or decoupled weight decay, which can begin after some steps.

    Args:
        learning_rate: a float above 0, or a keras LearningRateSchedule.
        decay: strength of the weight decay, at least 0. It acts on every trainable variable.
        decay_kind: "l2" adds decay * w to the gradient, as torch.optim.Adam(weight_decay=...)
            does (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html).
            "decoupled" subtracts learning_rate * decay * w from w, as AdamW does (Loshchilov and
            Hutter, arXiv:1711.05101).
        decay_after: the number of optimizer steps before the decay begins.
        rates: a factor of the learning rate for each trainable variable, in their order; empty: 1.
        name: the name of the optimizer.
        kwargs: further arguments of keras.optimizers.Adam, such as global_clipnorm.

    Raises:
        UserError: `decay_kind` is unknown, or `decay` or `decay_after` is negative.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 1e-4,
        decay: float = 0.0,
        decay_kind: Literal["l2", "decoupled"] = "l2",
        decay_after: int = 0,
        rates: Sequence[float] = (),
        name: str = "adam",
        **kwargs: Any,
    ) -> None:
        if decay_kind not in ("l2", "decoupled"):
            raise UserError(f"`decay_kind` must be l2 or decoupled, not {decay_kind!r}")
        Range(0).check("decay", decay)
        Range(0).check("decay_after", decay_after)
        super().__init__(learning_rate, name=name, **kwargs)
        self.decay, self.decay_kind, self.decay_after = decay, decay_kind, decay_after
        self.rates = list(rates)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; Keras clips the gradients before it, as PyTorch users do."""
        if self.rates:
            learning_rate = learning_rate * self.rates[self._get_variable_index(variable)]
        if self.decay:
            strength = self.decay * ops.cast(self.iterations >= self.decay_after, gradient.dtype)
            if self.decay_kind == "l2":
                gradient = gradient + strength * ops.convert_to_tensor(variable)
            else:
                variable.assign(variable * (1 - ops.cast(learning_rate, gradient.dtype) * strength))
        super().update_step(gradient, variable, learning_rate)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Returns gradients that are summed already; TensorFlow's backend of Keras calls it.

        The training step of `replicas.share_batches` sums those of all replicas, before they are
        clipped. With one replica there is nothing to sum, and `all_reduce` would register a gradient
        that keeps the graph of the training step in memory for good.
        """
        return grads_and_vars

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "decay": self.decay,
            "decay_kind": self.decay_kind,
            "decay_after": self.decay_after,
            "rates": self.rates,
        }


def make_optimizer(
    recipe: RecipeConfig,
    steps_per_epoch: int,
    precision: str = "float32",
    rates: Sequence[float] = (),
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a recipe.

    With mixed_float16 the loss is scaled, because small gradients would become 0. Keras does that
    only if the model has this policy, and here only its layers have it.

    Args:
        recipe: a resolved recipe.
        steps_per_epoch: converts the epochs of the recipe to optimizer steps.
        precision: the dtype policy of the network.
        rates: see DecayingAdam.
    """
    optimizer = DecayingAdam(
        learning_rate(recipe, steps_per_epoch),
        decay=recipe.weight_decay,
        decay_kind=recipe.weight_decay_kind,
        decay_after=recipe.weight_decay_after * steps_per_epoch,
        rates=rates,
        global_clipnorm=recipe.clip_norm or None,
    )
    if precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
