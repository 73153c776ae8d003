"""What else changed between two studies: verdicts, speed, and what the runs ran on."""

import numpy as np
import pandas as pd

VERSIONS = (
    "normbench", "git_commit", "git_dirty", "git_diff", "python", "torch", "torchvision", "numpy", "scikit_learn",
    "hydra_core", "platform", "compiler", "device", "device_name", "threads",
)  # fmt: skip
"""Columns of provenance.csv that may explain a difference."""

MACHINE = ("device", "device_name", "threads", "platform")
"""Columns that make times incomparable; versions only explain a difference."""

_KEPT = ("kind", "verdict", "outcome", "effect", "unit", "ci_low", "ci_high", "n_seeds", "spec_sha256")


def compare_verdicts(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return one row per claim or named cell that either study has: its verdict in A and in B.

    Args:
        first: `verdicts.csv` of A.
        second: That of B.

    Returns:
        `claim`, for a cell with its name after a dot; the verdict's columns ending in `_a` and `_b`, missing if a study
        lacks the claim; `same_spec`, whether both judged the same version of it, missing if that is not known;
        `changed`, whether the verdicts differ.
    """
    a, b = (table.set_index(_names(table))[list(_KEPT)] for table in (first, second))
    order = list(dict.fromkeys([*a.index, *b.index]))
    rows = pd.concat([a.add_suffix("_a").reindex(order), b.add_suffix("_b").reindex(order)], axis=1)
    both = rows["verdict_a"].notna() & rows["verdict_b"].notna()
    told = rows["spec_sha256_a"].notna() & rows["spec_sha256_b"].notna()
    same = (rows["spec_sha256_a"] == rows["spec_sha256_b"]).fillna(False).astype("boolean").where(both & told)
    changed = (rows["verdict_a"] != rows["verdict_b"]) & both
    return rows.assign(same_spec=same, changed=changed.astype(bool)).rename_axis("claim").reset_index()


def _names(table: pd.DataFrame) -> "pd.Series[str]":
    """Return the claim of each row, with its cell if it has a name; tables of earlier versions have no cells."""
    if "cell" not in table:
        return table["claim"]
    return table["claim"] + table["cell"].map(".{}".format, na_action="ignore").fillna("")


def compare_speed(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the time per run, one row per mode, and one for all modes if there are several.

    Args:
        first: `provenance.csv` of the runs of A in cells that B also has.
        second: The same of B.

    Returns:
        `mode`, `runs_a`, `runs_b`, the medians `seconds_a` and `seconds_b` (a pack's time divided by its runs), and
        `ratio`, B to A.
    """
    times = [
        table.assign(seconds=table["wall_time_s"] / table["pack_size"].astype("float64")) for table in (first, second)
    ]
    modes = sorted({str(mode) for table in times for mode in table["mode"].dropna()})
    groups = [(mode, [table[table["mode"] == mode] for table in times]) for mode in modes]
    groups += [("all", times)] if len(modes) > 1 else []
    rows = [
        {
            "mode": mode,
            "runs_a": len(a),
            "runs_b": len(b),
            "seconds_a": a["seconds"].median(),
            "seconds_b": b["seconds"].median(),
        }
        for mode, (a, b) in groups
    ]
    table = pd.DataFrame(rows, columns=["mode", "runs_a", "runs_b", "seconds_a", "seconds_b"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return table.assign(ratio=table["seconds_b"].astype("float64") / table["seconds_a"].astype("float64"))


def compare_versions(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the provenance that differs between two studies: `name`, and `a` and `b` with all values that occur."""
    found = [(name, _values(first, name), _values(second, name)) for name in VERSIONS]
    rows = [row for row in found if row[1] != row[2]] if len(first) and len(second) else []
    return pd.DataFrame(rows, columns=["name", "a", "b"])


def _values(table: pd.DataFrame, name: str) -> str:
    if name not in table:
        return ""
    return ", ".join(sorted({str(value) for value in table[name].dropna()}))
