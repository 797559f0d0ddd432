"""Fine-tuning: weights of another network to begin with, and layers that stay as they are.

Source of the aim: the paper's last section, which names transfer learning as future work.
"""

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.models.loading import load_model
from ar3d_keras.runs import Run, find_run


@dataclass(frozen=True)
class WarmStart:
    """A network file to take weights from.

    Attributes:
        file: the .keras file, an absolute path.
        sha256: of its bytes, so that a run that is resumed takes the same.
        class_names: the names of its outputs; None where no run says them.
    """

    file: Path
    sha256: str
    class_names: tuple[str, ...] | None

    @staticmethod
    def of(run: Run) -> "WarmStart":
        """The one that a run with `init_from` was begun with."""
        told = run.record()["init_from"]
        class_names = told.get("class_names", told.get("classes"))  # as earlier versions wrote it
        class_names = None if class_names is None else tuple(class_names)
        return WarmStart(Path(told["file"]), told["sha256"], class_names)

    def record(self) -> dict[str, object]:
        """What run.json keeps of it."""
        return {"file": str(self.file), "sha256": self.sha256, "class_names": self.class_names}


def find_warm_start(source: str, runs_dir: Path) -> WarmStart:
    """What `init_from` names.

    Args:
        source: a .keras file, a run folder, or a name under `runs_dir`.
        runs_dir: where runs are.

    Raises:
        UserError: there is no such file or run, or the run has no network yet.
    """
    file = Path(source)
    if file.suffix != ".keras":
        try:
            file = find_run(source, runs_dir, needs=["checkpoints/best.keras"]).best
        except UserError as error:
            raise UserError(f"`init_from` {source}: {error}") from None
    return WarmStart(file.resolve(), _sha256(file), _classes_of(file))


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"`init_from` {file} cannot be read ({error.strerror}): name a run, or a .keras file"
        ) from None


def _classes_of(file: Path) -> tuple[str, ...] | None:
    """The class names of the run that a checkpoint lies in; None if it lies in no run."""
    try:
        return tuple(Run(file.resolve().parents[1]).record()["class_names"])
    except UserError:
        return None


def take_weights(model: keras.Model, start: WarmStart, class_names: Sequence[str]) -> str:
    """Copies the weights of every layer that has one of the same name and shapes in the file.

    The head is taken only where the classes are the same.

    Args:
        model: the network to begin with; its other layers keep their fresh weights.
        start: where from.
        class_names: the names of the model's outputs.

    Returns:
        A sentence that says which layers were taken and which are new.

    Raises:
        UserError: the file changed, is another kind of network, or nothing of it fits.
    """
    if _sha256(start.file) != start.sha256:
        raise UserError(
            f"{start.file} is not the network that the run began with: begin a new run "
            "with `config`"
        )
    source = load_model(start.file)
    if type(source) is not type(model):
        raise UserError(
            f"`init_from` {start.file} is a {type(source).__name__} and this run trains a "
            f"{type(model).__name__}: choose the same `model`"
        )
    known = weighted_layers(source)
    # A file of an earlier version does not know its classes; its run does.
    before = source.class_names or start.class_names
    other_classes = before is not None and before != tuple(class_names)
    heads = _heads(model) if other_classes else set()
    taken, new = [], []
    for name, layer in weighted_layers(model).items():
        if name in known and _shapes(known[name]) == _shapes(layer) and name not in heads:
            layer.set_weights(known[name].get_weights())
            taken.append(name)
        else:
            new.append(name)
    if not taken:
        raise UserError(
            f"`init_from` {start.file}: no layer fits. Its layers are {_named(source)}, "
            f"this network's {_named(model)}"
        )
    return f"weights of {', '.join(taken)} from {start.file}; new: {', '.join(new) or 'none'}"


def freeze(model: keras.Model, patterns: Sequence[str]) -> str:
    """Fixes the weights of the layers that patterns name, BatchNorm statistics included.

    Args:
        model: before it is compiled.
        patterns: names of layers with weights, or patterns of them with * and ? (fnmatch).

    Returns:
        A sentence that says which layers stay as they are and which train.

    Raises:
        UserError: a pattern that names no layer, or all layers would be fixed.
    """
    layers = weighted_layers(model)
    for pattern in patterns:
        matching = fnmatch.filter(layers, pattern)
        if not matching:
            raise UserError(
                f"`freeze` {pattern} matches no layer with weights; the network has "
                f"{', '.join(layers)}"
            )
        for name in matching:
            layers[name].trainable = False
    if not model.trainable_variables:
        raise UserError(f"`freeze` {' '.join(patterns)} leaves no layer to train: name fewer")
    fixed = [name for name, layer in layers.items() if not layer.trainable]
    trained = [name for name, layer in layers.items() if layer.trainable]
    return f"frozen: {', '.join(fixed)}; trained: {', '.join(trained)}"


def weighted_layers(model: keras.Model, inside: str = "") -> dict[str, keras.Layer]:
    """The layers that have weights by name, from input to output; STREAM/NAME inside a stream."""
    found: dict[str, keras.Layer] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= weighted_layers(layer, f"{inside}{layer.name}/")
        elif layer.weights:
            found[inside + layer.name] = layer
    return found


def _heads(model: keras.Model) -> set[str]:
    """The layers whose shapes depend on the number of classes."""
    sizes = model.sizes
    other = type(model)(**{**sizes, "num_classes": sizes["num_classes"] + 1})
    wider = weighted_layers(other)
    return {n for n, layer in weighted_layers(model).items() if _shapes(layer) != _shapes(wider[n])}


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _named(model: keras.Model) -> str:
    return ", ".join(
        f"{name} {'x'.join(map(str, layer.weights[0].shape))}"
        for name, layer in weighted_layers(model).items()
    )
