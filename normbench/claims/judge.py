"""Verdicts: takes one number per seed, returns one `Verdict` per cell."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri  # scipy.stats takes a second to import

from normbench.analysis.intervals import Floats, clopper_pearson
from normbench.claims.evidence import Effects, Evidence, Verdict
from normbench.claims.family import ALPHA, REVERSED, WITHIN, cell_p, decide, holm, weigh
from normbench.claims.signed_rank import TOLERANCE

ROOM = 2.0
"""Margins that must be left up to the best possible value for the lack of an effect to say anything."""

POWER = 0.8
"""The power that `seeds_needed` is computed for."""


def judge_family(cells: Sequence[Evidence]) -> list[Verdict]:
    """Judge cells together.

    Args:
        cells: Every cell of the catalogue, those not run too: they are the family that Holm acts on.

    Returns:
        One verdict per cell, in the same order.
    """
    if not cells:
        return []
    sides = np.stack([weigh(cell.form, cell.samples, cell.margin, cell.looks) for cell in cells], axis=-1)
    family = np.where([cell.undecidable for cell in cells], 1, cell_p(sides))
    decisions = decide(sides, holm(family))
    return [_verdict(cell, sides, family, decisions, place) for place, cell in enumerate(cells)]


def _verdict(cell: Evidence, sides: Floats, family: Floats, decisions: NDArray[np.int64], place: int) -> Verdict:
    if cell.values is None:
        return Verdict(cell.cell, "not_run", "not run")
    decision = int(decisions[place])
    outcome = _outcome(cell, sides, family, place) if decision < 0 else _not_refuted(cell, supported=decision > 0)
    if _one_way(cell, outcome):
        decision, outcome = 0, "cannot tell here"
    effects = Effects.of(cell)
    shown = effects.shown(refuted=decision < 0)
    open_ = outcome in ("undecided", "too few seeds")
    needed = _seeds_needed(cell, effects, int((family >= family[place]).sum())) if open_ else None
    hits, low, high = _collapse(cell)
    return Verdict(
        cell.cell,
        verdict="supported" if decision > 0 else "refuted" if decision < 0 else "inconclusive",
        outcome=outcome,
        effect=float(effects.typical[shown]),
        ci_low=float(effects.low[shown]),
        ci_high=float(effects.high[shown]),
        p=float(cell_p(sides)[place]) if cell.looked else np.nan,
        p_adjusted=float(holm(family)[place]) if cell.looked else np.nan,
        n_seeds=cell.n_judged,
        level=cell.levels[shown] if cell.levels else "",
        n_collapsed=hits,
        collapse_low=low,
        collapse_high=high,
        seeds_needed=needed,
        next_look=cell.next_look if outcome == "undecided" else None,
        cannot_exclude=_cannot_exclude(cell, outcome, effects, shown),
        reason=_reason(cell, outcome, effects, shown, needed),
    )


def _one_way(cell: Evidence, outcome: str) -> bool:
    """Return whether a cell could come out no other way, since its better arm is near the best possible value.

    Being reversed, different or better needs no room that is not there.
    """
    return outcome in ("equivalent", "too small") and cell.room is not None and cell.room < ROOM * cell.margin


def _not_refuted(cell: Evidence, *, supported: bool) -> str:
    if supported:
        return cell.form
    if cell.exploratory is not None:
        return "exploratory"
    if cell.at_edge:
        return "grid edge"
    if not cell.looked:
        return "too few seeds"
    return "undecided" if cell.manipulation is None else "manipulation not shown"


def _outcome(cell: Evidence, sides: Floats, family: Floats, place: int) -> str:
    """Return how a cell is refuted; anything finer than "refuted" is tested at the cell's place in the family."""
    if cell.form == "equivalent":
        return "different"
    for side, outcome in ((REVERSED, "reversed"), (WITHIN, "equivalent")):
        finer = family.copy()
        finer[place] = max(family[place], min(2 * sides[side, place], 1))
        if holm(finer)[place] < ALPHA:
            return outcome
    return "too small"


def _collapse(cell: Evidence) -> tuple[int | None, float, float]:
    """Return how many of the judged seeds collapsed, and the interval of their share."""
    if cell.collapsed is None:
        return None, np.nan, np.nan
    hits = int(cell.collapsed[: cell.n_judged].sum())
    low, high = clopper_pearson(hits, cell.n_judged)
    return hits, float(low), float(high)


def _seeds_needed(cell: Evidence, effects: Effects, hypotheses: int) -> int | None:
    """Return how many seeds would decide the cell the way the estimate points, or None if no number would.

    ``n ((z_error + z_power) se / distance)^2`` with se from the interval and the distance of the estimate to the
    margin, at the error rate of the last look and the cell's step of Holm; never fewer than can reach that rate.
    """
    if not np.isfinite(effects.high - effects.low).all():
        return None
    sizes = np.abs(effects.typical) if cell.form == "equivalent" else effects.typical
    outside = bool((sizes > cell.margin).any())
    if cell.form == "equivalent" and outside:
        hypotheses *= len(sizes)
    rate = cell.looks[-1].share / 2 / hypotheses
    errors = (effects.high - effects.low) / (2 * ndtri(0.975))
    distances = np.abs(sizes - cell.margin)
    ratios = np.where(distances > TOLERANCE, errors / np.maximum(distances, TOLERANCE), np.inf)
    ratio = ratios[sizes > cell.margin].min() if outside else ratios.max()
    seeds = cell.n_judged * ((ndtri(1 - rate) + ndtri(POWER)) * ratio) ** 2
    if not np.isfinite(seeds):
        return None
    return max(int(np.ceil(seeds)), int(np.ceil(-np.log2(rate))), cell.n_judged + 1, cell.looks[0].seeds)


def _cannot_exclude(cell: Evidence, outcome: str, effects: Effects, shown: int) -> str:
    """Return what a refuted or equivalent verdict does not rule out: over all levels, unless it is about one."""
    if outcome not in ("reversed", "equivalent", "too small", "different"):
        return ""
    levels = [shown] if outcome == "different" else slice(None)
    low, high = effects.low[levels].min(), effects.high[levels].max()
    text = f"cannot exclude (95 %) a typical effect from {low:+.3g} to {high:+.3g}{_unit(cell)}"
    hits, _, most = _collapse(cell)
    if hits is None:
        return text
    return f"{text}, nor the collapse of up to {most:.1%} of seeds ({hits} of {cell.n_judged} did)"


def _reason(cell: Evidence, outcome: str, effects: Effects, shown: int, needed: int | None) -> str:
    n, seeds = cell.n_judged, cell.samples.shape[-1]
    place = f" at {cell.levels[shown]}" if cell.levels else ""
    span = f"[{effects.low[shown]:+.3g}, {effects.high[shown]:+.3g}]"
    text = f"typical effect{place} {effects.typical[shown]:+.3g}{_unit(cell)}, unadjusted 95 % {span}, {n} seeds: "
    text += _MEANING[cell.form, outcome].format(
        margin=f"{cell.margin:.3g}", first=cell.looks[0].seeds, room=f"{cell.room or 0:.3g}{_unit(cell)}",
        manipulation=cell.manipulation, exploratory=cell.exploratory,
    )  # fmt: skip
    if outcome in ("undecided", "too few seeds"):
        text += f"; about {needed} seeds of this spread would decide" if needed else "; no number of seeds can be named"
    text += f" ({seeds - n} further seeds do not count at this look)" if seeds > n else ""
    return f"{text}; {cell.remark}" if cell.remark else text


def _unit(cell: Evidence) -> str:
    return f" {cell.unit}" if cell.unit else ""


_UNSETTLED = {
    "undecided": "not told apart from the margin of {margin} once adjusted for looks and claims",
    "too few seeds": "the first look needs {first}",
    "exploratory": "exploratory, since {exploratory}, so that nothing is decided",
    "grid edge": "an optimum or a limit lies at the grid's edge after its extension, so that nothing is decided",
    "manipulation not shown": "{manipulation}, so that nothing is decided",
    "cannot tell here": "the better arm is {room} below the best possible value, at a margin of {margin}, so that "
    "no other outcome was possible",
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
