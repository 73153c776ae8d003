"""Two studies, and all that changed from one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normbench.analysis.circumstances import MACHINE, compare_speed, compare_verdicts, compare_versions
from normbench.analysis.compare import CellChanges, compare_cells
from normbench.analysis.study import load_pair, load_provenance, load_verdicts
from normbench.errors import StudyError


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from study A to study B.

    Attributes:
        names: How A and B are called.
        cells: The effects of the cells that both have.
        verdicts: Of `compare_verdicts`.
        judged: Whether A and B have a `verdicts.csv`.
        speed: Of `compare_speed`, over the runs of the cells that both have.
        versions: Of `compare_versions`.
        unknown: Columns left out, as one study records them and the other has no plan to look them up in.
    """

    names: tuple[str, str]
    cells: CellChanges
    verdicts: pd.DataFrame
    judged: tuple[bool, bool]
    speed: pd.DataFrame
    versions: pd.DataFrame
    unknown: tuple[str, ...]

    @property
    def other_machine(self) -> list[str]:
        """What makes times of A and B incomparable."""
        return [name for name in MACHINE if name in set(self.versions["name"])]


def compare_studies(
    first: Path, second: Path, *, by: Sequence[str] | None = None, metric: str | None = None
) -> Comparison:
    """Read two studies and compare them.

    Args:
        first: Folder of A.
        second: Folder of B.
        by: What distinguishes cells; None takes every factor of both together.
        metric: What is compared; None takes the first metric on the test part.

    Raises:
        StudyError: Both are one study, or a table is missing or damaged.
        ConfigError: A column or the metric is unknown.
    """
    if first.resolve() == second.resolve():
        raise StudyError(f"{first} was given twice; name two studies to compare.")
    a, b, unknown = load_pair(first, second)
    cells = compare_cells(a, b, by=by, metric=metric)
    verdicts = load_verdicts(first), load_verdicts(second)
    provenance = load_provenance(first), load_provenance(second)
    alike = [
        records[records["run_id"].isin(runs["run_id"][shared])]
        for records, runs, shared in zip(provenance, (a, b), cells.shared, strict=True)
    ]
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    return Comparison(
        names=names,
        cells=cells,
        verdicts=compare_verdicts(*verdicts),
        judged=(len(verdicts[0]) > 0, len(verdicts[1]) > 0),
        speed=compare_speed(*alike),
        versions=compare_versions(*provenance),
        unknown=unknown,
    )
