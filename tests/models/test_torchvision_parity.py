"""The same outputs as torchvision's modules, from their own files, on every backend.

torchvision needs a torch that does not fit this project's, so it has an environment of its own:

    python3 -m venv ENV && ENV/bin/pip install torch==2.14.1 torchvision==0.29.1
    AR3D_TORCHVISION=ENV/bin/python pytest -m slow tests/models/test_torchvision_parity.py -s
"""

import os
import subprocess

import pytest
from processes import python  # tests/processes.py

pytestmark = pytest.mark.slow
TORCHVISION = os.environ.get("AR3D_TORCHVISION")

# In torchvision's environment: random weights and batch-norm statistics, a file, a clip, its logits.
MAKE = """
import sys, numpy as np, torch
from torchvision.models import video
folder = sys.argv[1]
torch.manual_seed(0)
for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d"):
    network = getattr(video, name)(weights=None).eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm3d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.1)
    torch.save(network.state_dict(), f"{folder}/{name}.pth")
    kind = {"r3d_18": "R3D_18", "mc3_18": "MC3_18", "r2plus1d_18": "R2Plus1D_18", "s3d": "S3D"}[name]
    preprocess = getattr(video, f"{kind}_Weights").KINETICS400_V1.transforms()
    size = preprocess.crop_size[0]
    # Of the size after the resize, so that only the crop and the colors are the transform's.
    clip = np.random.default_rng(0).integers(0, 256, (16, *preprocess.resize_size, 3), np.uint8)
    inside = preprocess(torch.from_numpy(clip).permute(0, 3, 1, 2))
    with torch.no_grad():
        logits = network(inside[None]).numpy()
    crop = clip[:, round((clip.shape[1] - size) / 2):, round((clip.shape[2] - size) / 2):]
    np.savez(f"{folder}/{name}.npz", clip=crop[:, :size, :size], logits=logits)
"""

# Here: the same file, and the logits of the same clip.
LOAD = """
import sys, keras, numpy as np
from pathlib import Path
from ar3d_keras.networks import network
from ar3d_keras.training.warm_start import take_weights, find_warm_start
folder = Path(sys.argv[1])
for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d"):
    model = name.removesuffix("_18")
    start = find_warm_start(str(folder / f"{name}.pth"), folder, model)
    data = network(model).published.data
    size = {k: data[k] for k in ("frames", "height", "width")}
    ours = network(model)(400, **size, **start.options)
    assert "new: none" in take_weights(ours, start, [f"class {n}" for n in range(400)])
    ours.get_layer("output").activation = keras.activations.linear
    saved = np.load(folder / f"{name}.npz")
    logits = ours.predict_on_batch(saved["clip"][None])
    if model == "s3d":  # softmax is a layer of its own there
        logits = np.log(logits) - np.log(logits).mean() + saved["logits"].mean()
    print(name, keras.backend.backend(), np.abs(logits - saved["logits"]).max(), saved["logits"].std())
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    if not TORCHVISION:
        pytest.skip("AR3D_TORCHVISION names no Python with torchvision: see the docstring")
    folder = tmp_path_factory.mktemp("torchvision")
    subprocess.run([TORCHVISION, "-c", MAKE, str(folder)], check=True)
    return folder


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_logits_are_torchvisions(backend, published):
    done = python("-c", LOAD, published, environment={"KERAS_BACKEND": backend})
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == ["r3d_18", "mc3_18", "r2plus1d_18", "s3d"]
    for _, used, difference, _ in lines:
        assert used == backend
        assert float(difference) < 1e-4
