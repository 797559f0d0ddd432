"""The paper's network as a PyTorch user would write it, for benchmarks to run beside ours."""


def gated(classes: int):
    """Clips uint8 (batch, 16, 112, 112, 3) to logits (batch, classes), with the default sizes."""
    from torch import nn

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Conv3d(3, 64, 3, padding=1)
            self.gate = nn.Conv3d(64, 64, 3, padding=1)
            self.pool = nn.AvgPool3d((4, 16, 16))
            self.dense = nn.Linear(64 * 4 * 7 * 7, 512)
            self.dropout = nn.Dropout(0.25)
            self.output = nn.Linear(512, classes)

        def forward(self, clip):
            x = self.features(clip.permute(0, 4, 1, 2, 3).float() / 255).relu()
            x = x * self.gate(x).sigmoid()
            # A CPU has no bfloat16 pooling in 3D; autocast leaves the type as it comes.
            x = self.pool(x.float()).flatten(1)
            return self.output(self.dropout(self.dense(x).relu()))

    return Gated()


def copy_weights(network, module) -> None:
    """Gives `module` the weights of `network`, a Conv3DClassifier with a gate."""
    import torch

    def give(parameter, values):
        with torch.no_grad():
            parameter.copy_(torch.tensor(values))

    def weights(name):
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
