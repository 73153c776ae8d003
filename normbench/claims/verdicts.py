"""From the records of a study to its verdicts: nothing is trained here, and torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from normbench.analysis.folders import table_path
from normbench.analysis.study import load_curves, load_runs
from normbench.analysis.summary import csv_text
from normbench.claims.designs import Design, FixedFinding, kept
from normbench.claims.estimands import Contrast, MissingCells, evaluate
from normbench.claims.family import Form
from normbench.claims.judge import Evidence, Verdict, judge_family
from normbench.claims.signed_rank import hodges_lehmann, interval
from normbench.claims.spec import Claim, Estimand
from normbench.errors import StudyError
from normbench.record.files import write_whole

COLUMNS = (
    "claim", "kind", "verdict", "outcome", "effect", "unit", "ci_low", "ci_high", "p", "p_adjusted", "n_seeds",
    "margin", "spec_sha256", "study", "literature_verdict", "level", "n_collapsed", "collapse_low", "collapse_high",
    "seeds_needed", "cannot_exclude", "reason",
)  # fmt: skip
"""Of verdicts.csv, in order."""

CONTRAST_COLUMNS = ("claim", "contrast", "effect", "unit", "ci_low", "ci_high", "n_seeds", "n_collapsed", "reason")
"""Of contrasts.csv, the exploratory contrasts: they decide nothing, and their error rate is not controlled."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with its verdict.

    Attributes:
        claim: The claim.
        verdict: The verdict from the records.
        study: Name of the study that holds them.
    """

    claim: Claim
    verdict: Verdict
    study: str

    def row(self) -> dict[str, object]:
        """Return its row of verdicts.csv."""
        own: dict[str, object] = {name: getattr(self.verdict, name, None) for name in COLUMNS}
        return own | {
            "claim": self.claim.id,
            "kind": self.claim.kind,
            "unit": self.claim.unit,
            "margin": self.claim.margin,
            "spec_sha256": self.claim.spec_sha256,
            "study": self.study,
            "literature_verdict": self.claim.literature_verdict,
        }


@dataclass(frozen=True, eq=False)
class Tables:
    """The records of a study, as far as claims need them."""

    runs: pd.DataFrame
    curves: pd.DataFrame

    @classmethod
    def of(cls, study: Path) -> "Tables":
        """Read the tables of a study; one that has none yet has no runs.

        Raises:
            StudyError: If they are damaged; the message names file and line.
        """
        if not table_path(study, "runs.csv").exists():
            return cls(pd.DataFrame({"run_id": []}), pd.DataFrame({"run_id": []}))
        return cls(load_runs(study), load_curves(study))


def judge_study(
    study: Path, claims: Mapping[str, Claim], tables: Tables | None = None, *, strict: bool = True
) -> list[Judged]:
    """Judge every claim of a catalogue by the records of a study.

    Args:
        study: The folder.
        claims: The whole catalogue: its experiment claims are the family that p-values are adjusted for.
        tables: The records, where they have been read already.
        strict: Whether a design that is damaged or for another version of its claim is an error; otherwise its claim
            counts as not run, for that reason.

    Returns:
        One verdict per claim, in the order of the catalogue.

    Raises:
        StudyError: If a table is damaged, or a design and `strict`.
    """
    tables = tables or Tables.of(study)
    experiments = [claim for claim in claims.values() if claim.kind == "experiment"]
    found = {claim.id: _found(study, claim, tables, strict=strict) for claim in experiments}
    judged = dict(zip(found, judge_family([evidence for evidence, _ in found.values()]), strict=True))
    verdicts = {
        name: Verdict(name, "not_run", "not run", reason=found[name][1]) if found[name][1] else verdict
        for name, verdict in judged.items()
    }
    return [
        Judged(claim, verdicts.get(claim.id) or _computed(study, claim, strict=strict), study.name)
        for claim in claims.values()
    ]


def _found(study: Path, claim: Claim, tables: Tables, *, strict: bool) -> tuple[Evidence, str]:
    try:
        design = kept(study, claim)
    except StudyError as error:
        if strict:
            raise
        return evidence_of(claim, None, tables)[0], str(error)
    return evidence_of(claim, design, tables)


def evidence_of(claim: Claim, design: Design | FixedFinding | None, tables: Tables) -> tuple[Evidence, str]:
    """Return the evidence on an experiment claim, and the reason if there is none.

    Args:
        claim: The claim.
        design: Its expanded design; None if it was never run.
        tables: The records.
    """
    assert claim.estimand is not None and claim.margin is not None
    nothing = Evidence(claim.id, _form(claim), claim.margin, unit=claim.unit)
    command = f"`{claim.command}` trains what is missing"
    if not isinstance(design, Design):
        return nothing, f"it was not run, or its run did not end; {command}"
    if design.quick:
        return nothing, f"a quick run decides nothing; {command}"
    try:
        contrast = contrast_of(claim.estimand, design, tables)
    except MissingCells as error:
        whole = set(design.runs) <= set(tables.runs["run_id"][tables.runs["status"] != "failed"])
        return nothing, f"{error}; its design does not contain such runs" if whole else f"{error}; {command}"
    except StudyError as error:
        return nothing, f"its runs cannot be judged: {error}"
    values = contrast.values.to_numpy(dtype=np.float64)
    levels = tuple(map(str, contrast.values.columns)) if isinstance(contrast.values, pd.DataFrame) else ()
    evidence = Evidence(
        claim.id,
        _form(claim),
        claim.margin,
        values=np.asarray(values, dtype=np.float64),
        levels=levels,
        collapsed=contrast.collapsed.to_numpy(dtype=np.bool_),
        at_edge=any(edge.trains or _can_grow(claim, design) for edge in contrast.open_edges),
        unit=claim.unit,
        remark="; ".join(
            f"{edge.seeds} seeds choose the {edge.end} end of the grid for {edge.arm}, where they do not train"
            for edge in contrast.open_edges
            if not edge.trains
        ),
    )
    return evidence, ""


def _can_grow(claim: Claim, design: Design) -> bool:
    """Return whether the tuned grid of a design may still be made longer."""
    if claim.over is None or not design.over:
        return False
    grid = replace(claim.over, lowest=design.over[0], highest=design.over[1])
    return grid.extended("low") is not None


def contrast_of(estimand: Estimand, design: Design, tables: Tables) -> Contrast:
    """Return an estimand computed from the runs of a design only.

    Raises:
        MissingCells: Runs of the design have no record, or failed.
        StudyError: The records cannot answer.
    """
    runs = tables.runs[tables.runs["run_id"].isin(design.runs)]
    if len(runs) < len(design.runs):
        lacking = sorted(set(design.runs) - set(runs["run_id"]))
        raise MissingCells([f"{len(lacking)} of {len(design.runs)} runs, the first {lacking[0]}"])
    return evaluate(estimand.name, estimand.args, runs, tables.curves)


def contrast_rows(study: Path, claims: Mapping[str, Claim], tables: Tables) -> list[dict[str, object]]:
    """Return the rows of contrasts.csv: typical effect and unadjusted 95 % interval of each exploratory contrast."""
    rows: list[dict[str, object]] = []
    for claim in claims.values():
        try:
            design = kept(study, claim) if claim.kind == "experiment" else None
        except StudyError:
            continue  # Its verdict says why.
        if not isinstance(design, Design) or design.quick:
            continue
        for extra in claim.exploratory:
            row: dict[str, object] = dict.fromkeys(CONTRAST_COLUMNS)
            row |= {"claim": claim.id, "contrast": extra.label, "unit": extra.unit}
            try:
                contrast = contrast_of(extra.estimand, design, tables)
            except StudyError as error:
                rows.append(row | {"reason": str(error)})
                continue
            values = np.atleast_2d(contrast.values.to_numpy(dtype=np.float64).T)
            names = contrast.values.columns if isinstance(contrast.values, pd.DataFrame) else [""]
            for name, own in zip(names, values, strict=True):
                low, high = interval(own)
                label = f"{extra.label}, {name}" if name else extra.label
                numbers = {"effect": float(hodges_lehmann(own)), "ci_low": float(low), "ci_high": float(high)}
                counts = {"n_seeds": len(own), "n_collapsed": int(contrast.collapsed.sum())}
                rows.append(row | {"contrast": label} | numbers | counts)
    return rows


def write_verdicts(study: Path, judged: list[Judged], contrasts: list[dict[str, object]]) -> None:
    """Write verdicts.csv and contrasts.csv of a study.

    Raises:
        StudyError: If a file cannot be written.
    """
    for name, columns, rows in (
        ("verdicts.csv", COLUMNS, [one.row() for one in judged]),
        ("contrasts.csv", CONTRAST_COLUMNS, contrasts),
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
    if not isinstance(found, FixedFinding):
        reason = f"it was never checked; `{claim.command}` checks it"
        return Verdict(claim.id, "not_run", "not run", reason=reason)
    assert found.verdict in ("supported", "refuted", "inconclusive")
    return Verdict(claim.id, found.verdict, found.outcome, reason=found.evidence)  # type: ignore[arg-type]  # see above


def _form(claim: Claim) -> Form:
    assert claim.form in ("greater", "equivalent")
    return cast(Form, claim.form)
