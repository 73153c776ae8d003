"""From the records of a study to its verdicts: nothing is trained here, and torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from normbench.analysis.summary import csv_text
from normbench.claims.combining import combine
from normbench.claims.contrasts import CONTRAST_COLUMNS
from normbench.claims.designs import Design, kept
from normbench.claims.doses import DOSE_COLUMNS
from normbench.claims.estimands import MissingCells
from normbench.claims.evidence import Evidence, Verdict
from normbench.claims.family import SCHEDULES, Form
from normbench.claims.judge import judge_family
from normbench.claims.ledger import seen_before
from normbench.claims.manipulation import check_manipulation
from normbench.claims.spec import Cell, Claim
from normbench.claims.tables import Tables, contrast_of
from normbench.errors import StudyError
from normbench.record.files import write_whole

COLUMNS = (
    "claim", "kind", "verdict", "outcome", "effect", "unit", "ci_low", "ci_high", "p", "p_adjusted", "n_seeds",
    "margin", "spec_sha256", "study", "literature_verdict", "level", "n_collapsed", "collapse_low", "collapse_high",
    "seeds_needed", "cannot_exclude", "reason", "cell",
)  # fmt: skip
"""Of verdicts.csv, in order."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict: on a cell, or on a claim as a whole.

    Attributes:
        claim: The claim.
        verdict: The verdict from the records.
        study: Name of the study that holds them.
        cell: The cell; None for a claim as a whole, if its cells have names or it has none.
    """

    claim: Claim
    verdict: Verdict
    study: str
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """The name of the cell; empty for the claim as a whole."""
        return self.cell.name if self.cell else ""

    def row(self) -> dict[str, object]:
        """Return its row of verdicts.csv."""
        own: dict[str, object] = {name: getattr(self.verdict, name, None) for name in COLUMNS}
        if self.claim.has_named_cells and self.cell is None:
            own["n_seeds"] = None
        return own | {
            "claim": self.claim.id,
            "kind": self.claim.kind,
            "unit": self.cell.unit if self.cell else "",
            "margin": self.cell.margin if self.cell else None,
            "spec_sha256": (self.cell or self.claim).spec_sha256,
            "study": self.study,
            "literature_verdict": self.claim.literature_verdict,
            "cell": self.name,
        }


def judge_study(
    study: Path, claims: Mapping[str, Claim], tables: Tables | None = None, *, strict: bool = True
) -> list[Judged]:
    """Judge every claim of a catalogue by the records of a study.

    Args:
        study: The folder.
        claims: The whole catalogue: all cells of its experiment claims are the family that p-values are adjusted for.
        tables: The records, where they have been read already.
        strict: Whether a design that is damaged or for another version of its claim is an error; otherwise its cell
            counts as not run, for that reason.

    Returns:
        One verdict per claim, in the order of the catalogue; one with named cells is followed by the verdicts on them.

    Raises:
        StudyError: If a table is damaged, or a design and `strict`.
    """
    tables = tables or Tables.of(study)
    cells = [cell for claim in claims.values() for cell in claim.cells]
    found = {cell.id: _found(study, cell, tables, strict=strict) for cell in cells}
    judged = dict(zip(found, judge_family([evidence for evidence, _ in found.values()]), strict=True))
    verdicts = {
        name: Verdict(name, "not_run", "not run", reason=found[name][1]) if found[name][1] else verdict
        for name, verdict in judged.items()
    }
    return [
        one
        for claim in claims.values()
        for one in (
            _of_cells(claim, verdicts, study.name)
            if claim.cells
            else [Judged(claim, _computed(study, claim, strict=strict), study.name)]
        )
    ]


def _of_cells(claim: Claim, verdicts: Mapping[str, Verdict], study: str) -> list[Judged]:
    own = [Judged(claim, verdicts[cell.id], study, cell) for cell in claim.cells]
    if not claim.has_named_cells:
        return own
    return [Judged(claim, combine(claim.id, {one.name: one.verdict for one in own}), study), *own]


def _found(study: Path, cell: Cell, tables: Tables, *, strict: bool) -> tuple[Evidence, str]:
    try:
        design = kept(study, cell)
    except StudyError as error:
        if strict:
            raise
        return evidence_of(cell, None, tables)[0], str(error)
    return evidence_of(cell, design, tables)


def evidence_of(cell: Cell, design: Design | None, tables: Tables) -> tuple[Evidence, str]:
    """Return the evidence on a cell, and the reason if there is none.

    Args:
        cell: The cell.
        design: Its expanded design; None if it was never run.
        tables: The records.
    """
    nothing = Evidence(cell.id, _form(cell), cell.margin, unit=cell.unit)
    command = f"`{cell.command}` trains what is missing"
    if design is None:
        return nothing, f"it was not run, or its run did not end; {command}"
    if design.quick:
        return nothing, f"a quick run decides nothing; {command}"
    try:
        contrast = contrast_of(cell.estimand, design, tables)
        moved = contrast_of(cell.manipulation.estimand, design, tables) if cell.manipulation else None
    except MissingCells as error:
        whole = set(design.runs) <= set(tables.runs["run_id"][tables.runs["status"] != "failed"])
        return nothing, f"{error}; its design does not contain such runs" if whole else f"{error}; {command}"
    except StudyError as error:
        return nothing, f"its runs cannot be judged: {error}"
    values = contrast.values.to_numpy(dtype=np.float64)
    levels = tuple(map(str, contrast.values.columns)) if isinstance(contrast.values, pd.DataFrame) else ()
    evidence = Evidence(
        cell.id,
        _form(cell),
        cell.margin,
        values=np.asarray(values, dtype=np.float64),
        levels=levels,
        collapsed=contrast.collapsed.to_numpy(dtype=np.bool_),
        at_edge=any(edge.trains or _can_grow(cell, design) for edge in contrast.open_edges),
        unit=cell.unit,
        remark="; ".join(
            f"{edge.seeds} seeds choose the {edge.end} end of the grid for {edge.arm}, where they do not train"
            for edge in contrast.open_edges
            if not edge.trains
        ),
        looks=SCHEDULES[design.looks],
        room=contrast.room,
        exploratory=_exploratory(cell, design),
    )
    if cell.manipulation is None or moved is None:
        return evidence, ""
    checked = check_manipulation(moved, cell.manipulation.margin, design.seeds[: evidence.n_judged])
    words = checked.words(cell.manipulation.label, cell.manipulation.unit)
    if not checked.shown:
        return replace(evidence, manipulation=words), ""
    return replace(evidence, remark="; ".join(filter(None, (evidence.remark, words)))), ""


def _exploratory(cell: Cell, design: Design) -> str | None:
    """Return why the seeds of a design may have been seen before it was made; None if the ledger shows otherwise."""
    entry = cell.registered
    if entry is None:
        return "the ledger has no row for this design"
    if design.looks != entry.looks or design.seeds[0] != entry.first_seed or design.seeds[-1] >= entry.end:
        return f"the ledger has seeds {entry.first_seed} to {entry.end - 1} for it, and others were trained"
    if earlier := seen_before(cell.history):
        return (
            f"it was redesigned on {entry.date} ({entry.reason}) after seeds {earlier.first_seed} to "
            f"{earlier.end - 1} had been seen"
        )
    return None


def _can_grow(cell: Cell, design: Design) -> bool:
    """Return whether the tuned grid of a design may still be made longer."""
    if cell.over is None or not design.over:
        return False
    grid = replace(cell.over, lowest=design.over[0], highest=design.over[1])
    return grid.extended("low") is not None


def write_verdicts(
    study: Path, judged: list[Judged], contrasts: list[dict[str, object]], doses: list[dict[str, object]]
) -> None:
    """Write verdicts.csv, contrasts.csv and doses.csv of a study.

    Raises:
        StudyError: If a file cannot be written.
    """
    for name, columns, rows in (
        ("verdicts.csv", COLUMNS, [one.row() for one in judged]),
        ("contrasts.csv", CONTRAST_COLUMNS, contrasts),
        ("doses.csv", DOSE_COLUMNS, doses),
    ):
        whole = ("n_seeds", "n_collapsed", "seeds_needed")
        table = pd.DataFrame(rows, columns=list(columns))
        table = table.astype({column: "Int64" for column in whole if column in table})
        write_whole(study / name, [csv_text(table)])


def _computed(study: Path, claim: Claim, *, strict: bool) -> Verdict:
    """Return the verdict of a claim that is not an experiment."""
    if claim.kind == "literature":
        return Verdict(claim.id, "not_run", "literature", reason="normbench cannot run this one yet")
    try:
        found = kept(study, claim)
    except StudyError as error:
        if strict:
            raise
        return Verdict(claim.id, "not_run", "not run", reason=str(error))
    if found is None:
        reason = f"it was never checked; `{claim.command}` checks it"
        return Verdict(claim.id, "not_run", "not run", reason=reason)
    assert found.verdict in ("supported", "refuted", "inconclusive")
    return Verdict(claim.id, found.verdict, found.outcome, reason=found.evidence)  # type: ignore[arg-type]  # see above


def _form(cell: Cell) -> Form:
    assert cell.form in ("greater", "equivalent")
    return cast(Form, cell.form)
