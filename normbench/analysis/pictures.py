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
    """The pictures of the norms in one setting, all of one seed.

    Attributes:
        setting: What the runs share and others do not, by column; empty if there is only one setting.
        norms: The name of each norm.
        run_ids: The run of each.
        sheets: Its pictures; all show the same samples.
        more_norms: Norms of this setting that are not shown.
        more_settings: Of the last setting that is shown, how many come after it.
    """

    setting: dict[str, Hashable]
    norms: tuple[str, ...]
    run_ids: tuple[str, ...]
    sheets: tuple[Sheet, ...]
    more_norms: int
    more_settings: int

    @property
    def left_out(self) -> str:
        """Return what is not shown, one sentence; empty if nothing."""
        counts = ((self.more_norms, "norm", " of this setting"), (self.more_settings, "setting", ""))
        more = [f"{count} more {what}{'s' if count > 1 else ''}{where}" for count, what, where in counts if count > 0]
        return f"Not shown: {' and '.join(more)}; their pictures are in pictures/." if more else ""

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
    settings = [{str(k): v for k, v in key.items()} for key in keys.to_dict("records")]
    for number, setting in enumerate(settings[:MOST_SETTINGS]):
        shown = _of_one_seed(having[numbers == number], own)
        run_ids = tuple(shown["run_id"].astype(str))[:MOST_NORMS]
        sheets = tuple(read_pictures(pictures_path(folder, run_id)) for run_id in run_ids)
        norms = tuple(_norm(row) for row in shown[own].to_dict("records"))[:MOST_NORMS]
        left_out = len(shown) - len(run_ids), len(settings) - MOST_SETTINGS if number == MOST_SETTINGS - 1 else 0
        yield SideBySide(setting, norms, run_ids, sheets, *left_out)


def _of_one_seed(runs: pd.DataFrame, own: list[str]) -> pd.DataFrame:
    """Return a run of each norm, all of the seed that most norms have, or the lowest of several: one split."""
    runs = runs.drop_duplicates([*own, "seed"])
    counts = runs["seed"].value_counts()
    seed = min(counts[counts == counts.max()].index)
    shown: pd.DataFrame = runs[runs["seed"] == seed].sort_values(own, kind="stable")
    return shown


def _norm(row: Mapping[Hashable, object]) -> str:
    name, *more = (f"{key}={value}" if key != "norm" else str(value) for key, value in row.items() if pd.notna(value))  # type: ignore[call-overload]  # a value of a table
    return ", ".join([name, *more])
