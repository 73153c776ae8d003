"""The notes under a results table."""

from collections.abc import Sequence

import pandas as pd

from normbench.analysis.cells import cells, factors
from normbench.analysis.chance import has_chance
from normbench.analysis.metric_columns import in_words
from normbench.analysis.select import arm_columns
from normbench.analysis.tasks import tasks
from normbench.metrics import metric_column
from normbench.record.columns import FIXED


def metric_notes(rows: pd.DataFrame, scored: pd.DataFrame, metric: str, *, wide: bool = False) -> list[str]:
    """Return what the mean and its interval are taken over.

    Args:
        rows: The table, with `n`, `diverged`, `sd` and perhaps `failed`.
        scored: The runs behind it.
        metric: What was averaged.
        wide: Whether the table is pivoted, and so has no room for imputed means.
    """
    notes = [f"{metric}: mean ± half-width of its 95 % t interval, over those of the n runs that finished."]
    if has_chance(scored, metric):
        notes += [] if wide else ["chance-imputed: the mean with each diverged run counted as chance."]
    elif rows["diverged"].any() and metric != "steps_to_target":
        notes.append(f"diverged: the chance level of {metric} is not recorded, so no mean includes these runs.")
    if (column := metric_column(metric)) and (level := f"chance_{column.metric}") in scored:
        low, high = scored[level].min(), scored[level].max()
        if low == low:
            notes.append(f"The chance level of {metric} is {low:.3f}{'' if low == high else f' to {high:.3f}'}.")
    if "train_leak" in scored and (scored["train_leak"] > 0).any():
        norms = ", ".join(dict.fromkeys(scored.loc[scored["train_leak"] > 0, "norm"]))
        notes.append(
            f"norm={norms}: in training each step saw the later ones (train_leak), so train scores are too good."
        )
    if "failed" in rows:
        notes.append("failed: runs that ended in an error (runs.csv has the reason); no mean includes them.")
    if rows["sd"].isna().any():
        notes.append("A mean of fewer than 2 finished values has no interval.")
    finished = scored[scored["status"] == "finished"]
    if metric == "steps_to_target" and (missed := int(finished[metric].isna().sum())):
        notes.append(f"{missed} of {len(finished)} finished runs never reached the target: these means are too low.")
    return notes


def pooling_notes(runs: pd.DataFrame, by: Sequence[str], best: str | None) -> list[str]:
    """Return which factors a row mixes, and which columns not every study has.

    Args:
        runs: All runs behind the table.
        by: The columns that distinguish rows.
        best: The tuned column, which is no pooling.
    """
    others = [name for name in ["study", *factors(runs)] if name not in by and name != best]
    rows = len(cells(runs, by)[1])
    mixed = [name for name in others if len(cells(runs, [*by, name])[1]) > rows]
    notes = []
    if mixed:
        notes.append(f"Pooled: a row mixes values of {', '.join(mixed)}; its interval treats all runs as independent.")
    dotted = [name for name in factors(runs) if name not in FIXED]
    present = runs.groupby("study")[dotted].count() > 0
    if partial := [name for name in dotted if present[name].nunique() > 1]:
        notes.append(f"A study records only what it varies: {', '.join(partial)} may be unrecorded in some.")
    return notes


def copies_note(runs: pd.DataFrame, kept: pd.DataFrame) -> list[str]:
    """Return the note on runs that are in several studies and were counted once."""
    copies = len(runs) - len(kept)
    return [f"{copies} runs are copies of a run in another study and count once."] if copies else []


def choice_notes(rows: pd.DataFrame, runs: pd.DataFrame, best: str) -> list[str]:
    """Return how a hyper-parameter was chosen, and where the choice is in doubt.

    Args:
        rows: The table, with `at_edge`.
        runs: All runs behind it.
        best: The tuned column.
    """
    criteria = " or ".join(dict.fromkeys(in_words(f"val_{first}") for first, _ in tasks(runs)))
    notes = [f"{best}: the value that most seeds chose by their own {criteria}, and how many chose it."]
    if (rows["at_edge"] > 0).any():
        notes.append(f"at edge: choices of the lowest or highest {best} tried; the optimum may lie beyond it.")
    if rows["at_edge"].isna().any():
        notes.append(f"at edge: unknown if fewer than two numbers were tried for {best}.")
    arms = arm_columns(runs, [best])
    if len(cells(runs, [*arms, best])[1]) < len(cells(runs, arms)[1]) * runs[best].nunique(dropna=False):
        notes.append(f"Unfair: not every setting was given the same values of {best}.")
    return notes
