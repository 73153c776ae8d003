"""Test images from another distribution than the training images, as a deployed net would see."""

import torch
from torch import Tensor

from normbench.errors import DataError, nearest
from normbench.randomness import generator

SHIFTS = ("none", "contrast", "noise")

CONTRAST = 0.2
"""Remaining share of the contrast, around the data set's mean: severity 3 of 5 in ImageNet-C
(Hendrycks & Dietterich 2019)."""

NOISE = 0.8
"""Standard deviation of the noise, in standard deviations of the pixels: the same severity. There it is 0.18 of the
pixels' range, and ImageNet's deviation is 0.225 of it."""


def refuse_unknown(kind: str) -> None:
    """Raise if the shift is unknown.

    Raises:
        DataError: The kind is unknown.
    """
    if kind not in SHIFTS:
        raise DataError(f"unknown data.test_shift '{kind}'{nearest(kind, SHIFTS)}")


def noise(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Draw the noise of some images: the same for the same row of a data set, independent of the run and its seed.

    Args:
        rows: (B,) int64 rows of the data set.
        shape: (C, H, W) of an image.

    Returns:
        (B, C, H, W) float32 of mean 0 and standard deviation `NOISE`, on the CPU.
    """
    drawn = torch.empty(len(rows), *shape, dtype=torch.float32)
    for image, row in zip(drawn.unbind(), rows.tolist(), strict=True):
        # Not a run's seed: every arm and seed is tested on the same images, as with a corrupted set from a file.
        image.normal_(0, NOISE, generator=generator(0, "test_shift", row))
    return drawn
