"""Test images from another distribution than the training images: what a net meets once it is deployed."""

import torch
from torch import Tensor

from normbench.errors import DataError, nearest
from normbench.randomness import generator

KINDS = ("none", "contrast", "noise")

CONTRAST = 0.2
"""Share of the contrast that is left, around the data set's mean: the third of ImageNet-C's five severities
(Hendrycks & Dietterich 2019)."""

NOISE = 0.8
"""Standard deviation of the noise, in standard deviations of the pixels: the same severity, 0.18 of the pixels' range
where ImageNet's deviation is 0.225 of it."""


def refuse_unknown(kind: str) -> None:
    """Raise if there is no such shift.

    Raises:
        DataError: The kind is unknown.
    """
    if kind not in KINDS:
        raise DataError(f"unknown data.test_shift '{kind}'{nearest(kind, KINDS)}")


def noise(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Draw the noise of some images: always the same for the same row of a data set, whatever the run and its seed.

    Args:
        rows: (B,) int64 rows of the data set.
        shape: (C, H, W) of an image.

    Returns:
        (B, C, H, W) float32 of mean 0 and standard deviation `NOISE`, on the CPU.
    """
    drawn = torch.empty(len(rows), *shape, dtype=torch.float32)
    for image, row in zip(drawn.unbind(), rows.tolist(), strict=True):
        # The seed of no run: every arm and every seed is tested on the same images, as on a corrupted set from a file.
        image.normal_(0, NOISE, generator=generator(0, "test_shift", row))
    return drawn
