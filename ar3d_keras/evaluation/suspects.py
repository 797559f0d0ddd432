"""Which labels look wrong: those that out-of-fold predictions contradict most."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Suspect:
    """A labeled video and what the networks that were not trained on it predict.

    Attributes:
        path: of the video.
        label: its label.
        proposed: the class with the highest mean probability.
        label_probability: mean probability of `label`, 0..1.
        proposed_probability: mean probability of `proposed`, 0..1.
        networks: how many networks predicted it.
    """

    path: str
    label: str
    proposed: str
    label_probability: float
    proposed_probability: float
    networks: int

    @property
    def is_contradicted(self) -> bool:
        """Whether the networks prefer another class."""
        return self.proposed != self.label


def rank_suspects(predictions: Iterable[tuple[str, str, Mapping[str, float]]]) -> list[Suspect]:
    """Ranks labeled videos, the most doubtful label first.

    The score is the normalized margin of confident learning: the probability of the given label
    minus the highest probability of another class (Northcutt, Jiang, Chuang: *Confident Learning*,
    JAIR 2021).

    Args:
        predictions: path, label, and class name -> probability; from networks that were not trained
            on the video. Several predictions of one video are averaged; a class that is missing
            counts as 0.
    """
    sums: dict[str, dict[str, float]] = {}
    labels: dict[str, str] = {}
    counts: dict[str, int] = {}
    for path, label, probabilities in predictions:
        labels[path] = label
        counts[path] = counts.get(path, 0) + 1
        mean = sums.setdefault(path, {})
        for name, probability in probabilities.items():
            mean[name] = mean.get(name, 0.0) + probability
    suspects = []
    for path, label in labels.items():
        means = {name: total / counts[path] for name, total in sums[path].items()}
        own = means.pop(label, 0.0)
        other, highest = max(means.items(), key=lambda item: item[1], default=(label, 0.0))
        proposed, probability = (other, highest) if highest > own else (label, own)
        rival = highest if proposed == label else probability
        suspects.append(
            (own - rival, Suspect(path, label, proposed, own, probability, counts[path]))
        )
    return [suspect for _, suspect in sorted(suspects, key=lambda pair: (pair[0], pair[1].path))]
