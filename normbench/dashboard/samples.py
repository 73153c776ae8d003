"""Pictures of what the models of a study make of test samples, a norm a column, a figure for each setting."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from normbench.analysis.pictures import SideBySide, side_by_side
from normbench.dashboard.figures import Picture, as_picture
from normbench.dashboard.naming import names

_TILE, _DOTS = 1.5, 160
"""Inches of a picture, and dots per inch."""


def samples(folder: Path, runs: pd.DataFrame) -> Iterator[Picture]:
    """Yield a figure for each setting of a study, as far as its runs saved pictures.

    Args:
        folder: The study's.
        runs: Its runs, and perhaps those of others.

    Raises:
        StudyError: If a file is damaged.
    """
    tables = list(side_by_side(folder, runs))
    settings = names(pd.DataFrame([table.setting for table in tables]), "samples") if tables else []
    several = runs["study"].nunique() > 1
    for table, name in zip(tables, settings, strict=True):
        tag = f"samples/{folder.name}/{name}" if several else f"samples/{name}"
        yield as_picture(tag, _draw(table), list(filter(None, (table.sheets[0].how, table.left_out))))


def _draw(table: SideBySide) -> Figure:
    columns = table.columns
    rows = len(table.sheets[0].tiles)
    with rc_context({"text.parse_math": False, "font.size": 9}):
        figure = Figure(figsize=(_TILE * len(columns), _TILE * rows + 0.3), dpi=_DOTS, layout="constrained")
        grid = figure.subplots(rows, len(columns), squeeze=False)
        for place, (head, tiles) in enumerate(columns.items()):
            grid[0, place].set_title(head)
            for ax, tile in zip(grid[:, place], tiles, strict=True):
                ax.imshow(tile, interpolation="nearest")
                ax.axis("off")
    return figure
