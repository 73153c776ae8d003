"""Pictures of what the models of a study make of test samples, a norm a column, as tables of the page."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.pictures import SideBySide, side_by_side
from normbench.record.pictures import png
from normbench.report.text import setting


@dataclass(frozen=True)
class PictureTable:
    """Pictures of the norms in one setting.

    Attributes:
        setting: The setting in words; empty if it is the only one.
        how: What the pictures show.
        heads: Names of the columns: what was given, what the data have, and each norm.
        run_ids: The run of each norm.
        rows: For each sample the pictures as data URIs.
        left_out: What is not shown, one sentence; empty if nothing.
    """

    setting: str
    how: str
    heads: tuple[str, ...]
    run_ids: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: str


def picture_tables(folder: Path, runs: pd.DataFrame) -> tuple[PictureTable, ...]:
    """Return the pictures of a study, a table for each setting; none if it has no pictures.

    Args:
        folder: The study's.
        runs: As `load_runs` returns them.

    Raises:
        StudyError: If a file is damaged.
    """
    return tuple(map(_table, side_by_side(folder, runs)))


def _table(own: SideBySide) -> PictureTable:
    columns = own.columns
    rows = tuple(tuple(map(_uri, tiles)) for tiles in zip(*columns.values(), strict=True))
    return PictureTable(setting(own.setting), own.sheets[0].how, tuple(columns), own.run_ids, rows, own.left_out)


def _uri(pixels: NDArray[np.uint8]) -> str:
    return f"data:image/png;base64,{b64encode(png(pixels)).decode()}"
