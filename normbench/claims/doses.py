"""The rows of doses.csv: the curve of a claim over the dose of which its primary contrast is one point."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from normbench.claims.contrasts import typical
from normbench.claims.designs import Design, designs
from normbench.claims.estimands.curve import curve
from normbench.claims.spec import Cell, Claim, Curve
from normbench.claims.tables import Tables

DOSE_COLUMNS = (
    "claim", "cell", "curve", "dose", "effect", "unit", "ci_low", "ci_high", "n_seeds", "n_collapsed", "primary",
    "reason",
)  # fmt: skip
"""Of doses.csv, in order. Intervals are of 95 % and unadjusted: only the primary point is judged, in verdicts.csv."""


def dose_rows(study: Path, claims: Mapping[str, Claim], tables: Tables) -> list[dict[str, object]]:
    """Return the rows of doses.csv: typical effect and unadjusted 95 % interval at each dose of each curve.

    A dose has a row per level where the estimand has levels. One that the records cannot answer has the reason; one
    with an optimum or limit at an end of the grid has it beside its effect.
    """
    return [
        row
        for cell, design in designs(study, claims)
        for one in cell.curves
        for row in curve_rows(cell, one, design, tables)
    ]


def curve_rows(cell: Cell, dose_curve: Curve, design: Design, tables: Tables) -> Iterator[dict[str, object]]:
    """Yield the rows of one curve of a cell, over the seeds that its verdict is taken over."""
    runs = tables.runs[tables.runs["run_id"].isin(design.runs)]
    seeds = design.seeds[: max((look for look in design.looks if look <= len(design.seeds)), default=None)]
    estimand = cell.estimand
    for dose in curve(estimand.name, estimand.args, dose_curve.argument, dose_curve.values, runs, tables.curves):
        row: dict[str, object] = dict.fromkeys(DOSE_COLUMNS)
        row |= {"claim": cell.claim, "cell": cell.name, "curve": dose_curve.label, "dose": dose.value}
        row |= {"unit": cell.unit, "primary": dose.primary, "reason": dose.reason}
        if dose.contrast is None:
            yield row
            continue
        row["reason"] = "; ".join(
            f"{edge.seeds} seeds are at the {edge.end} end of the grid for {edge.arm}"
            for edge in dose.contrast.open_edges
        )
        for level, numbers in typical(dose.contrast, seeds):
            yield row | {"curve": f"{dose_curve.label}, {level}" if level else dose_curve.label} | numbers
