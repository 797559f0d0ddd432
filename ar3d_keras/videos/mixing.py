"""Mixup and cutmix: clips of a batch, and their labels, mixed in pairs.

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
    """How one batch is mixed.

    Attributes:
        partners: int64 (B,), a permutation: clip i is mixed with clip partners[i].
        share: of a clip itself, in 0..1; the rest is its partner's.
        pasted: the part of all frames that is the partner's; None: all is blended.
    """

    partners: np.ndarray
    share: float
    pasted: Box | None


class Mixing:
    """Mixes the batches of a training; a pure function of (seed, epoch, step).

    Args:
        augment: its `mixup` and `cutmix`.
        num_classes: the number of classes.
        seed: of the run.
    """

    def __init__(self, augment: AugmentConfig, *, num_classes: int, seed: int):
        self.augment, self.class_names, self.seed = augment, num_classes, seed

    def __bool__(self) -> bool:
        """Whether there is anything to mix; labels stay integers where there is not."""
        return bool(self.augment.mixup or self.augment.cutmix)

    def draw(self, count: int, size: tuple[int, int], *, epoch: int, step: int) -> Mix:
        """How batch `step` of an epoch, of `count` clips of `size` (height, width), is mixed."""
        # The fourth number keeps this stream apart from the views' and the order's.
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
        """Mixes a batch; a clip that could not be read, or whose partner could not, stays as it is.

        Args:
            clips: uint8 (B, T, H, W, C).
            labels: int64 (B,).
            weights: float32 (B,), 0 for a clip that could not be read.
            epoch: counted from 0.
            step: of the epoch, from 0.

        Returns:
            uint8 (B, T, H, W, C) and float32 (B, classes), each row of which sums to 1.
        """
        mix = self.draw(len(clips), clips.shape[2:4], epoch=epoch, step=step)
        alone = (weights == 0) | (weights[mix.partners] == 0)
        partners = np.where(alone, np.arange(len(clips)), mix.partners)
        one_hot = np.eye(self.class_names, dtype=np.float32)[labels]
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
