"""The result of a check, and citations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: computed exactly or read off, never estimated.

    Attributes:
        verdict: Verdict on the claim as stated.
        outcome: Kind of result in a few words: `proved`, `disproved`, `read off`, `cited`, or the condition under which
            the claim holds.
        evidence: One or two sentences for the report.
        numbers: Computed numbers, by name.
    """

    verdict: Literal["supported", "refuted", "inconclusive"]
    outcome: str
    evidence: str
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication and what it is cited for.

    Attributes:
        authors: Family names, in order.
        year: Year of first publication.
        title: Title.
        where: Venue and arXiv number.
        shows: What it shows for the claim, in one sentence.
    """

    authors: tuple[str, ...]
    year: int
    title: str
    where: str
    shows: str

    def __str__(self) -> str:
        names = " & ".join(self.authors) if len(self.authors) < 3 else f"{self.authors[0]} et al."
        return f"{names} {self.year}, {self.title!r} ({self.where})"
