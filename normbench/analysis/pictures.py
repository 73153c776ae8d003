"""Which pictures of a study stand side by side: the norms of one setting, on the same samples."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.cells import cells, factors
from normbench.record.pictures import Sheet, pictures_path, read_pictures

MOST_SETTINGS, MOST_NORMS = 12, 8
"""Settings and norms that are shown."""


@dataclass(frozen=True, eq=False)
class SideBySide:
    """The pictures of the norms in one setting, each from the run of the first seed.

    Attributes:
        setting: What the runs share and others do not, by column; empty if there is only one setting.
        norms: The name of each norm.
        run_ids: The run of each.
        sheets: Its pictures; all show the same samples.
    """

    setting: dict[str, Hashable]
    norms: tuple[str, ...]
    run_ids: tuple[str, ...]
    sheets: tuple[Sheet, ...]

    @property
    def columns(self) -> dict[str, NDArray[np.uint8]]:
        """What the models were given, what the data have, and what each norm's model made, (S, H, W, 3), by heading."""
        first = self.sheets[0]
        made = {norm: sheet.column("made") for norm, sheet in zip(self.norms, self.sheets, strict=True)}
        return {"given": first.column("given"), "in the data": first.column("wanted"), **made}


def side_by_side(folder: Path, runs: pd.DataFrame) -> Iterator[SideBySide]:
    """Yield the pictures of a study, one setting after the other; nothing if it has none.

    Args:
        folder: The study's.
        runs: As `load_runs` returns them.

    Raises:
        StudyError: If a file is damaged.
    """
    if not (folder / "pictures").is_dir():
        return
    having = runs[[pictures_path(folder, str(run_id)).exists() for run_id in runs["run_id"]]]
    if having.empty:
        return
    own = ["norm", *(name for name in factors(having) if name.startswith("norm."))]
    apart = [name for name in factors(having) if name not in own]
    numbers, keys = cells(having, apart)
    for number, key in list(enumerate(keys.to_dict("records")))[:MOST_SETTINGS]:
        first = having[numbers == number].sort_values("seed", kind="stable").drop_duplicates(own)
        first = first.sort_values(own, kind="stable")[:MOST_NORMS]
        sheets = tuple(read_pictures(pictures_path(folder, str(run_id))) for run_id in first["run_id"])
        names = tuple(_norm(row) for row in first[own].to_dict("records"))
        yield SideBySide({str(k): v for k, v in key.items()}, names, tuple(first["run_id"].astype(str)), sheets)


def _norm(row: Mapping[Hashable, object]) -> str:
    name, *more = (f"{key}={value}" if key != "norm" else str(value) for key, value in row.items() if pd.notna(value))  # type: ignore[call-overload]  # a value of a table
    return ", ".join([name, *more])
