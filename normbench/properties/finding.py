"""What a check returns, and the literature that a fact rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: computed exactly or read off, never estimated.

    Attributes:
        verdict: Of the claim as it is stated.
        outcome: What kind of result it is, in a few words: `proved`, `disproved`, `read off`, `cited`, or the condition
            that the claim holds under.
        evidence: One or two sentences that a report prints.
        numbers: What was computed, by name.
    """

    verdict: Verdict
    outcome: str
    evidence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication, and what it is cited for.

    Attributes:
        authors: Family names, in order.
        year: Of its first publication.
        title: Its title.
        where: Venue, and number on arXiv.
        shows: What the claim needs of it, in one sentence.
    """

    authors: tuple[str, ...]
    year: int
    title: str
    where: str
    shows: str

    def __str__(self) -> str:
        names = " & ".join(self.authors) if len(self.authors) < 3 else f"{self.authors[0]} et al."
        return f"{names} {self.year}, {self.title!r} ({self.where})"
