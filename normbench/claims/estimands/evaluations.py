"""curves.csv as estimands and figures read it: which of its cells they have read is known."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from normbench.analysis.tasks import Mask

StepChoice = int | Literal["first", "last", "mean"]

KEYS = ("run_id", "step")
"""Columns that every reading has."""


class Evaluations:
    """The evaluations of runs, and a note of every cell that was read of them."""

    def __init__(self, parts: Iterable[pd.DataFrame]) -> None:
        """Take the curves of a study.

        Args:
            parts: As `read_curves` yields them. Empty cells are not kept: the curves of all claims have hundreds of
                columns, and a run fills few of them.
        """
        keys: list[pd.DataFrame] = []
        cells: defaultdict[str, list[pd.Series[float]]] = defaultdict(list)
        names = list(KEYS)
        for part in parts:
            names = [str(name) for name in part]
            keys.append(part[list(KEYS)])
            for name in names:
                cells[name].append(part[name].dropna())
        self._keys = pd.concat(keys) if keys else pd.DataFrame({name: [] for name in KEYS})
        self._cells = {name: pd.concat(cells[name]) for name in names if name not in KEYS}
        self._read: list[tuple[pd.Index, Sequence[str]]] = []

    def __len__(self) -> int:
        """Return how many evaluations there are."""
        return len(self._keys)

    def of_runs(self, run_ids: Iterable[str], columns: Sequence[str]) -> pd.DataFrame:
        """Return `KEYS` and further columns at all evaluations of some runs, ordered by step.

        Args:
            run_ids: The runs; one without evaluations has no rows.
            columns: Other columns than `KEYS`.
        """
        own = self._rows(run_ids, list(dict.fromkeys((*KEYS, *columns))))
        return self._noted(own, columns).sort_values("step", kind="stable")

    def of_probe(self, run_ids: Iterable[str], column: str, step: StepChoice) -> pd.DataFrame:
        """Return `KEYS` and a probe's scalar at the evaluations of that step at which the probe looked.

        It looked where it has some scalar: this one may be undefined there.

        Args:
            run_ids: The runs; one that the probe did not look at has no rows.
            column: The scalar.
            step: A step, or the first or last look of each run; `mean` returns all looks.
        """
        if column not in self._cells:
            return pd.DataFrame({"run_id": pd.Series(dtype="str"), column: pd.Series(dtype="float64")})
        probe = column.rpartition(".")[0]
        scalars = [name for name in self._cells if name == column or name.startswith(f"{probe}.")]
        own = self._rows(run_ids, [*KEYS, *scalars])
        own = own[own[scalars].notna().any(axis=1)].sort_values("step", kind="stable")
        if isinstance(step, int):
            own = own[own["step"] == step]
        elif step != "mean":
            own = own.drop_duplicates("run_id", keep=step)
        if own[column].isna().any():
            self._noted(own[own[column].isna()], scalars)  # the others say that it looked
        return self._noted(own, [column])[[*KEYS, column]]

    def whole(self) -> pd.DataFrame:
        """Return the whole table, for a study without claims: nothing is noted."""
        return self._filled(self._keys, list(self._cells))

    def cells_read(self) -> Mapping[str, Mask]:
        """Return which rows were read of each column that was, `KEYS` left out."""
        found: dict[str, Mask] = {}
        for rows, columns in self._read:
            for name in columns:
                found.setdefault(name, np.zeros(len(self), dtype=np.bool_))[rows] = True
        return found

    def _rows(self, run_ids: Iterable[str], columns: list[str]) -> pd.DataFrame:
        return self._filled(self._keys[self._keys["run_id"].isin(list(run_ids))], columns)

    def _filled(self, keys: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        cells = {name: self._cells[name].reindex(keys.index) for name in columns if name not in KEYS}
        return pd.DataFrame({**{name: keys[name] for name in KEYS}, **cells})

    def _noted(self, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        self._read.append((rows.index, columns))
        return rows
