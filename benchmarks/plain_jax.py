"""The paper's network in plain JAX, to compare with on a GPU."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Weights = dict[str, jax.Array]


def gated(num_classes: int, *, channels_first: bool, dtype: Any) -> tuple[Weights, Callable]:
    """The weights of a network with the default sizes, and its forward step.

    The step takes weights, clips uint8 (batch, 16, 112, 112, 3), and in training a key of random
    numbers for dropout; it returns logits, float32 (batch, num_classes).
    """
    random = np.random.default_rng(0)

    def kernel(*shape: int) -> jax.Array:
        values = random.normal(scale=np.prod(shape[:-1]) ** -0.5, size=shape)
        return jnp.asarray(values, jnp.float32)

    weights = {
        "features": kernel(3, 3, 3, 3, 64),
        "gate": kernel(3, 3, 3, 64, 64),
        "dense": kernel(64 * 4 * 7 * 7, 512),
        "output": kernel(512, num_classes),
    }
    weights |= {f"{name}_bias": jnp.zeros(value.shape[-1]) for name, value in weights.items()}
    layout = ("NCDHW", "DHWIO", "NCDHW") if channels_first else ("NDHWC", "DHWIO", "NDHWC")

    def convolution(x: jax.Array, name: str, weights: Weights) -> jax.Array:
        y = jax.lax.conv_general_dilated(
            x, weights[name].astype(dtype), (1, 1, 1), "SAME", dimension_numbers=layout
        )
        bias = weights[f"{name}_bias"].astype(dtype)
        return y + (bias[:, None, None, None] if channels_first else bias)

    def forward(weights: Weights, clips: jax.Array, key: jax.Array | None = None) -> jax.Array:
        x = (clips.astype(jnp.float32) / 255).astype(dtype)
        x = jnp.moveaxis(x, -1, 1) if channels_first else x
        x = jax.nn.relu(convolution(x, "features", weights))
        x = x * jax.nn.sigmoid(convolution(x, "gate", weights))
        if channels_first:
            x = x.reshape(len(x), 64, 4, 4, 7, 16, 7, 16).mean((3, 5, 7))
        else:
            x = x.reshape(len(x), 4, 4, 7, 16, 7, 16, 64).mean((2, 4, 6))
        x = x.reshape(len(x), -1) @ weights["dense"].astype(dtype)
        x = jax.nn.relu(x + weights["dense_bias"].astype(dtype))
        if key is not None:
            x = x * jax.random.bernoulli(key, 0.75, x.shape) / 0.75
        logits = x @ weights["output"].astype(dtype) + weights["output_bias"].astype(dtype)
        return logits.astype(jnp.float32)

    return weights, jax.jit(forward)


def adam(forward: Callable, rate: float = 1e-4) -> Callable:
    """A training step: (weights, moments, clips, labels, number from 1) to the new ones and the loss."""

    def loss(weights: Weights, clips: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        chances = jax.nn.log_softmax(forward(weights, clips, key))
        return -jnp.take_along_axis(chances, labels[:, None], 1).mean()

    def step(weights: Weights, moments: Any, clips: Any, labels: Any, number: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(0), number)
        value, gradients = jax.value_and_grad(loss)(weights, clips, labels, key)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradients)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradients)
        grow = jnp.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        weights = jax.tree.map(
            lambda w, m, v: w * (1 - rate * 1e-4) - rate * grow * m / (jnp.sqrt(v) + 1e-7),
            weights,
            mean,
            square,
        )
        return weights, (mean, square), value

    return jax.jit(step, donate_argnums=(0, 1))
