"""What is known of a cell, what is estimated from it, and what a verdict says of it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from normbench.analysis.intervals import Floats
from normbench.claims.family import LOOKS, Form, Looks
from normbench.claims.signed_rank import hodges_lehmann, interval

VerdictName = Literal["supported", "refuted", "depends", "inconclusive", "not_run"]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of one cell of an experiment claim.

    Attributes:
        cell: Its id.
        form: `greater`: the effect exceeds the margin. `equivalent`: at every level it is within ± the margin.
        margin: In the unit of the values; 0 or more, and above 0 for `equivalent`.
        values: One finite number a seed, ordered by seed, positive in favour of the claim: shape (seeds,) for
            `greater`, (seeds, levels) for `equivalent`. None if the cell was not run.
        levels: The names of the columns, for `equivalent`.
        collapsed: Whether any of a seed's runs collapsed, shape (seeds,); None if collapse does not apply.
        at_edge: Whether an optimum or a limit lies at the edge of the grid after its extension.
        unit: What the values count, such as ``"octaves"``.
        remark: A further remark on the verdict.
        looks: When it is judged.
        room: The best possible value minus that of the better arm for a typical seed; None if it has no bound.
        manipulation: Why the manipulation is not shown; None if it is shown, or none is asked for.
        exploratory: Why its seeds may have been seen before it was designed; None if they were not.
    """

    cell: str
    form: Form
    margin: float
    values: Floats | None = None
    levels: tuple[str, ...] = ()
    collapsed: NDArray[np.bool_] | None = None
    at_edge: bool = False
    unit: str = ""
    remark: str = ""
    looks: Looks = LOOKS
    room: float | None = None
    manipulation: str | None = None
    exploratory: str | None = None

    def __post_init__(self) -> None:
        assert self.margin > 0 or (self.form == "greater" and self.margin == 0)
        if self.values is not None:
            assert np.isfinite(self.values).all() and len(self.values) > 0
            assert self.values.shape[1:] == ((len(self.levels),) if self.form == "equivalent" else ())
            assert self.collapsed is None or self.collapsed.shape == self.values.shape[:1]

    @property
    def samples(self) -> Floats:
        """The values as `weigh` takes them, shape (levels, seeds); no seeds if the cell was not run."""
        return np.empty((1, 0)) if self.values is None else np.atleast_2d(self.values.T)

    @property
    def n_judged(self) -> int:
        """How many of the first seeds count: those of the last look that is complete, or all before the first."""
        seeds = self.samples.shape[-1]
        return max((look.seeds for look in self.looks if look.seeds <= seeds), default=seeds)

    @property
    def next_look(self) -> int | None:
        """How many seeds the look after the last complete one needs; None after the last."""
        return next((look.seeds for look in self.looks if look.seeds > self.n_judged), None)

    @property
    def looked(self) -> bool:
        """Whether the first look is complete."""
        return self.n_judged >= self.looks[0].seeds

    @property
    def undecidable(self) -> bool:
        """Whether no number of its seeds decides it."""
        return self.at_edge or self.manipulation is not None or self.exploratory is not None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one cell, or on a claim as a whole; NaN and None where there is no evidence.

    Attributes:
        id: Of the cell, or of the claim.
        verdict: `supported`, `refuted`, `depends`, `inconclusive` or `not_run`; `depends` only for a whole claim.
        outcome: If supported, `greater` or `equivalent`; if refuted, `reversed`, `equivalent`, `too small` or
            `different`; if inconclusive, `undecided`, `too few seeds`, `exploratory`, `grid edge`,
            `manipulation not shown` or `cannot tell here`; or `not run`. For a whole claim see
            `normbench.claims.combining`.
        effect: The estimate for a typical seed (Hodges & Lehmann); at `level` if there are levels.
        ci_low: Lower end of the unadjusted 95 % interval of the effect.
        ci_high: Upper end.
        p: Twice the smaller one-sided p-value, over the looks.
        p_adjusted: Holm's, over the catalogue; a cell that cannot be decided counts as p = 1 there.
        n_seeds: How many seeds the effect, the interval and the collapse are taken over.
        level: The level shown, for `equivalent`: if refuted, the one whose interval lies farthest out, or else the one
            with the largest effect; otherwise empty.
        n_collapsed: How many of these seeds collapsed.
        collapse_low: Lower end of the 95 % interval (Clopper & Pearson) of the share of seeds that collapse.
        collapse_high: Upper end.
        seeds_needed: How many seeds of the present spread would decide an inconclusive cell with 80 % power; None
            where no number would, or it cannot be said.
        next_look: How many seeds an undecided cell needs for its next look; None for any other.
        cannot_exclude: What a refuted or equivalent verdict does not rule out, or empty.
        reason: One line: effect, interval, number of seeds and what follows.
    """

    id: str
    verdict: VerdictName
    outcome: str
    effect: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    p: float = np.nan
    p_adjusted: float = np.nan
    n_seeds: int = 0
    level: str = ""
    n_collapsed: int | None = None
    collapse_low: float = np.nan
    collapse_high: float = np.nan
    seeds_needed: int | None = None
    next_look: int | None = None
    cannot_exclude: str = ""
    reason: str = "no run of it has ended"


@dataclass(frozen=True, slots=True)
class Effects:
    """Estimate and interval of every level, each of shape (levels,)."""

    typical: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, cell: Evidence) -> "Effects":
        judged = cell.samples[:, : cell.n_judged]
        return cls(hodges_lehmann(judged), *interval(judged))

    def shown(self, *, refuted: bool) -> int:
        """Return the level that stands for the cell."""
        return int(np.argmax(np.maximum(self.low, -self.high) if refuted else np.abs(self.typical)))
