"""Families of cells as arrays: one-sided p-values over the looks, Holm's adjustment, and the decision on each.

Each cell has two one-sided p-values, `support` and `refute`, each the smallest over the looks of p times 5 % over the
look's share. The cell's p is twice the smaller of the two, and Holm's step-down over all cells of the catalogue turns
it into `p_adjusted`, which decides the verdict. All functions take whole arrays of simulated families.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.intervals import Floats
from normbench.claims.signed_rank import p_values

Form = Literal["greater", "equivalent"]

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """A point at which cells are judged: after this many seeds, with this share of the error rate `ALPHA`."""

    seeds: int
    share: float


Looks = tuple[Look, ...]

LOOKS: Looks = (Look(16, 0.025), Look(32, 0.015), Look(64, 0.01))
"""Of new designs."""

TWO_LOOKS: Looks = (Look(16, 0.03), Look(32, 0.02))
"""Of designs that do not name theirs."""

STANDARD_LOOKS = tuple(look.seeds for look in LOOKS)

SCHEDULES: Mapping[tuple[int, ...], Looks] = {
    tuple(look.seeds for look in looks): looks for looks in (TWO_LOOKS, LOOKS)
}
"""The looks that a design may have, by their seeds."""

SUPPORT, REFUTE, REVERSED, WITHIN = range(4)
"""Rows of `weigh`: the nulls "not as claimed", "as claimed", "effect at least -margin" and "effect at most -margin"."""


def holm(p: ArrayLike) -> Floats:
    """Return p-values adjusted by Holm's step-down procedure (1979) along the last axis, shape (..., hypotheses)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, axis=-1)
    steps = values.shape[-1] - np.arange(values.shape[-1])
    adjusted = np.maximum.accumulate(np.take_along_axis(values, order, axis=-1) * steps, axis=-1)
    result = np.empty_like(values)
    np.put_along_axis(result, order, np.minimum(adjusted, 1), axis=-1)
    return result


def weigh(form: Form, samples: ArrayLike, margin: ArrayLike, looks: Looks) -> Floats:
    """Return the one-sided p-values of cells of one form, over the looks that have enough seeds.

    `greater` has one level: `support` tests "effect at most the margin", `refute` "effect at least the margin".
    `equivalent` is supported by the largest p over all levels and both margins. It is refuted by Holm's smallest over
    the levels, a level's p being the smaller of its two sides: the doubling of a cell's p pays for there being two.

    Args:
        form: What is claimed.
        samples: One number per seed, in the order of the seeds, shape (..., levels, seeds).
        margin: The smallest effect worth caring about, broadcast against shape (...).
        looks: When the cells are judged.

    Returns:
        Shape (4, ...): the rows `SUPPORT`, `REFUTE`, `REVERSED` and `WITHIN`; 1 where no look has its seeds.
    """
    values = np.asarray(samples, dtype=np.float64)
    margins = np.broadcast_to(np.asarray(margin, dtype=np.float64), values.shape[:-2])[..., None]
    sides = np.ones((4, *values.shape[:-2]))
    for look in looks:
        if look.seeds <= values.shape[-1]:
            sides = np.minimum(sides, _sides(form, values[..., : look.seeds], margins) * (ALPHA / look.share))
    return sides


def _sides(form: Form, values: Floats, margins: Floats) -> Floats:
    """Return the four p-values of a single look, with margins of shape (..., 1)."""
    over, under = p_values(values, margins)
    over_minus, under_minus = p_values(values, -margins)
    if form == "greater":
        return np.stack([over, under, under_minus, over_minus])[..., 0]
    support = np.maximum(under, over_minus).max(axis=-1)
    refute = holm(np.minimum(over, under_minus)).min(axis=-1)
    return np.stack([support, refute, np.ones_like(support), np.ones_like(support)])


def cell_p(sides: Floats) -> Floats:
    """Return the p-value of each cell, twice the smaller of its two sides, from `weigh`'s shape (4, ...)."""
    return np.asarray(np.minimum(2 * np.minimum(sides[SUPPORT], sides[REFUTE]), 1))


def decide(sides: Floats, p_adjusted: Floats) -> NDArray[np.int64]:
    """Return 1 where a cell is supported, -1 where it is refuted and 0 elsewhere, shape (...)."""
    direction = np.sign(sides[REFUTE] - sides[SUPPORT]).astype(np.int64)
    return np.where(p_adjusted < ALPHA, direction, 0)
