"""Comparisons of arms within a seed: each is a weighted sum of one measure over arms."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add, or_

import numpy as np
import pandas as pd

from normbench.claims.estimands.arguments import Arms, Measure, Sizes, Weighted
from normbench.claims.estimands.arms import MeasuredArm
from normbench.claims.estimands.contrast import Contrast, MissingCells, in_words
from normbench.claims.estimands.records import Arm, Records
from normbench.claims.signed_rank import hodges_lehmann

Term = tuple[float, Measure, Arm]
"""A weight, what is measured, and the arm it is measured of."""


def difference(
    records: Records,
    *,
    measure: Measure,
    treatment: Arm,
    control: Arm,
    levels: Arms = ({},),
    control_measure: Measure | None = None,
) -> Contrast:
    """Return `treatment - control`, averaged over levels, and the room left where the scores have a best value.

    There is no room for other measures: rates, steps and probes have no bound, and of a 0/1 or a share of settings both
    ends are as far away as the design puts them. The other comparisons have none either, since an interaction or a
    slope is not bounded by one arm's distance from the best value.

    Args:
        records: The runs and curves.
        measure: What is measured.
        treatment: The arm that the claim favours.
        control: The arm it is compared with.
        levels: Config values that both arms share, one set a level.
        control_measure: What is measured of the control, if it differs.
    """
    share = 1 / len(levels)
    other = control_measure or measure
    terms = [
        term
        for level in levels
        for term in ((share, measure, {**level, **treatment}), (-share, other, {**level, **control}))
    ]
    contrast = _sum(records, terms)
    return replace(contrast, room=_room(contrast.arms))


def interaction(records: Records, *, measure: Measure, treatment: Arm, control: Arm, at: Arm, against: Arm) -> Contrast:
    """Return the difference in differences `(treatment - control) at one level - (treatment - control) at another`.

    Args:
        records: The runs and curves.
        measure: What is measured.
        treatment: The arm that the claim favours at the first level.
        control: The arm it is compared with.
        at: Config values of the level where the claim expects the larger difference.
        against: Config values of the other level.
    """
    terms = [
        (sign * weight, measure, {**level, **arm})
        for sign, level in ((1.0, at), (-1.0, against))
        for weight, arm in ((1.0, treatment), (-1.0, control))
    ]
    return _sum(records, terms)


def slope(
    records: Records,
    *,
    measure: Measure,
    treatment: Arm,
    factor: str,
    values: Sizes,
    control: Arm | None = None,
    falling: bool = False,
) -> Contrast:
    """Return the least-squares slope of a measure over log2 of a factor.

    Args:
        records: The runs and curves.
        measure: What is measured.
        treatment: The arm.
        factor: A config column of positive numbers.
        values: The factor's values.
        control: An arm whose slope is subtracted.
        falling: Whether the claim expects a fall, so that the sign is flipped.
    """
    octaves = np.log2(np.asarray(values, dtype=np.float64))
    spread = octaves - octaves.mean()
    weights = (-1.0 if falling else 1.0) * spread / (spread @ spread)
    arms = [(1.0, treatment)] if control is None else [(1.0, treatment), (-1.0, control)]
    terms = [
        (sign * float(weight), measure, {factor: value, **arm})
        for sign, arm in arms
        for weight, value in zip(weights, values, strict=True)
    ]
    return _sum(records, terms)


def combination(records: Records, *, measure: Measure, terms: Weighted) -> Contrast:
    """Return a weighted sum of a measure over arms, for questions that no difference answers.

    Args:
        records: The runs and curves.
        measure: What is measured.
        terms: Weights and arms.
    """
    return _sum(records, [(weight, measure, arm) for weight, arm in terms])


def over_levels(
    records: Records,
    *,
    measure: Measure,
    treatment: Arm,
    control: Arm,
    levels: Arms,
    control_measure: Measure | None = None,
) -> Contrast:
    """Return `treatment - control` at each level, one column per level, for claims that it is zero at all of them.

    The room left is as in `difference`.

    Args:
        records: The runs and curves.
        measure: What is measured.
        treatment: One arm.
        control: The arm it is compared with.
        levels: Config values that both arms share unless they set them, one set a level.
        control_measure: What is measured of the control, if it differs.
    """
    other = control_measure or measure
    terms = [
        term
        for level in levels
        for term in ((1.0, measure, {**level, **treatment}), (-1.0, other, {**level, **control}))
    ]
    measured = _measured(records, terms)
    columns = {
        in_words(dict(level)): measured[place].measured.values - measured[place + 1].measured.values
        for level, place in zip(levels, range(0, len(measured), 2), strict=True)
    }
    return replace(_contrast(pd.DataFrame(columns), measured), room=_room(measured))


def _room(arms: Sequence[MeasuredArm]) -> float | None:
    """Return the smallest distance of a typical value from the best possible one: that of the better arm."""
    ends = [(one.measured.best, one.measured.values.to_numpy(dtype=np.float64)) for one in arms]
    left = [abs(best - float(hodges_lehmann(values))) for best, values in ends if best is not None]
    return min(left) if len(left) == len(arms) else None


def _sum(records: Records, terms: Sequence[Term]) -> Contrast:
    measured = _measured(records, terms)
    weighted = [weight * one.measured.values for (weight, _, _), one in zip(terms, measured, strict=True)]
    return _contrast(reduce(add, weighted), measured)


def _contrast(values: "pd.Series[float] | pd.DataFrame", arms: Sequence[MeasuredArm]) -> Contrast:
    collapsed = reduce(or_, (one.measured.collapsed for one in arms))
    found = {edge for one in arms for edge in one.measured.edges}
    return Contrast(values, collapsed, tuple(sorted(found)), tuple(arms))


def _measured(records: Records, terms: Sequence[Term]) -> list[MeasuredArm]:
    """Measure each arm.

    Raises:
        MissingCells: Arms lack runs, or have tried other values than the rest: all that is missing, at once.
    """
    measured: list[MeasuredArm] = []
    missing: list[str] = []
    for _, measure, arm in terms:
        try:
            measured.append(MeasuredArm(arm, measure(records, arm), measure))
        except MissingCells as error:
            missing += error.cells
    if not missing:
        everything = frozenset().union(*(one.measured.tried for one in measured))
        for one in measured:
            untried = sorted(everything - one.measured.tried)
            missing += [in_words({**one.arm, one.measure.tuned: value}) for value in untried]
    if missing:
        raise MissingCells(missing)
    return measured
