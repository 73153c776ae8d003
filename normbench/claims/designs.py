"""What a study keeps of a claim besides its runs: which runs belong to each cell, or what its check found."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

from normbench.claims.family import SCHEDULES, TWO_LOOKS
from normbench.claims.spec import Cell, Claim
from normbench.errors import StudyError
from normbench.record.files import write_whole

FORMER_LOOKS = tuple(look.seeds for look in TWO_LOOKS)
"""Of a design that names none."""


@dataclass(frozen=True, slots=True)
class Design:
    """The expanded design of a cell: a verdict uses these runs and no others.

    Attributes:
        spec_sha256: Of the cell that was expanded.
        seeds: A block of seeds without a gap, ascending; each look takes the first of them.
        runs: Their run_ids.
        over: log2 of the ends of the tuned grid, as far as it has been extended; empty if nothing is tuned.
        quick: Whether it is a quick run, which decides nothing.
        looks: How many seeds each look takes; one of `normbench.claims.family.SCHEDULES`.
    """

    spec_sha256: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    over: tuple[float, ...] = ()
    quick: bool = False
    looks: tuple[int, ...] = FORMER_LOOKS


@dataclass(frozen=True, slots=True)
class FixedFinding:
    """What the check of a property or fact found.

    Attributes:
        spec_sha256: Of the claim that was checked.
        verdict: `supported`, `refuted` or `inconclusive`.
        outcome: What kind of result it is, such as `proved`.
        evidence: A sentence or two.
        numbers: What was computed, by name.
    """

    spec_sha256: str
    verdict: str
    outcome: str
    evidence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def keep(study: Path, subject: str, content: Design | FixedFinding) -> None:
    """Write what is kept of a cell, or of a claim without cells, replacing what was kept before.

    Args:
        study: The folder.
        subject: Id of the cell, or of the claim.
        content: What is kept.

    Raises:
        StudyError: If it cannot be written.
    """
    path = _path(study, subject)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [json.dumps(asdict(content), separators=(",", ":")), "\n"])


@overload
def kept(study: Path, subject: Cell) -> Design | None: ...
@overload
def kept(study: Path, subject: Claim) -> FixedFinding | None: ...
def kept(study: Path, subject: Cell | Claim) -> Design | FixedFinding | None:
    """Return what is kept of a cell, or of a claim without cells; None if it was never run.

    Raises:
        StudyError: If the file is damaged, or is for another version of the claim.
    """
    path = _path(study, subject.id)
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = _design(values) if isinstance(subject, Cell) else FixedFinding(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({error}); `{subject.command}` writes it again.") from error
    if found.spec_sha256 != subject.spec_sha256:
        raise StudyError(
            f"{path}: its design is for another version of the claim ({found.spec_sha256[:12]}, now "
            f"{subject.spec_sha256[:12]}); `{subject.command}` trains the missing runs."
        )
    return found


def _design(values: Mapping[str, Any]) -> Design:
    lists = {name: tuple(values[name]) for name in ("seeds", "runs", "over")}
    looks = tuple(values.get("looks", FORMER_LOOKS))
    if looks not in SCHEDULES:
        raise ValueError(f"looks: got {list(looks)}, expected one of {', '.join(str(list(own)) for own in SCHEDULES)}")
    return Design(values["spec_sha256"], **lists, quick=bool(values["quick"]), looks=looks)


def designs(study: Path, claims: Mapping[str, Claim]) -> Iterator[tuple[Cell, Design]]:
    """Yield the cells that have a design to be judged."""
    for cell in (cell for claim in claims.values() for cell in claim.cells):
        try:
            design = kept(study, cell)
        except StudyError:
            continue  # Its verdict says why.
        if design is not None and not design.quick:
            yield cell, design


def check_catalogue(study: Path, claims: Mapping[str, Claim]) -> None:
    """Check that a catalogue has every claim and cell that was run in a study; other verdicts would be lost.

    Raises:
        StudyError: If one is unknown.
    """
    known = {*claims, *(cell.id for claim in claims.values() for cell in claim.cells)}
    for path in sorted((study / "claims").glob("*.json")):
        if path.stem not in known:
            raise StudyError(
                f"{path}: this catalogue lacks the claim, so its verdict would be lost; pass its --catalogue or "
                "--config-dir, or delete the file."
            )


def _path(study: Path, subject: str) -> Path:
    return study / "claims" / f"{subject}.json"
