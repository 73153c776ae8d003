"""Verdicts: takes one number per seed, returns one `Verdict` per claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri  # scipy.stats takes a second to import

from normbench.analysis.intervals import Floats, clopper_pearson
from normbench.claims.family import ALPHA, LOOKS, REVERSED, WITHIN, Form, claim_p, decide, holm, weigh
from normbench.claims.signed_rank import TOLERANCE, hodges_lehmann, interval

POWER = 0.8
"""The power that `seeds_needed` is computed for."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of one experiment claim.

    Attributes:
        claim: Its id.
        form: `greater`: the effect exceeds the margin. `equivalent`: at every level it is within ± the margin.
        margin: In the unit of the values; 0 or more, and above 0 for `equivalent`.
        values: One finite number a seed, ordered by seed, positive in favour of the claim: shape (seeds,) for
            `greater`, (seeds, levels) for `equivalent`. None if the claim was not run.
        levels: The names of the columns, for `equivalent`.
        collapsed: Whether any of a seed's runs collapsed, shape (seeds,); None if collapse does not apply to the claim.
        at_edge: Whether an optimum or a limit lies at the edge of the grid after its extension.
        unit: What the values count, such as ``"octaves"``.
        remark: A further remark on the verdict.
    """

    claim: str
    form: Form
    margin: float
    values: Floats | None = None
    levels: tuple[str, ...] = ()
    collapsed: NDArray[np.bool_] | None = None
    at_edge: bool = False
    unit: str = ""
    remark: str = ""

    def __post_init__(self) -> None:
        assert self.margin > 0 or (self.form == "greater" and self.margin == 0)
        if self.values is not None:
            assert np.isfinite(self.values).all() and len(self.values) > 0
            assert self.values.shape[1:] == ((len(self.levels),) if self.form == "equivalent" else ())
            assert self.collapsed is None or self.collapsed.shape == self.values.shape[:1]

    @property
    def samples(self) -> Floats:
        """The values as `weigh` takes them, shape (levels, seeds); no seeds if the claim was not run."""
        return np.empty((1, 0)) if self.values is None else np.atleast_2d(self.values.T)

    @property
    def n_judged(self) -> int:
        """How many of the first seeds count: those of the last look that is complete, or all before the first."""
        seeds = self.samples.shape[-1]
        return max((look.seeds for look in LOOKS if look.seeds <= seeds), default=seeds)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one claim; NaN and None where there is no evidence.

    Attributes:
        claim: Its id.
        verdict: `supported`, `refuted`, `inconclusive` or `not_run`.
        outcome: If supported, `greater` or `equivalent`; if refuted, `reversed`, `equivalent`, `too small` or
            `different`; if inconclusive, `undecided`, `too few seeds` or `grid edge`; or `not run`.
        effect: The estimate for a typical seed (Hodges & Lehmann); at `level` if there are levels.
        ci_low: Lower end of the unadjusted 95 % interval of the effect.
        ci_high: Upper end.
        p: Twice the smaller one-sided p-value, over the looks.
        p_adjusted: Holm's, over the catalogue; a claim at the grid's edge counts as p = 1 there.
        n_seeds: How many seeds the effect, the interval and the collapse are taken over.
        level: The level shown, for `equivalent`: if refuted, the one whose interval lies farthest out, or else the one
            with the largest effect; otherwise empty.
        n_collapsed: How many of these seeds collapsed.
        collapse_low: Lower end of the 95 % interval (Clopper & Pearson) of the share of seeds that collapse.
        collapse_high: Upper end.
        seeds_needed: How many seeds of the present spread would decide an inconclusive claim with 80 % power; None
            where no number would, or it cannot be said.
        cannot_exclude: What a refuted or equivalent verdict does not rule out, or empty.
        reason: One line: effect, interval, number of seeds and what follows.
    """

    claim: str
    verdict: Literal["supported", "refuted", "inconclusive", "not_run"]
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
    cannot_exclude: str = ""
    reason: str = "no run of it has ended"


def judge_family(claims: Sequence[Evidence]) -> list[Verdict]:
    """Judge claims together.

    Args:
        claims: Every experiment claim of the catalogue, those not run too: they are the family that Holm acts on.

    Returns:
        One verdict per claim, in the same order.
    """
    sides = np.stack([weigh(claim.form, claim.samples, claim.margin) for claim in claims], axis=-1)
    family = np.where([claim.at_edge for claim in claims], 1, claim_p(sides))
    decisions = decide(sides, holm(family))
    return [_verdict(claim, sides, family, decisions, place) for place, claim in enumerate(claims)]


def second_look(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """Return the claims that the first look left undecided: only these get the seeds of the second.

    A claim at the grid's edge is not among them, since more seeds of the same grid cannot decide it.
    """
    return tuple(one.claim for one in verdicts if one.outcome == "undecided" and one.n_seeds == LOOKS[0].seeds)


def _verdict(claim: Evidence, sides: Floats, family: Floats, decisions: NDArray[np.int64], place: int) -> Verdict:
    if claim.values is None:
        return Verdict(claim.claim, "not_run", "not run")
    n, looked = claim.n_judged, claim.n_judged >= LOOKS[0].seeds
    decision = int(decisions[place])
    effects = _Effects.of(claim)
    shown = effects.shown(refuted=decision < 0)
    outcome = _outcome(claim, sides, family, place) if decision < 0 else _not_refuted(claim, supported=decision > 0)
    needed = _seeds_needed(claim, effects, int((family >= family[place]).sum())) if decision == 0 else None
    hits, low, high = _collapse(claim)
    return Verdict(
        claim.claim,
        verdict="supported" if decision > 0 else "refuted" if decision < 0 else "inconclusive",
        outcome=outcome,
        effect=float(effects.typical[shown]),
        ci_low=float(effects.low[shown]),
        ci_high=float(effects.high[shown]),
        p=float(claim_p(sides)[place]) if looked else np.nan,
        p_adjusted=float(holm(family)[place]) if looked else np.nan,
        n_seeds=n,
        level=claim.levels[shown] if claim.levels else "",
        n_collapsed=hits,
        collapse_low=low,
        collapse_high=high,
        seeds_needed=needed,
        cannot_exclude=_cannot_exclude(claim, outcome, effects, shown),
        reason=_reason(claim, outcome, effects, shown, needed),
    )


@dataclass(frozen=True, slots=True)
class _Effects:
    """Estimate and interval of every level, each of shape (levels,)."""

    typical: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, claim: Evidence) -> "_Effects":
        judged = claim.samples[:, : claim.n_judged]
        return cls(hodges_lehmann(judged), *interval(judged))

    def shown(self, *, refuted: bool) -> int:
        """Return the level that stands for the claim."""
        return int(np.argmax(np.maximum(self.low, -self.high) if refuted else np.abs(self.typical)))


def _not_refuted(claim: Evidence, *, supported: bool) -> str:
    if supported:
        return claim.form
    if claim.at_edge:
        return "grid edge"
    return "undecided" if claim.n_judged >= LOOKS[0].seeds else "too few seeds"


def _outcome(claim: Evidence, sides: Floats, family: Floats, place: int) -> str:
    """Return how a claim is refuted; anything finer than "refuted" is tested at the claim's place in the family."""
    if claim.form == "equivalent":
        return "different"
    for side, outcome in ((REVERSED, "reversed"), (WITHIN, "equivalent")):
        finer = family.copy()
        finer[place] = max(family[place], min(2 * sides[side, place], 1))
        if holm(finer)[place] < ALPHA:
            return outcome
    return "too small"


def _collapse(claim: Evidence) -> tuple[int | None, float, float]:
    """Return how many of the judged seeds collapsed, and the interval of their share."""
    if claim.collapsed is None:
        return None, np.nan, np.nan
    hits = int(claim.collapsed[: claim.n_judged].sum())
    low, high = clopper_pearson(hits, claim.n_judged)
    return hits, float(low), float(high)


def _seeds_needed(claim: Evidence, effects: _Effects, hypotheses: int) -> int | None:
    """Return how many seeds would decide the claim the way the estimate points, or None if no number would.

    ``n ((z_error + z_power) se / distance)^2`` with se from the interval and the distance of the estimate to the
    margin, at the error rate of the last look and the claim's step of Holm; never fewer than can reach that rate.
    """
    if claim.at_edge or not np.isfinite(effects.high - effects.low).all():
        return None
    sizes = np.abs(effects.typical) if claim.form == "equivalent" else effects.typical
    outside = bool((sizes > claim.margin).any())
    if claim.form == "equivalent" and outside:
        hypotheses *= len(sizes)
    rate = LOOKS[-1].share / 2 / hypotheses
    errors = (effects.high - effects.low) / (2 * ndtri(0.975))
    distances = np.abs(sizes - claim.margin)
    ratios = np.where(distances > TOLERANCE, errors / np.maximum(distances, TOLERANCE), np.inf)
    ratio = ratios[sizes > claim.margin].min() if outside else ratios.max()
    seeds = claim.n_judged * ((ndtri(1 - rate) + ndtri(POWER)) * ratio) ** 2
    if not np.isfinite(seeds):
        return None
    return max(int(np.ceil(seeds)), int(np.ceil(-np.log2(rate))), claim.n_judged + 1, LOOKS[0].seeds)


def _cannot_exclude(claim: Evidence, outcome: str, effects: _Effects, shown: int) -> str:
    """Return what a refuted or equivalent verdict does not rule out: over all levels, unless it is about one."""
    if outcome not in ("reversed", "equivalent", "too small", "different"):
        return ""
    levels = [shown] if outcome == "different" else slice(None)
    low, high = effects.low[levels].min(), effects.high[levels].max()
    text = f"cannot exclude (95 %) a typical effect from {low:+.3g} to {high:+.3g}{_unit(claim)}"
    hits, _, most = _collapse(claim)
    if hits is None:
        return text
    return f"{text}, nor the collapse of up to {most:.1%} of seeds ({hits} of {claim.n_judged} did)"


def _reason(claim: Evidence, outcome: str, effects: _Effects, shown: int, needed: int | None) -> str:
    n, seeds = claim.n_judged, claim.samples.shape[-1]
    place = f" at {claim.levels[shown]}" if claim.levels else ""
    span = f"[{effects.low[shown]:+.3g}, {effects.high[shown]:+.3g}]"
    text = f"typical effect{place} {effects.typical[shown]:+.3g}{_unit(claim)}, unadjusted 95 % {span}, {n} seeds: "
    text += _MEANING[claim.form, outcome].format(margin=f"{claim.margin:.3g}", first=LOOKS[0].seeds)
    if outcome in ("undecided", "too few seeds"):
        text += f"; about {needed} seeds of this spread would decide" if needed else "; no number of seeds can be named"
    text += f" ({seeds - n} further seeds do not count at this look)" if seeds > n else ""
    return f"{text}; {claim.remark}" if claim.remark else text


def _unit(claim: Evidence) -> str:
    return f" {claim.unit}" if claim.unit else ""


_UNSETTLED = {
    "undecided": "not told apart from the margin of {margin} once adjusted for looks and claims",
    "too few seeds": "the first look needs {first}",
    "grid edge": "an optimum or a limit lies at the grid's edge after its extension, so that nothing is decided",
}
_MEANING = {
    ("greater", "greater"): "above the margin of {margin}",
    ("greater", "reversed"): "the reverse, below -{margin}",
    ("greater", "equivalent"): "within the margin of ±{margin}",
    ("greater", "too small"): "below the margin of {margin}",
    ("equivalent", "equivalent"): "every level lies within the margin of ±{margin}",
    ("equivalent", "different"): "outside the margin of ±{margin}",
    **{(form, outcome): text for form in ("greater", "equivalent") for outcome, text in _UNSETTLED.items()},
}
