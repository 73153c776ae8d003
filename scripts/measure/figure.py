"""One performance figure: what is compared with what, its target, and what was measured."""

from dataclasses import dataclass, field
from statistics import median
from typing import Literal

Kind = Literal["times faster", "times as long", "seconds", "bytes"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is enough.

    Attributes:
        kind: `times faster` than the plain loop (at least), `times as long` (at most), or an absolute at most.
        value: The bound; None if a figure has no target.
    """

    kind: Kind
    value: float | None

    def __str__(self) -> str:
        """Return it as written in bench.csv."""
        if self.value is None:
            return ""
        sign = ">=" if self.kind == "times faster" else "<="
        return f"{sign} {self.value:g} {self.kind}"


@dataclass(slots=True)
class Figure:
    """One row of bench.csv.

    Attributes:
        name: Its name on the command line.
        work: What is timed.
        target: What is enough.
        runs: Runs that normbench trained; the plain time of all is that of one times this.
        plain_runs_timed: Runs of the plain loop that were timed, in all pairs together.
        pairs: Seconds of one plain run, seconds (or bytes) of normbench, in pairs; plain is None if there is none.
        note: What a reader should know.
    """

    name: str
    work: str
    target: Target
    runs: int = 1
    plain_runs_timed: int = 0
    pairs: list[tuple[float | None, float]] = field(default_factory=list)
    note: str = ""

    def add(self, plain_seconds: float | None, normbench: float) -> None:
        """Keep a pair."""
        self.pairs.append((plain_seconds, normbench))

    @property
    def plain(self) -> float | None:
        """Median seconds of one plain run."""
        times = [one for one, _ in self.pairs if one is not None]
        return median(times) if times else None

    @property
    def normbench(self) -> float | None:
        """Median seconds, or bytes, of normbench."""
        return median(all_ for _, all_ in self.pairs) if self.pairs else None

    @property
    def ratio(self) -> float | None:
        """Median over the pairs: plain over normbench if the target is `times faster`, else normbench over plain."""
        ratios = [all_ / (one * self.runs) for one, all_ in self.pairs if one is not None]
        if not ratios:
            return None
        return median(1 / ratio for ratio in ratios) if self.target.kind == "times faster" else median(ratios)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None if nothing was measured or there is no target."""
        found = self.normbench if self.target.kind in ("seconds", "bytes") else self.ratio
        if found is None or self.target.value is None:
            return None
        return found >= self.target.value if self.target.kind == "times faster" else found <= self.target.value


@dataclass(frozen=True, slots=True)
class Setting:
    """How much is measured.

    Attributes:
        quick: Small sizes, only to check that everything works.
        pairs: How often a pair is repeated.
        cifar: Folder of the images of CIFAR-10.
    """

    quick: bool
    pairs: int
    cifar: str | None

    def of(self, full: int, quick: int) -> int:
        """Return a size."""
        return quick if self.quick else full
