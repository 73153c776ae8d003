"""Every arm of a design, measured as the claim measures its own: context for the few that a verdict compares."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from normbench.analysis.cells import cells
from normbench.claims.estimands import Contrast
from normbench.claims.estimands.arguments import Measure
from normbench.claims.estimands.measures import Measured
from normbench.errors import StudyError
from normbench.report.axes import telling
from normbench.report.findings import Findings

AT_EDGE = Contrast.SHARE_AT_EDGE
"""An optimum at an end of the grid is flagged if more than this share of the seeds have it there."""


@dataclass(frozen=True, eq=False)
class MeasuredDesign:
    """Every arm of a design, measured, each at its best value of the tuned key.

    Attributes:
        names: The factors that tell the arms apart.
        frame: One row an arm and seed: the factors, `value`, `lost`, `flag` and `run_id`.
        ends: For each arm, by its values, the ends of the grid at which too many seeds have their optimum.
        measure: What was measured.
        words: The same in words; empty if it applies to no arm.
        skipped: How many arms this measure does not apply to.
    """

    names: tuple[str, ...]
    frame: pd.DataFrame
    ends: dict[tuple[Any, ...], frozenset[str]]
    measure: Measure
    words: str
    skipped: int

    @classmethod
    def of(cls, found: Findings) -> "MeasuredDesign":
        """Measure the whole design as the claim's first arm is measured."""
        records, key = found.records, found.cell.over.key if found.cell.over else None
        measure = _of_design(found.arms[0].measure, key)
        tuned = measure.argument("over") or ()
        names = telling(records.runs, leave_out=tuned)
        _, arms = cells(records.runs, names)
        frames: list[pd.DataFrame] = []
        ends: dict[tuple[Any, ...], frozenset[str]] = {}
        skipped, words = 0, ""
        for values in arms.astype(object).itertuples(index=False, name=None):
            arm = {name: None if pd.isna(value) else value for name, value in zip(names, values, strict=True)}
            try:
                measured = measure(records, arm)
            except StudyError:  # the design has arms of other budgets, or without this probe, for its other contrasts
                skipped += 1
                continue
            ends[tuple(arm.values())] = _open_ends(measured)
            frames.append(_arm_frame(arm, measured))
            words = measured.words
        columns = [*names, "seed", "value", "lost", "flag", "run_id"]
        frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
        typed = {name: records.runs[name].dtype for name in names}
        return cls(tuple(names), frame.astype(typed), ends, measure, words, skipped)

    def arms(self) -> list[tuple[dict[str, Any], pd.DataFrame]]:
        """Return the config values of each arm and its rows of the frame, in the order of the frame."""
        keys = self.frame[[*self.names]].astype(object).itertuples(index=False, name=None)
        plain = [tuple(None if pd.isna(value) else value for value in values) for values in keys]
        places: dict[tuple[Any, ...], list[int]] = {}
        for place, values in enumerate(plain):
            places.setdefault(values, []).append(place)
        return [(dict(zip(self.names, values, strict=True)), self.frame.iloc[own]) for values, own in places.items()]


def _of_design(measure: Measure, key: str | None) -> Measure:
    """Return the measure that shows every arm of a design by itself: a grid is not folded, only the rate is tuned."""
    if measure.name in ("worst_case", "grid_share"):
        measure = Measure("tuned_score", {"metric": measure.argument("metric")})
    over = measure.argument("over") or ()
    return Measure(measure.name, {**measure.args, "over": tuple(name for name in over if name == key)})


def _open_ends(measured: Measured) -> frozenset[str]:
    return frozenset(edge.end for edge in measured.edges if edge.seeds > AT_EDGE * len(measured.values))


def _arm_frame(arm: dict[str, Any], measured: Measured) -> pd.DataFrame:
    ids = measured.rows.groupby("seed")["run_id"].agg(" ".join)
    own = pd.DataFrame({"value": measured.values, "lost": measured.collapsed, "run_id": ids}).rename_axis("seed")
    return own.reset_index().assign(
        flag=bool(_open_ends(measured)), **{name: [v] * len(own) for name, v in arm.items()}
    )
