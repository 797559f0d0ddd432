"""Initial weights from another network.

The last section of the paper names transfer learning as future work.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from ar3d_keras.errors import UserError
from ar3d_keras.models import network
from ar3d_keras.models.fetch import fetch
from ar3d_keras.models.loading import load_model
from ar3d_keras.models.published import load_published
from ar3d_keras.networks import NETWORKS, PUBLISHED, is_published
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder, find_run


@dataclass(frozen=True)
class WarmStart:
    """A file to take weights from.

    Attributes:
        file: the absolute path of a .keras file, or of published weights.
        sha256: the checksum of the file, so that a resumed run uses the same weights.
        class_names: the class names that the file's run records; None without a run.
        options: options of the network that the weights need: how colors are normalized.
    """

    file: Path
    sha256: str
    class_names: tuple[str, ...] | None
    options: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(run: RunFolder) -> "WarmStart":
        """Reads it from the run.json of a run that began with `init_from`."""
        record = run.record()["init_from"]
        names = record.get("class_names", record.get("classes"))  # "classes" in earlier versions
        return WarmStart(
            Path(record["file"]),
            record["sha256"],
            None if names is None else tuple(names),
            record.get("options", {}),
        )

    def record(self) -> dict[str, object]:
        """The entry of run.json."""
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "class_names": self.class_names,
            "options": dict(self.options),
        }


def find_warm_start(
    source: str, runs_dir: Path, model: str = "conv3d", reporter: Reporter | None = None
) -> WarmStart:
    """Finds the file that `init_from` names.

    Args:
        source: a .keras file, a run folder, a name under `runs_dir`, a file of published weights
            (see `networks.WEIGHT_FILES`), or a key of `networks.PUBLISHED`, which is downloaded.
        runs_dir: the folder of all runs.
        model: the network that will take published weights, a key of NETWORKS.
        reporter: shows the progress of a download.

    Raises:
        UserError: there is no such file or run, the run has no weights yet, or there are no
            published weights for this network.
    """
    if is_published(source):
        return _find_published(source, model, reporter or Reporter())
    file = Path(source)
    if file.suffix != ".keras":
        try:
            file = find_run(source, runs_dir, needs=["checkpoints/best.keras"]).best
        except UserError as error:
            raise UserError(f"`init_from` {source}: {error}") from None
    return WarmStart(file.resolve(), _sha256(file), _classes_of(file), _needed_options(file))


def _find_published(source: str, model: str, reporter: Reporter) -> WarmStart:
    published = network(model).published
    if published is None:
        having = [name for name in NETWORKS if network(name).published]
        raise UserError(
            f"`init_from` {source}: no published weights are known for `model` {model}; "
            f"choose {', '.join(having)}"
        )
    if source in PUBLISHED and PUBLISHED[source][0] != model:
        raise UserError(
            f"`init_from` {source} has weights of {PUBLISHED[source][0]}, and `model` is {model}"
        )
    file = fetch(source, reporter) if source.startswith("torchvision:") else Path(source)
    return WarmStart(file.resolve(), _sha256(file), None, published.options)


def _needed_options(file: Path) -> dict[str, Any]:
    """The normalization that a network in a .keras file was trained with, if it has a choice."""
    try:
        with zipfile.ZipFile(file) as archive:
            config = json.loads(archive.read("config.json"))["config"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}  # loading it names what is wrong
    return {name: config[name] for name in ("normalization",) if name in config}


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"`init_from` {file} cannot be read ({error.strerror}): give a run or a file of weights"
        ) from None


def _classes_of(file: Path) -> tuple[str, ...] | None:
    """The class names of the run that contains a checkpoint; None without a run."""
    try:
        return tuple(RunFolder(file.resolve().parents[1]).record()["class_names"])
    except UserError:
        return None


def take_weights(model: keras.Model, start: WarmStart, class_names: Sequence[str]) -> str:
    """Copies the weights of every layer whose name and shapes also occur in the file.

    The head is copied only if the classes are the same. Published weights must fit a whole network
    but for its head, and the head is copied only if there are as many classes.

    Args:
        model: receives the weights; its other layers keep their fresh weights.
        start: the file.
        class_names: the names of the model's outputs.

    Returns:
        A line that lists the copied and the new layers.

    Raises:
        UserError: the file has changed, contains another kind of network, or no layer fits.
    """
    if _sha256(start.file) != start.sha256:
        raise UserError(
            f"{start.file} has changed since the run began: begin a new run with `config`"
        )
    if is_published(start.file.name):
        published = type(model).published
        return load_published(model, weighted_layers(model), published, start.file)
    source = load_model(start.file)
    if type(source) is not type(model):
        raise UserError(
            f"`init_from` {start.file} is a {type(source).__name__} and this run trains a "
            f"{type(model).__name__}: choose the same `model`"
        )
    known = weighted_layers(source)
    # Files of earlier versions have no class names; the run has them.
    before = source.class_names or start.class_names
    other_classes = before is not None and before != tuple(class_names)
    heads = head_layers(model) if other_classes else set()
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


def weighted_layers(model: keras.Model, inside: str = "") -> dict[str, keras.Layer]:
    """Name -> layer with weights, from input to output; names in a stream are STREAM/NAME."""
    found: dict[str, keras.Layer] = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= weighted_layers(layer, f"{inside}{layer.name}/")
        elif layer.weights:
            found[inside + layer.name] = layer
    return found


def head_layers(model: keras.Model) -> set[str]:
    """The names of the layers whose shapes depend on the number of classes."""
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
