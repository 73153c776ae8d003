"""What the trained models of a study write, as tables of the page."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normbench.record.texts import Texts, read_texts, texts_path
from normbench.report.text import setting

MOST_RUNS = 20
"""Runs whose texts are shown."""


@dataclass(frozen=True)
class WrittenTexts:
    """The texts of some runs.

    Attributes:
        runs: run_id, settings in words, and texts of each run that is shown.
        left_out: Number of runs whose texts are not shown.
    """

    runs: tuple[tuple[str, str, Texts], ...]
    left_out: int


def written_texts(folder: Path, runs: pd.DataFrame) -> WrittenTexts:
    """Return the texts of a study's runs, as far as there are any.

    Args:
        folder: The study's.
        runs: As `load_runs` returns them.

    Raises:
        StudyError: If a file is damaged.
    """
    if not (folder / "texts").is_dir():
        return WrittenTexts((), 0)
    having = [row for row in runs.to_dict("records") if texts_path(folder, row["run_id"]).exists()]
    shown = tuple(
        (
            str(row["run_id"]),
            setting({name: row[name] for name in ("model", "norm", "batch_size", "lr", "seed")}),
            read_texts(texts_path(folder, row["run_id"])),
        )
        for row in having[:MOST_RUNS]
    )
    return WrittenTexts(shown, len(having) - len(shown))
