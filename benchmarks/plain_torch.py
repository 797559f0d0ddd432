"""The paper's network in plain PyTorch, to compare with."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from ar3d_keras import Conv3DClassifier


def gated(num_classes: int) -> "nn.Module":
    """A network with the default sizes: clips uint8 (batch, 16, 112, 112, 3) to logits."""
    from torch import nn

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv3d(3, 64, 3, padding=1)
            self.gate = nn.Conv3d(64, 64, 3, padding=1)
            self.pool = nn.AvgPool3d((4, 16, 16))
            self.dense = nn.Linear(64 * 4 * 7 * 7, 512)
            self.dropout = nn.Dropout(0.25)
            self.output = nn.Linear(512, num_classes)

        def forward(self, clip: "torch.Tensor") -> "torch.Tensor":
            x = self.features(clip.permute(0, 4, 1, 2, 3).float() / 255).relu()
            x = x * self.gate(x).sigmoid()
            # PyTorch has no 3D pooling in bfloat16 on a CPU, and autocast does not change its type.
            x = self.pool(x.float()).flatten(1)
            return self.output(self.dropout(self.dense(x).relu()))

    return Gated()


def copy_weights(network: "Conv3DClassifier", module: "nn.Module") -> None:
    """Copies the weights of a Conv3DClassifier with a gate to `module`."""
    import torch

    def give(parameter: "nn.Parameter", values: "np.ndarray") -> None:
        with torch.no_grad():
            parameter.copy_(torch.tensor(values))

    def weights(name: str) -> "list[np.ndarray]":
        return network.get_layer(name).get_weights()

    kernel, bias = weights("features")
    give(module.features.weight, kernel.transpose(4, 3, 0, 1, 2))
    give(module.features.bias, bias)
    gate = network.get_layer("gate")
    give(module.gate.weight, gate.convolution.kernel.numpy().transpose(4, 3, 0, 1, 2))
    give(module.gate.bias, gate.bias.numpy())
    kernel, bias = weights("dense")
    places = network.get_layer("pool").output.shape[1:]
    kernel = kernel.reshape(*places, -1).transpose(4, 3, 0, 1, 2)  # channels first
    give(module.dense.weight, kernel.reshape(len(kernel), -1))
    give(module.dense.bias, bias)
    kernel, bias = weights("output")
    give(module.output.weight, kernel.T)
    give(module.output.bias, bias)
