"""The sentences of popular texts, and the claims that examine them."""

import pytest

from normbench.claims.assertions import Assertion, load_assertions
from normbench.claims.loading import load_claim
from normbench.claims.spec import Claim
from normbench.config.shipped import shipped_conf

ASSERTIONS = load_assertions(shipped_conf() / "assertions.yaml")
CLAIMS = {path.stem: load_claim(path) for path in sorted((shipped_conf() / "claim").rglob("*.yaml"))}


def examining(number: int) -> list[Claim]:
    return [claim for claim in CLAIMS.values() if number in claim.assertions]


def test_they_are_numbered_without_a_break() -> None:
    """38 sentences, each of at least one of the four texts."""
    assert [one.number for one in ASSERTIONS] == list(range(1, 39))
    assert all(one.texts and set(one.texts) <= set("ABCD") for one in ASSERTIONS)


def test_every_number_of_a_claim_exists() -> None:
    """Each claim names sentences of the list, none twice."""
    known = {one.number for one in ASSERTIONS}
    named = {name: claim.assertions for name, claim in CLAIMS.items() if claim.assertions}
    assert named and all(set(numbers) <= known for numbers in named.values())
    assert all(len(set(numbers)) == len(numbers) for numbers in named.values())


@pytest.mark.parametrize("assertion", ASSERTIONS, ids=lambda one: str(one.number))
def test_every_sentence_has_a_claim_or_is_a_gap(assertion: Assertion) -> None:
    """And a claim that states its opposite is one of those that name it."""
    names = [claim.id for claim in examining(assertion.number)]
    assert names or assertion.gap
    assert set(assertion.opposite) <= set(names)
