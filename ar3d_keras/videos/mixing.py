"""Mixup and CutMix: mixes the clips of a batch and their labels in pairs.

Sources: Zhang et al., *mixup: Beyond Empirical Risk Minimization* (ICLR 2018); Yun et al.,
*CutMix* (ICCV 2019). As in both papers' code, one weight is drawn for a batch.
"""

from dataclasses import dataclass

import numpy as np

from ar3d_keras.config import AugmentConfig
from ar3d_keras.videos.reader import load_cv2
from ar3d_keras.videos.sampling import Box, box_of


@dataclass(frozen=True)
class Mix:
    """The mixing of one batch.

    Attributes:
        partners: int64 (B,), a permutation: clip i is mixed with clip partners[i].
        share: weight of the clip itself, in 0..1; its partner has the rest.
        pasted: the part of every frame that comes from the partner; None: frames are blended.
    """

    partners: np.ndarray
    share: float
    pasted: Box | None


class Mixing:
    """Mixes training batches; a pure function of (seed, epoch, step).

    Args:
        augment: its `mixup` and `cutmix` are used.
        num_classes: the number of classes.
        seed: the seed of the run.
    """

    def __init__(self, augment: AugmentConfig, *, num_classes: int, seed: int):
        self.augment, self.num_classes, self.seed = augment, num_classes, seed

    def __bool__(self) -> bool:
        """Whether batches are mixed; if not, labels stay integers."""
        return bool(self.augment.mixup or self.augment.cutmix)

    def draw(self, count: int, size: tuple[int, int], *, epoch: int, step: int) -> Mix:
        """Draws the mixing of batch `step` of an epoch: `count` clips of `size` (height, width)."""
        # The fourth number separates this stream from those of the specs and of the order.
        entropy = np.random.SeedSequence((self.seed, epoch, step, 2))
        draw = np.random.Generator(np.random.Philox(entropy))
        partners, coin, down, across = draw.permutation(count), *draw.random(3)
        paste = self.augment.cutmix and (not self.augment.mixup or coin < 0.5)
        alpha = self.augment.cutmix if paste else self.augment.mixup
        share = float(draw.beta(alpha, alpha))
        if not paste:
            return Mix(partners, share, None)
        pasted = box_of(1 - share, size[1] / size[0], down, across, size)
        return Mix(partners, 1 - pasted.height * pasted.width / (size[0] * size[1]), pasted)

    def __call__(
        self,
        clips: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        *,
        epoch: int,
        step: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mixes a batch. A clip stays unmixed if it or its partner could not be read.

        Args:
            clips: uint8 (B, T, H, W, C).
            labels: int64 (B,).
            weights: float32 (B,), 0 for a clip that could not be read.
            epoch: the epoch, from 0.
            step: the step in the epoch, from 0.

        Returns:
            uint8 (B, T, H, W, C) and float32 (B, classes), each row of which sums to 1.
        """
        mix = self.draw(len(clips), clips.shape[2:4], epoch=epoch, step=step)
        alone = (weights == 0) | (weights[mix.partners] == 0)
        partners = np.where(alone, np.arange(len(clips)), mix.partners)
        one_hot = np.eye(self.num_classes, dtype=np.float32)[labels]
        soft = np.float32(mix.share) * one_hot + np.float32(1 - mix.share) * one_hot[partners]
        return _mixed(clips, clips[partners], mix), soft


def _mixed(clips: np.ndarray, others: np.ndarray, mix: Mix) -> np.ndarray:
    if mix.pasted is None:
        rows = len(clips), -1
        blended = load_cv2().addWeighted(
            clips.reshape(rows), mix.share, others.reshape(rows), 1 - mix.share, 0
        )
        return blended.reshape(clips.shape)
    top, left, height, width = mix.pasted
    mixed = clips.copy()
    part = np.s_[:, :, top : top + height, left : left + width]
    mixed[part] = others[part]
    return mixed
