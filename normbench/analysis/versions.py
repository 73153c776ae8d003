"""Notes on parts that have several versions among the runs."""

import pandas as pd

from normbench.record.versions import VERSION


def version_notes(runs: pd.DataFrame) -> list[str]:
    """Return one sentence per part that has several versions under one name with equal settings.

    Args:
        runs: One row per run, as `load_runs` returns them.
    """
    notes = []
    for column in (name for name in runs.columns if name.endswith(f".{VERSION}")):
        group = column.partition(".")[0]
        settings = [name for name in runs.columns if name.startswith(f"{group}.") and name != column]
        counts = runs.fillna({column: ""}).groupby([group, *settings], dropna=False)[column].nunique()
        versions = counts.groupby(level=0).max()
        notes += [
            f"{group}={name} was edited between two commands: {count} versions, distinguished by the column {column}."
            for name, count in versions.items()
            if count > 1
        ]
    return notes
