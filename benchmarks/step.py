"""How long does one step of the gated network take, compared with plain PyTorch?

python -m benchmarks.step [--repeats 3] [--batch CLIPS] [--json FILE]

Measures the time per clip of a forward step and of a training step (loss, gradients, Adam), for the
paper's network with the default sizes and clips in memory. The contenders are this package with its
default precision on TensorFlow, JAX and torch, and the same network in plain PyTorch: float32 or
bfloat16 autocast, with or without channels_last_3d, compiled or not. Each contender has its own
process, which is warm and idle until its turn. On a GPU all compute there, TensorFlow and JAX with
XLA, and the network in plain JAX competes too, channels first and last; a step includes the copy of
the clips to the GPU. Backends that are not installed are left out. Without --batch the first
contender's speed decides: 16 clips, or 8 or 4 where a training step of 16 would take more than 4
seconds. A contender that takes more than twice as long as the fastest is measured only once.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from ar3d_keras.training import hardware
from benchmarks import bench, plain_torch

CLASSES = 101
# Backend -> the largest batch to time on a CPU, where JAX and torch are slower and take more memory.
OURS = {"tensorflow": 64, "jax": 4, "torch": 4}
STEP_SECONDS = 4.0
# name -> (autocast to bfloat16, channels_last_3d, torch.compile)
PLAIN = {
    "PyTorch": (False, False, False),
    "PyTorch, bf16": (True, False, False),
    "PyTorch, bf16, channels last": (True, True, False),
    "PyTorch, bf16, compiled": (True, False, True),
    "PyTorch, bf16, channels last, compiled": (True, True, True),
}
# Only on a GPU: on a CPU their 3D convolution takes minutes. name -> channels first
PLAIN_JAX = {"JAX, bf16, channels first": True, "JAX, bf16, channels last": False}
KINDS = ("forward", "train")
# No contender takes the whole memory of the GPU.
SHARED_GPU = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
LEAST_SECONDS = 0.5  # of a measurement: a step on a GPU takes milliseconds


def main() -> None:
    """Prints a Markdown table."""
    parser = bench.parser(__doc__, repeats=3)
    parser.add_argument("--batch", type=int, help="clips per step; default: 4 to 16")
    parser.add_argument("--only", nargs="*", help="names of contenders; default: all")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        serve(options.contender, options.batch)
        return
    names = [f"ar3d_keras, {backend}" for backend in OURS] + list(PLAIN)
    names += list(PLAIN_JAX) if bench.gpu() else []
    names = [name for name in names if not options.only or name in options.only]
    names = [name for name in names if find_spec(backend_of(name))]
    options.batch = options.batch or batch_for_this_machine(names[0])
    processes = {name: Contender(name, options.batch) for name in names}  # they start in parallel
    for process in processes.values():
        process.warm_up()
    times = {kind: measure(processes, kind, options.repeats) for kind in KINDS}
    precisions = {name: process.close() for name, process in processes.items()}
    digits = 2 if bench.gpu() else 0
    lines = []
    for name in names:
        middle = {kind: statistics.median(times[kind][name]) for kind in KINDS}
        fastest = {kind: statistics.median(times[kind][names[0]]) for kind in KINDS}
        lines.append(
            [name, precisions[name]]
            + [bench.spread([1e3 * s for s in times[kind][name]], digits) for kind in KINDS]
            + [f"{middle[kind] / fastest[kind]:.2f}" for kind in KINDS]
        )
    header = ["", "precision, batch", "forward, ms a clip", "training, ms a clip"]
    header += [f"forward / {names[0]}", f"training / {names[0]}"]
    plain = [name for name in names if name in PLAIN]
    ratios = {}
    if plain and names[0].startswith("ar3d_keras"):
        for kind, key in (
            ("train", "step.vs_best_torch"),
            ("forward", "step.forward_vs_best_torch"),
        ):
            best = min(plain, key=lambda name: statistics.median(times[kind][name]))
            ratios[key] = bench.ratio(times[kind], best, names[0])
    bench.report(
        options,
        bench.table(header, lines),
        ratios,
        packages=("keras", "tensorflow", "jax", "torch", "numpy"),
        config={"clip": [16, 112, 112, 3], "classes": CLASSES, "attention": True},
    )


def batch_for_this_machine(name: str) -> int:
    """The largest of 16, 8 and 4 clips whose training step takes up to STEP_SECONDS."""
    process = Contender(name, 4)
    process.warm_up()
    seconds = process.measure("train")
    process.close()
    return next((batch for batch in (16, 8) if batch * seconds <= STEP_SECONDS), 4)


def measure(processes: dict[str, "Contender"], kind: str, repeats: int) -> dict[str, list[float]]:
    """Seconds per clip by contender and round; slow contenders repeat their first value."""
    contenders = {name: lambda p=p: p.measure(kind) for name, p in processes.items()}
    first = bench.take_turns(contenders, 1)
    fastest = min(values[0] for values in first.values())
    fast = {name: run for name, run in contenders.items() if first[name][0] < 2 * fastest}
    values = bench.take_turns(fast, repeats)
    return {name: values.get(name, first[name] * repeats) for name in processes}


def backend_of(name: str) -> str:
    """The package that computes for a contender."""
    if name.startswith("ar3d_keras"):
        return name.removeprefix("ar3d_keras, ")
    return "torch" if name in PLAIN else "jax"


class Contender:
    """A process with one network, which times steps on request."""

    def __init__(self, name: str, batch: int) -> None:
        command = [sys.executable, "-m", "benchmarks.step", "--contender", name]
        self.process = subprocess.Popen(
            [*command, "--batch", str(batch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **SHARED_GPU, "KERAS_BACKEND": backend_of(name)},
        )

    def warm_up(self) -> None:
        """Compiles and runs each kind of step."""
        self._request("warm up")

    def measure(self, kind: str) -> float:
        """The seconds per clip of one step."""
        return float(self._request(kind))

    def close(self) -> str:
        """Ends the process and returns the precision and the batch size of its steps."""
        precision = self._request("precision")
        self.process.stdin.close()
        self.process.wait()
        return precision

    def _request(self, name: str) -> str:
        print(name, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")


def serve(name: str, batch: int) -> None:
    """Serves the requests of a Contender, in its process."""
    if name.startswith("ar3d_keras") and hardware.gpu_name() is None:
        batch = min(batch, OURS[backend_of(name)])
    clips = np.random.default_rng(0).integers(0, 256, (batch, 16, 112, 112, 3), np.uint8)
    labels = np.arange(batch) % CLASSES
    build = ours if name.startswith("ar3d_keras") else plain if name in PLAIN else in_jax
    precision, forward, train = build(name, clips, labels)
    steps = {"forward": forward, "train": train}

    def warm_up() -> None:
        for step in steps.values():
            step()

    responses = {
        "precision": lambda: f"{precision}, {batch}",
        "warm up": warm_up,
        **{kind: lambda step=step: seconds(step) / batch for kind, step in steps.items()},
    }
    for line in sys.stdin:
        print(f"> {responses[line.strip()]()}", flush=True)


def seconds(step: Callable[[], object]) -> float:
    """The mean time of steps that take LEAST_SECONDS together."""
    passed, count = 0.0, 0
    while passed < LEAST_SECONDS:
        passed += bench.seconds(step)
        count += 1
    return passed / count


def ours(name: str, clips: np.ndarray, labels: np.ndarray) -> tuple[str, Callable, Callable]:
    """The network as `train.py --attention` builds and compiles it."""
    from ar3d_keras.config import ModelConfig, TrainConfig
    from ar3d_keras.training.precision import choose_precision
    from ar3d_keras.training.trainer import build_network, compile_network

    hardware.seed_everything(0, deterministic=False)
    config = TrainConfig(model=ModelConfig(attention=True))
    precision = choose_precision(config).precision
    model = build_network(config, [str(number) for number in range(CLASSES)], precision)
    compile_network(model, config.recipe, steps=100, precision=precision)
    weights = np.ones(len(labels), np.float32)
    return (
        precision,
        lambda: model.predict_on_batch(clips),
        lambda: model.train_on_batch(clips, labels, weights),
    )


def plain(name: str, clips: np.ndarray, labels: np.ndarray) -> tuple[str, Callable, Callable]:
    """The same layers, sizes and optimizer in plain PyTorch."""
    import torch
    from torch import nn

    bfloat16, channels_last, compiled = PLAIN[name]
    torch.manual_seed(0)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = plain_torch.gated(CLASSES).to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, weight_decay=1e-4)
    call = torch.compile(network) if compiled else network
    label = torch.from_numpy(labels).to(device)

    def logits() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            return call(torch.from_numpy(clips).to(device)).float()

    def train() -> None:
        network.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits(), label)
        loss.backward()
        optimizer.step()
        loss.item()  # a GPU has finished the step

    def forward() -> None:
        network.eval()
        with torch.inference_mode():
            logits().cpu()

    return "bfloat16 autocast" if bfloat16 else "float32", forward, train


def in_jax(name: str, clips: np.ndarray, labels: np.ndarray) -> tuple[str, Callable, Callable]:
    """The same layers, sizes and optimizer in plain JAX."""
    import jax.numpy as jnp

    from benchmarks import plain_jax

    weights, call = plain_jax.gated(CLASSES, channels_first=PLAIN_JAX[name], dtype=jnp.bfloat16)
    moments = [{key: jnp.zeros_like(value) for key, value in weights.items()} for _ in range(2)]
    state, step, number = (weights, moments), plain_jax.adam(call), 0

    def train() -> None:
        nonlocal state, number
        number += 1
        *state, loss = step(*state, clips, labels, number)
        float(loss)  # the GPU has finished the step

    return "bfloat16", lambda: np.asarray(call(state[0], clips)), train


if __name__ == "__main__":
    main()
