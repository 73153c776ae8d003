"""From the verdicts of cells to that of their claim."""

import pytest

from normbench.claims.combining import combine
from normbench.claims.evidence import Verdict

SUPPORTED = Verdict("c.a", "supported", "greater")
REVERSED = Verdict("c.b", "refuted", "reversed")
SMALL = Verdict("c.b", "refuted", "too small")
UNDECIDED = Verdict("c.b", "inconclusive", "undecided")
CEILING = Verdict("c.b", "inconclusive", "cannot tell here")
NOT_RUN = Verdict("c.b", "not_run", "not run")

CASES = {
    "supported in both": ((SUPPORTED, SUPPORTED), "supported", "greater"),
    "refuted in both alike": ((REVERSED, REVERSED), "refuted", "reversed"),
    "refuted in both": ((REVERSED, SMALL), "refuted", "in every cell"),
    "against each other": ((SUPPORTED, SMALL), "depends", "cells disagree"),
    "against each other, one open": ((UNDECIDED, SUPPORTED, SMALL), "depends", "cells disagree"),
    "one open": ((SUPPORTED, UNDECIDED), "inconclusive", "not decided in every cell"),
    "both open": ((UNDECIDED, CEILING), "inconclusive", "not decided in every cell"),
    "both open alike": ((CEILING, CEILING), "inconclusive", "cannot tell here"),
    "one not run": ((REVERSED, NOT_RUN), "inconclusive", "not decided in every cell"),
    "none run": ((NOT_RUN, NOT_RUN), "not_run", "not run"),
}


@pytest.mark.parametrize(("cells", "verdict", "outcome"), CASES.values(), ids=CASES)
def test_all_cells_make_the_verdict(cells: tuple[Verdict, ...], verdict: str, outcome: str) -> None:
    """All alike make it theirs; one for and one against make it depend; anything else leaves it open."""
    found = combine("c", dict(zip("abc", cells, strict=False)))
    assert (found.id, found.verdict, found.outcome) == ("c", verdict, outcome)


def test_the_reason_names_every_cell() -> None:
    """And how it came out."""
    found = combine("c", {"mlp": SUPPORTED, "resnet": SMALL, "plain": NOT_RUN})
    assert found.reason == "mlp: supported (greater); resnet: refuted (too small); plain: not run"
