"""From the verdicts on the cells of a claim to the verdict on the claim as a whole."""

from collections.abc import Mapping

from normbench.claims.evidence import Verdict, VerdictName


def combine(claim: str, cells: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on a claim as a whole.

    It is `supported` or `refuted` if every cell is, `depends` if one cell is supported and another refuted, `not_run`
    if none was run, and otherwise `inconclusive`. Effects are not averaged over cells.

    Args:
        claim: Id of the claim.
        cells: The verdict on each cell, by its name.

    Returns:
        A verdict without numbers. Its outcome is the cells' own if they share one, and its reason says which cell came
        out how.
    """
    found = {one.verdict for one in cells.values()}
    outcomes = {one.outcome for one in cells.values()}
    name: VerdictName = "inconclusive"
    if len(found) == 1:
        (name,) = found
    elif {"supported", "refuted"} <= found:
        name = "depends"
    shared = outcomes.pop() if len(outcomes) == 1 else _OUTCOMES[name]
    return Verdict(claim, name, shared, reason="; ".join(f"{cell}: {_said(one)}" for cell, one in cells.items()))


_OUTCOMES: Mapping[VerdictName, str] = {
    "supported": "in every cell",
    "refuted": "in every cell",
    "depends": "cells disagree",
    "inconclusive": "not decided in every cell",
    "not_run": "not run",
}


def _said(one: Verdict) -> str:
    return "not run" if one.verdict == "not_run" else f"{one.verdict} ({one.outcome})"
