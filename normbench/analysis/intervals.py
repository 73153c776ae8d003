"""Confidence intervals, over whole arrays at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit  # scipy.stats has both as classes, and takes a second to import

from normbench.analysis.cells import Ints

Floats = NDArray[np.float64]


def moments(values: Floats, groups: Ints, count: int) -> tuple[Ints, Floats, Floats]:
    """Return number, mean and variance of each group's values that are not NaN.

    Args:
        values: One a row.
        groups: The group of each, from 0.
        count: How many groups there are.

    Returns:
        Three arrays of length `count`; the variance has n - 1 in its denominator, and is NaN if n is below 2.
    """
    there = ~np.isnan(values)
    values, groups = values[there], groups[there]
    n = np.bincount(groups, minlength=count).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # empty groups and infinite losses
        mean = np.bincount(groups, weights=values, minlength=count) / n
        squares = np.bincount(groups, weights=(values - mean[groups]) ** 2, minlength=count)
        return n, mean, squares / np.where(n < 2, np.nan, n - 1)


def t_interval(mean: ArrayLike, sd: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return Student's interval of a mean, ``mean ± t(n - 1) sd / sqrt(n)``; NaN if n is below 2.

    Args:
        mean: Sample means.
        sd: Sample standard deviations, with n - 1 in the denominator.
        n: Sample sizes.
        level: Coverage in (0, 1).

    Returns:
        The lower and the upper ends.
    """
    center, count = np.asarray(mean, dtype=np.float64), np.asarray(n, dtype=np.float64)
    count = np.where(count < 2, np.nan, count)
    half = stdtrit(count - 1, (1 + level) / 2) * np.asarray(sd, dtype=np.float64) / np.sqrt(count)
    return center - half, center + half


def clopper_pearson(successes: ArrayLike, n: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the exact interval of a proportion (Clopper & Pearson 1934); all of [0, 1] where n is 0.

    Args:
        successes: How often the event was seen, in 0 to n.
        n: How often it was looked for.
        level: Coverage in (0, 1), never less than promised.

    Returns:
        The lower and the upper ends.
    """
    hits, count = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    misses = count - hits
    tail = (1 - level) / 2
    low = np.where(hits == 0, 0.0, betaincinv(np.maximum(hits, 1), misses + 1, tail))
    high = np.where(misses == 0, 1.0, betaincinv(hits + 1, np.maximum(misses, 1), 1 - tail))
    return low, high
