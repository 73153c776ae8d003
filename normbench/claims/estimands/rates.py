"""At which rates an arm trains, and at which it diverges."""

from dataclasses import replace

import numpy as np

from normbench.claims.estimands.choice import Criterion, chosen, edges
from normbench.claims.estimands.contrast import Edge, in_words
from normbench.claims.estimands.measures import DIGITS, Columns, Measured, Positive, octaves_of, of_choices
from normbench.claims.estimands.records import HALFWAY, Arm, Records, Threshold, is_trained


def largest_rate(records: Records, arm: Arm, *, over: Columns = ("lr",), threshold: Threshold = HALFWAY) -> Measured:
    """Return log2 of the largest rate at which the seed trains; if none does, one step below the lowest.

    The limit is at an edge of the grid where the largest rate trains, or none.
    """
    tried = chosen(records, arm, (), grid=over)
    octaves = octaves_of(tried[over[0]])
    grid = np.unique(octaves.to_numpy())
    step = float(np.diff(grid).min()) if len(grid) > 1 else 1.0
    limits = octaves[is_trained(tried, threshold)].groupby(tried["seed"]).max().reindex(list(records.seeds))
    none = limits.isna()
    high, low = int((limits == grid[-1]).sum()), int(none.sum())
    name = in_words(dict(arm))
    found = [Edge(name, "high", high)] * (high > 0) + [Edge(name, "low", low, trains=False)] * (low > 0)
    return Measured(
        values=limits.fillna(grid[0] - step),
        collapsed=none,
        rows=tried.sort_values(["seed", over[0]], kind="stable"),
        words="log2 of the largest rate that trains",
        edges=tuple(found),
        tried=frozenset(tried[over[0]]),
    )


def trained(
    records: Records, arm: Arm, *, over: Columns = ("lr",), by: Criterion = None, threshold: Threshold = HALFWAY
) -> Measured:
    """Return 1 if the run that the seed chooses is trained, else 0.

    An optimum at an edge of the grid asks for a longer grid only if it is not trained.
    """
    rows = chosen(records, arm, over, by=by)
    trains = is_trained(rows, threshold)
    measured = of_choices(records, arm, over, rows, trains, "trains (1) or not (0)", threshold)
    return replace(measured, edges=edges(rows[~trains], records.rows(arm, ()), arm, over, threshold))


def diverged(records: Records, arm: Arm, *, over: Columns = ("lr",), by: Criterion = None) -> Measured:
    """Return 1 if the run that the seed chooses diverged, else 0."""
    rows = chosen(records, arm, over, by=by)
    return of_choices(records, arm, over, rows, rows["status"] == "diverged", "diverged (1) or not (0)")


def diverged_beyond(
    records: Records,
    arm: Arm,
    *,
    beyond: Arm,
    octaves: Positive,
    over: Columns = ("lr",),
    threshold: Threshold | None = None,
) -> Measured:
    """Return the share of rates just beyond another arm's limit at which the seed's run diverges.

    The limit is the seed's own: the largest rate at which the other arm trains, as `largest_rate` has it. A grid that
    ends within the octaves beyond it asks for a longer one, and so does a limit below the grid.

    Args:
        records: The runs.
        arm: The config values that make the arm.
        beyond: What the other arm has instead of the arm's own values.
        octaves: How far the rates reach beyond the limit.
        over: The tuned columns.
        threshold: Count also runs that finish without being trained by this threshold; None counts divergence only.
    """
    other = {**arm, **beyond}
    limits = largest_rate(records, other, over=over)
    tried = chosen(records, arm, (), grid=over)
    places = octaves_of(tried[over[0]])
    distance = (places - tried["seed"].map(limits.values)).round(DIGITS)
    inside = tried[(distance > 0) & (distance <= octaves)]
    lost = inside["status"] == "diverged" if threshold is None else ~is_trained(inside, threshold)
    shares = lost.groupby(inside["seed"]).mean().reindex(list(records.seeds), fill_value=0.0)
    short = int((limits.values + octaves > places.max()).sum())
    found = [Edge(in_words(dict(arm)), "high", short)] * (short > 0)
    return Measured(
        values=shares.astype("float64"),
        collapsed=shares > 0,
        rows=inside.sort_values(["seed", over[0]], kind="stable"),
        words=f"share of rates up to {octaves:g} octaves beyond the limit of {in_words(dict(beyond))} that diverge",
        edges=(*found, *(edge for edge in limits.edges if edge.end == "low")),
        tried=limits.tried | frozenset(tried[over[0]]),
    )
