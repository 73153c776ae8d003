"""The exact Wilcoxon signed-rank test of one number per seed, its estimate and its interval, over whole arrays at once.

Zeros are kept while ranking and dropped afterwards (Pratt 1959, "Remarks on zeros and ties in the Wilcoxon signed rank
procedures"), ties get mid-ranks. Given the absolute values and that the distribution is symmetric, each sign is a fair
coin, so every p-value here is exact, ties and zeros included. With d = x - delta, ranks r of |d| and fair coins B,

    p(effect <= delta) = P(sum of r B over d < 0  >=  sum of r B over d > 0).

As delta grows, the ranks of positive d only fall, those of negative d only rise, and a positive d that turns zero
leaves its sum: p never falls. Hence the level holds for every effect below delta, not only at it; the values of delta
that are not rejected form an interval; and a margin that is an attainable value, with many d = 0, is judged between its
two neighbours. Had zeros been dropped before ranking, the other ranks would jump at that value, and p with them.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from normbench.analysis.intervals import Floats

TOLERANCE = 1e-9
"""Numbers closer than this are equal: `0.9 - 0.8` and `0.8 - 0.7` are a tie. Contrasts are of order 1 (accuracies,
octaves, log ratios), where rounding is 1e-15 and one sample of a million is 1e-6."""

MOST_SEEDS = 1000
"""Up to here the number of sign patterns, 2^n, is a float. Up to 53 every count of them is exact; beyond, to 1e-12."""


def p_values(values: ArrayLike, null: ArrayLike) -> tuple[Floats, Floats]:
    """Return the exact one-sided p-values of "effect at most `null`" and of "effect at least `null`".

    Args:
        values: One finite number a seed, shape (..., seeds).
        null: The shift that is tested, broadcast against shape (...).

    Returns:
        Two arrays of shape (...): a small first one shows that the effect is above `null`, a small second one below.
    """
    shifted = np.asarray(values, dtype=np.float64) - np.asarray(null, dtype=np.float64)[..., None]
    seeds = shifted.shape[-1]
    assert 0 < seeds <= MOST_SEEDS and np.isfinite(shifted).all()
    shifted = np.take_along_axis(shifted, np.argsort(np.abs(shifted), axis=-1), axis=-1)
    ranks = _doubled_ranks(np.abs(shifted))
    above = np.where(shifted > 0, ranks, 0).sum(axis=-1)
    below = np.where(shifted < 0, ranks, 0).sum(axis=-1)
    patterns = np.ascontiguousarray(ranks.reshape(-1, seeds).astype(np.uint16)).view(f"V{2 * seeds}").ravel().tolist()
    tails = [_tails(pattern) for pattern in patterns]
    sides = [
        np.array([tail[sum_] for tail, sum_ in zip(tails, sums.ravel().tolist(), strict=True)])
        for sums in (above, below)
    ]
    return sides[0].reshape(above.shape), sides[1].reshape(below.shape)


def hodges_lehmann(values: ArrayLike) -> Floats:
    """Return the typical value: the median of the Walsh averages ``(x_i + x_j) / 2``, i <= j (Hodges & Lehmann 1963).

    Args:
        values: One number per seed, shape (..., seeds).

    Returns:
        Shape (...).
    """
    averages = _walsh_averages(np.asarray(values, dtype=np.float64))
    return np.asarray(np.median(averages, axis=-1), dtype=np.float64)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return the effects that the two one-sided tests do not reject, each at half of ``1 - level``.

    The p-values change at Walsh averages only, so the ends are Walsh averages; they are infinite if the seeds are
    too few to exclude anything: below six at 95 %.

    Args:
        values: One finite number a seed, shape (..., seeds).
        level: Coverage in (0, 1), never less than promised.

    Returns:
        The lower and the upper ends, each of shape (...).
    """
    sample = np.asarray(values, dtype=np.float64)
    low, minus_high = _lower_end(np.stack([sample, -sample]), (1 - level) / 2)
    return low, np.asarray(0 - minus_high)  # not -minus_high, which makes -0 of 0


def _lower_end(values: Floats, tail: float) -> Floats:
    """Return the last Walsh average below which every effect is rejected from above, found by bisection.

    Gap k lies between the k-th and the next Walsh average; where they are equal, it is that value, whose p-value lies
    between those of the gaps around it.
    """
    averages = _walsh_averages(values)
    edges = np.concatenate([averages[..., :1] - 1, averages], axis=-1)
    ends = np.concatenate([np.full_like(averages[..., :1], -np.inf), averages], axis=-1)
    low = np.zeros((*averages.shape[:-1], 1), dtype=np.int64)
    high = np.full_like(low, averages.shape[-1] - 1)  # the gap below the last one always has p > tail
    while (low < high).any():
        middle = (low + high) // 2
        nulls = (np.take_along_axis(edges, middle, -1) + np.take_along_axis(edges, middle + 1, -1)) / 2
        rejected = p_values(values, nulls[..., 0])[0][..., None] <= tail
        low, high = np.where(rejected, middle + 1, low), np.where(rejected, high, middle)
    return np.asarray(np.take_along_axis(ends, low, axis=-1)[..., 0])


def _walsh_averages(values: Floats) -> Floats:
    """Return the sorted means of all pairs, each value with itself included, shape (..., seeds (seeds + 1) / 2)."""
    first, second = np.triu_indices(values.shape[-1])
    return np.sort((values[..., first] + values[..., second]) / 2, axis=-1)


def _doubled_ranks(sizes: Floats) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Return twice the mid-ranks of sizes sorted along the last axis: integers, and 0 for a size of zero."""
    place = np.arange(sizes.shape[-1])
    rises = np.diff(sizes, axis=-1) > TOLERANCE
    edge = np.ones((*sizes.shape[:-1], 1), dtype=np.bool_)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, rises], axis=-1), place, 0), axis=-1)
    ends = np.where(np.concatenate([rises, edge], axis=-1), place, place[-1])
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    return np.where(sizes > TOLERANCE, first + last + 2, 0)


@lru_cache(maxsize=1 << 12)
def _tails(pattern: bytes) -> Floats:
    """Return P(S >= s) for s = 0, 1, ..., where S sums each of these doubled ranks (uint16) with probability 1/2."""
    ranks = [rank for rank in np.frombuffer(pattern, dtype=np.uint16).tolist() if rank]
    ways = np.zeros(sum(ranks) + 1)
    ways[0] = 1
    for rank in ranks:
        ways[rank:] += ways[:-rank].copy()
    return np.asarray(ways[::-1].cumsum()[::-1] / 2 ** len(ranks))
