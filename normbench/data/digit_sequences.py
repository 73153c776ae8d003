"""Scikit-learn's digits as sequences: rows, or pixels one after another."""

import numpy as np
import torch
from numpy.typing import NDArray

from normbench.data.digits import digits
from normbench.data.exact import draw_below, shuffled
from normbench.data.fields import Fields
from normbench.errors import DataError, nearest

SHORTEST = 3
"""Fewest rows of a digit whose end is cut off."""

SAME = 0.9
"""A pixel is almost constant if this share of the samples or more has the same grey value."""

LENGTHS = ("full", "varied")

# A set is the same for every run, so that its own random numbers do not come from the run's seed.
_SEED = 0


def digit_rows(lengths: str) -> Fields:
    """Load the digits as 8 steps of 8 numbers: the rows of the picture from top to bottom.

    All numbers are standardised by one mean and one deviation.

    Args:
        lengths: `full`: every sequence has 8 steps. `varied`: each has a length of its own, 3 to 8, the same in every
            run; the steps after it are zeros.

    Returns:
        `sequence` (N, 8, 8) float32 and `labels`, with `lengths` (N,) int64 if they vary; without a test part.

    Raises:
        DataError: `lengths` is unknown, or scikit-learn is not installed.
    """
    if lengths not in LENGTHS:
        raise DataError(f"data.lengths: unknown value {lengths!r}{nearest(lengths, LENGTHS)}")
    images = digits()
    sequence = _standardised(images.images[:, 0].numpy())
    fields = {"sequence": torch.from_numpy(sequence), "labels": images.labels}
    if lengths == "varied":
        steps = sequence.shape[1]
        own = SHORTEST + draw_below(np.random.PCG64(_SEED), steps + 1 - SHORTEST, len(sequence))
        sequence[np.arange(steps) >= own[:, None]] = 0
        fields = {"sequence": fields["sequence"], "lengths": torch.from_numpy(own), "labels": images.labels}
    return Fields("digit_rows", fields, class_names=images.class_names, label="labels")


def digit_pixels(per_step: int, permuted: bool, drop_constant: bool) -> Fields:
    """Load the digits as 64 steps of one pixel, or fewer steps of several pixels.

    All numbers are standardised by one mean and one deviation.

    Args:
        per_step: Pixels of each step.
        permuted: Whether the pixels are in a random order, the same for all samples and runs.
        drop_constant: Whether pixels are left out that have the same grey value in 90 % of the samples or more, which
            leaves 48: steps in which nearly all samples are alike spoil statistics of each step.

    Returns:
        `sequence` (N, 64 / per_step, per_step) float32 and `labels`, without a test part.

    Raises:
        DataError: `per_step` does not divide the number of pixels, or scikit-learn is not installed.
    """
    images = digits()
    pixels = images.images.flatten(1).numpy()
    if drop_constant:
        most = np.array([np.bincount(column).max() for column in pixels.T])
        pixels = pixels[:, most < SAME * len(pixels)]
    count = pixels.shape[1]
    if per_step < 1 or count % per_step:
        raise DataError(f"data.per_step: got {per_step}, expected a number that divides the {count} pixels")
    if permuted:
        pixels = pixels[:, shuffled(np.random.PCG64(_SEED), count)]
    sequence = torch.from_numpy(_standardised(pixels)).view(len(pixels), -1, per_step)
    fields = {"sequence": sequence, "labels": images.labels}
    return Fields("digit_pixels", fields, class_names=images.class_names, label="labels")


def _standardised(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return grey values 0 to 16, standardised; from sums of integers, so that they are the same on every machine."""
    values = grey.astype(np.int64)
    mean = int(values.sum()) / values.size
    variance = int((values**2).sum()) / values.size - mean**2
    scaled: NDArray[np.float32] = ((values - mean) / np.sqrt(variance)).astype(np.float32)
    return scaled
