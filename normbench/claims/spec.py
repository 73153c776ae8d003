"""A claim as data: its statement, its test, and what would decide it."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMS = ("greater", "equivalent")
KINDS = ("experiment", "property", "fact", "literature")
VERDICTS = ("supported", "refuted", "inconclusive", "not_run")  # in the order in which they are shown
LITERATURE_VERDICTS = ("supported", "refuted", "mixed", "open")

_JUDGED = ("kind", "statement", "design", "over", "estimand", "form", "margin", "unit", "scope", "check")


@dataclass(frozen=True, slots=True)
class Source:
    """What a publication reports: where, the figures, and what they say of the claim."""

    source: str
    figures: str
    says: str


@dataclass(frozen=True, slots=True)
class Over:
    """The grid that every arm is tuned on: powers of two, evenly spaced.

    Attributes:
        key: The config key.
        lowest: log2 of the smallest value, a multiple of a half.
        highest: log2 of the largest.
        step: Octaves from one value to the next.
        extend: Octaves that an extension adds at one end; 0 for a grid that stays.
        span: Octaves that the grid may come to span.
    """

    key: str
    lowest: float
    highest: float
    step: float
    extend: float = 2.0
    span: float = 16.0

    def values(self) -> tuple[float, ...]:
        """Return the grid, ascending; the same floats on every machine."""
        count = round((self.highest - self.lowest) / self.step)
        return tuple(power_of_two(self.lowest + place * self.step) for place in range(count + 1))

    def extended(self, end: str) -> "Over | None":
        """Return the grid made longer at one end, or None if it may grow no further.

        Args:
            end: ``low`` or ``high``.
        """
        room = min(self.extend, self.span - (self.highest - self.lowest))
        room = math.floor(room / self.step) * self.step
        if room <= 0:
            return None
        low, high = (self.lowest - room, self.highest) if end == "low" else (self.lowest, self.highest + room)
        return Over(self.key, low, high, self.step, self.extend, self.span)


@dataclass(frozen=True, slots=True)
class Estimand:
    """A name in `normbench.claims.estimands.REGISTRY` and its arguments, as the YAML has them."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Exploratory:
    """A contrast shown in addition to the primary one; it decides nothing."""

    label: str
    estimand: Estimand
    unit: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim.

    Attributes:
        id: Name of its file.
        kind: One of `KINDS`.
        statement: What is claimed, in the project's own words.
        literature: The best published evidence.
        literature_verdict: One of `LITERATURE_VERDICTS`.
        scope: What the verdict is about: nets, data, budgets.
        caveat: What to keep in mind with the verdict.
        contradicts: Claims to be shown side by side with this one.
        design: Sweeps, each a tuple of Hydra overrides without the seed and, unless it sets that key, the tuned grid.
        over: The tuned grid; None if nothing is tuned.
        estimand: The primary contrast.
        form: One of `FORMS`.
        margin: Smallest effect worth caring about, in `unit`.
        unit: What the effect is measured in.
        exploratory: Further contrasts of the same runs.
        check: Name of the check of a property or fact.
        catalogue: The family that it is judged in; empty for the main one.
    """

    id: str
    kind: str
    statement: str
    literature: tuple[Source, ...]
    literature_verdict: str
    scope: str
    caveat: str = ""
    contradicts: tuple[str, ...] = ()
    design: tuple[tuple[str, ...], ...] = ()
    over: Over | None = None
    estimand: Estimand | None = None
    form: str = ""
    margin: float | None = None
    unit: str = ""
    exploratory: tuple[Exploratory, ...] = ()
    check: str = ""
    catalogue: str = ""

    @property
    def command(self) -> str:
        """Return the command that trains what the claim lacks, and judges it."""
        catalogue = f"--catalogue {self.catalogue} " if self.catalogue else ""
        place = " data.root=FOLDER" if any("data=image_folder" in sweep for sweep in self.design) else ""
        return f"normbench claims run {catalogue}{self.id}{place}"

    @property
    def spec_sha256(self) -> str:
        """Return the SHA-256 of the judged part: all but caveat, literature, exploratory rows and cross-references."""
        judged = {name: value for name, value in asdict(self).items() if name in _JUDGED}
        text = json.dumps({"id": self.id, **judged}, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def sweeps(self, seeds: Iterable[int], over: Over | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the overrides of every sweep of the design, as `normbench train -m` takes them.

        Args:
            seeds: The seeds to train.
            over: The tuned grid if it has been extended; None takes the claim's own.
        """
        grid = over or self.over
        seed = f"seed={','.join(map(str, seeds))}"
        return tuple((*sweep, *_grid(sweep, grid), seed) for sweep in self.design)


def power_of_two(octave: float) -> float:
    """Return ``2 ** octave`` for a multiple of a half, correctly rounded: the same float on every machine."""
    whole = math.floor(octave)
    return math.ldexp(math.sqrt(2) if octave > whole else 1.0, whole)


def _grid(sweep: tuple[str, ...], over: Over | None) -> tuple[str, ...]:
    if over is None or any(override.startswith(f"{over.key}=") for override in sweep):
        return ()
    return (f"{over.key}={','.join(map(repr, over.values()))}",)
