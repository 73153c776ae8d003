"""The table of what popular texts say: each sentence with the claims that examine it and their verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from normbench.claims.assertions import Assertion
from normbench.claims.spec import Claim
from normbench.errors import ConfigError
from normbench.report.claim_view import ClaimView


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim that examines a sentence.

    Attributes:
        claim: The claim.
        opposite: Whether it states the opposite of the sentence.
        verdict: Its verdict; empty if no study of the page has one.
        href: The row of the page that the verdict stands in.
    """

    claim: Claim
    opposite: bool
    verdict: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A row of the table."""

    assertion: Assertion
    answers: tuple[Answer, ...]


def sentences(
    assertions: Sequence[Assertion], claims: Mapping[str, Claim], judged: Iterable[tuple[str, ClaimView]]
) -> tuple[Sentence, ...]:
    """Return the rows of the table; none if the page has no verdict of the main catalogue.

    Args:
        assertions: The sentences.
        claims: The claims of all catalogues.
        judged: The claims of the page, each with the anchor of its study; of two with one id the first counts.

    Raises:
        ConfigError: A claim names a sentence that does not exist.
    """
    found: dict[str, tuple[str, ClaimView]] = {}
    for anchor, view in judged:
        found.setdefault(view.id, (anchor, view))
    if not assertions or not any(view.claim and not view.claim.catalogue for _, view in found.values()):
        return ()
    numbers = {one.number for one in assertions}
    for claim in claims.values():
        if unknown := set(claim.assertions) - numbers:
            raise ConfigError(
                f"claim {claim.id}: assertions: got {min(unknown)}, expected numbers of sentences in "
                f"conf/assertions.yaml: {min(numbers)} to {max(numbers)}."
            )
    return tuple(
        Sentence(one, tuple(_answer(one, claim, found) for claim in claims.values() if one.number in claim.assertions))
        for one in assertions
    )


def _answer(assertion: Assertion, claim: Claim, found: Mapping[str, tuple[str, ClaimView]]) -> Answer:
    opposite = claim.id in assertion.opposite
    if claim.id not in found:
        return Answer(claim, opposite)
    anchor, view = found[claim.id]
    return Answer(claim, opposite, str(view.row["verdict"]), f"#{anchor}-row-{claim.id}")
