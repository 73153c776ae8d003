"""A claim as data: its statement, the cells that it is asked in, and what would decide each."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normbench.claims.ledger import Entry

FORMS = ("greater", "equivalent")
KINDS = ("experiment", "property", "fact", "literature")
VERDICTS = ("supported", "refuted", "depends", "inconclusive", "not_run")  # in the order in which they are shown
LITERATURE_VERDICTS = ("supported", "refuted", "mixed", "open")

_JUDGED = ("statement", "design", "over", "estimand", "form", "margin", "unit", "scope")


@dataclass(frozen=True, slots=True)
class Source:
    """What a publication reports: where, what it says of the claim, and the figures if it has any."""

    source: str
    says: str
    figures: str = ""


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
class Curve:
    """Dose and response: an estimand at several values of one of its arguments; a figure that decides nothing.

    Attributes:
        label: What the dose is.
        argument: The keys on the way to it in the estimand's arguments; whole numbers are places in a list.
        values: The doses, that of the primary contrast among them.
    """

    label: str
    argument: tuple[str | int, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Manipulation:
    """What a design has to have moved for its effect to say anything of a mechanism; judged as `greater`."""

    label: str
    estimand: Estimand
    margin: float
    unit: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A claim asked of one data set and architecture: the unit that is trained and judged.

    Attributes:
        claim: Id of the claim.
        name: Of the data set and architecture; empty for the only cell of a claim without named ones.
        statement: The claim's.
        scope: What the verdict is about: net, data, budget.
        design: Sweeps, each a tuple of Hydra overrides without the seed and, unless it sets that key, the tuned grid.
        over: The tuned grid; None if nothing is tuned.
        estimand: The primary contrast.
        form: One of `FORMS`.
        margin: Smallest effect worth caring about, in `unit`.
        unit: What the effect is measured in.
        exploratory: Further contrasts of the same runs.
        curves: The primary contrast at several doses.
        manipulation: What must be shown besides; None if nothing is.
        catalogue: The claim's.
        history: The designs of it that the ledger has, the earliest first.
    """

    claim: str
    name: str
    statement: str
    scope: str
    design: tuple[tuple[str, ...], ...]
    over: Over | None
    estimand: Estimand
    form: str
    margin: float
    unit: str
    exploratory: tuple[Exploratory, ...] = ()
    curves: tuple[Curve, ...] = ()
    manipulation: Manipulation | None = None
    catalogue: str = ""
    history: tuple[Entry, ...] = ()

    @property
    def registered(self) -> Entry | None:
        """Return the row of the ledger for this design; None if it has none."""
        if not self.history or self.history[-1].spec_sha256 != self.spec_sha256:
            return None
        return self.history[-1]

    @property
    def id(self) -> str:
        """Return what names the cell in messages and files: the claim, and the cell if it has a name."""
        return f"{self.claim}.{self.name}" if self.name else self.claim

    @property
    def command(self) -> str:
        """Return the command that trains what the claim lacks, and judges it."""
        return _command(self.catalogue, self.claim, self.design)

    @property
    def spec_sha256(self) -> str:
        """Return the SHA-256 of the judged part: all but the name, exploratory rows and curves."""
        judged = {name: value for name, value in asdict(self).items() if name in _JUDGED}
        if self.manipulation is not None:
            judged["manipulation"] = asdict(self.manipulation)
        return _sha256({"id": self.claim, "kind": "experiment", "check": "", **judged})

    def sweeps(self, seeds: Iterable[int], over: Over | None = None) -> tuple[tuple[str, ...], ...]:
        """Return the overrides of every sweep of the design, as `normbench train -m` takes them.

        Args:
            seeds: The seeds to train.
            over: The tuned grid if it has been extended; None takes the cell's own.
        """
        grid = over or self.over
        seed = f"seed={','.join(map(str, seeds))}"
        return tuple((*sweep, *_grid(sweep, grid), seed) for sweep in self.design)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim.

    Attributes:
        id: Name of its file.
        kind: One of `KINDS`.
        statement: What is claimed, in the project's own words.
        literature: The best published evidence.
        literature_verdict: One of `LITERATURE_VERDICTS`.
        scope: What the verdict is about; empty if each cell says it for itself.
        caveat: What to keep in mind with the verdict.
        contradicts: Claims to be shown side by side with this one.
        assertions: Numbers of the sentences in `conf/assertions.yaml` that it examines.
        cells: Of an experiment: where it is asked.
        check: Name of the check of a property or fact.
        catalogue: The family that it is judged in; empty for the main one.
        folder: The `conf/claim` folder of its file, which also has the ledger.
        history: All designs of it that the ledger has, those of former cells too.
    """

    id: str
    kind: str
    statement: str
    literature: tuple[Source, ...]
    literature_verdict: str
    scope: str
    caveat: str = ""
    contradicts: tuple[str, ...] = ()
    assertions: tuple[int, ...] = ()
    cells: tuple[Cell, ...] = ()
    check: str = ""
    catalogue: str = ""
    folder: Path | None = None
    history: tuple[Entry, ...] = ()

    @property
    def has_named_cells(self) -> bool:
        """Whether it is asked in cells that have names, each with a verdict beside the claim's own."""
        return any(cell.name for cell in self.cells)

    @property
    def command(self) -> str:
        """Return the command that trains what the claim lacks, and judges it."""
        return _command(self.catalogue, self.id, [sweep for cell in self.cells for sweep in cell.design])

    @property
    def spec_sha256(self) -> str:
        """Return the SHA-256 of the judged part: that of its only cell, or over names and hashes of its cells."""
        if self.has_named_cells:
            return _sha256(sorted((cell.name, cell.spec_sha256) for cell in self.cells))
        if self.cells:
            return self.cells[0].spec_sha256
        own = {"id": self.id, "kind": self.kind, "statement": self.statement, "scope": self.scope, "check": self.check}
        return _sha256({**own, "design": (), "over": None, "estimand": None, "form": "", "margin": None, "unit": ""})


def power_of_two(octave: float) -> float:
    """Return ``2 ** octave`` for a multiple of a half, correctly rounded: the same float on every machine."""
    whole = math.floor(octave)
    return math.ldexp(math.sqrt(2) if octave > whole else 1.0, whole)


def _grid(sweep: tuple[str, ...], over: Over | None) -> tuple[str, ...]:
    if over is None or any(override.startswith(f"{over.key}=") for override in sweep):
        return ()
    return (f"{over.key}={','.join(map(repr, over.values()))}",)


def _command(catalogue: str, claim: str, design: Iterable[tuple[str, ...]]) -> str:
    option = f"--catalogue {catalogue} " if catalogue else ""
    place = " data.root=FOLDER" if any("data=image_folder" in sweep for sweep in design) else ""
    return f"normbench claims run {option}{claim}{place}"


def _sha256(judged: object) -> str:
    text = json.dumps(judged, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
