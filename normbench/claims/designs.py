"""What a study keeps of a claim besides its runs: which runs belong to it, or what its check found."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from normbench.claims.spec import Claim
from normbench.errors import StudyError
from normbench.record.files import write_whole


@dataclass(frozen=True, slots=True)
class Design:
    """The expanded design of an experiment claim: a verdict uses these runs and no others.

    Attributes:
        spec_sha256: Of the claim that was expanded.
        seeds: The seeds, ascending.
        runs: Their run_ids.
        over: log2 of the ends of the tuned grid, as far as it has been extended; empty if nothing is tuned.
        quick: Whether it is a quick run, which decides nothing.
    """

    spec_sha256: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    over: tuple[float, ...] = ()
    quick: bool = False


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


def keep(study: Path, claim: str, content: Design | FixedFinding) -> None:
    """Write what is kept of a claim, replacing what was kept before.

    Raises:
        StudyError: If it cannot be written.
    """
    path = _path(study, claim)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [json.dumps(asdict(content), indent=1), "\n"])


def kept(study: Path, claim: Claim) -> Design | FixedFinding | None:
    """Return what is kept of a claim; None if it was never run.

    Raises:
        StudyError: If the file is damaged, or is for another version of the claim.
    """
    path = _path(study, claim.id)
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if claim.kind == "experiment":
            lists = {name: tuple(values[name]) for name in ("seeds", "runs", "over")}
            found: Design | FixedFinding = Design(values["spec_sha256"], **lists, quick=bool(values["quick"]))
        else:
            found = FixedFinding(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{path} is damaged ({error}); `{claim.command}` writes it again.") from error
    if found.spec_sha256 != claim.spec_sha256:
        raise StudyError(
            f"{path}: its design is for another version of the claim ({found.spec_sha256[:12]}, now "
            f"{claim.spec_sha256[:12]}); `{claim.command}` trains the missing runs."
        )
    return found


def check_catalogue(study: Path, claims: Collection[str]) -> None:
    """Check that a catalogue has every claim that was run in a study; other verdicts would be lost.

    Raises:
        StudyError: If one is unknown.
    """
    for path in sorted((study / "claims").glob("*.json")):
        if path.stem not in claims:
            raise StudyError(
                f"{path}: this catalogue lacks the claim, so its verdict would be lost; pass its --catalogue or "
                "--config-dir, or delete the file."
            )


def _path(study: Path, claim: str) -> Path:
    return study / "claims" / f"{claim}.json"
