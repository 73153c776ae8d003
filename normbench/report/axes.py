"""Chooses from what varies which factor is on the x axis, which sets the colours, and which the panels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import factors

FIRST = ("norm", "batch_size", "model", "data", "lr", "norm_batch_size")
"""Factors that are kept if another one carries the same information."""

_FOLLOWERS = ("eval_every", "target_accuracy", "epochs", "steps")
"""Factors that usually follow from another: dropped first."""


@dataclass(frozen=True, slots=True)
class Axes:
    """How each factor is used.

    Attributes:
        x: On the x axis; None if no factor is a number.
        colour: Shown by colour; None if there is a single series.
        panels: The rest: a panel for each combination.
    """

    x: str | None
    colour: str | None
    panels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All factors."""
        return tuple(name for name in (*self.panels, self.colour, self.x) if name)


def telling(runs: pd.DataFrame, leave_out: Collection[str] = ()) -> list[str]:
    """Return the factors that tell the arms of a table apart, without those that follow from the others.

    Args:
        runs: One row per run.
        leave_out: Factors that are tuned, or shown in another way.
    """
    names = [name for name in factors(runs) if name not in leave_out]
    arms = runs[names].drop_duplicates()
    later = [name for name in reversed(names) if name not in FIRST and name not in _FOLLOWERS]
    candidates = [*(name for name in _FOLLOWERS if name in names), *later]
    for name in candidates:
        others = [other for other in names if other != name]
        if others and not arms[others].duplicated().any():
            names = others
    return names


def choose(runs: pd.DataFrame, names: Sequence[str], x: str | None = None) -> Axes:
    """Choose how some factors are used.

    Args:
        runs: One row per run.
        names: Factors of it.
        x: The factor for the x axis; None takes the number with the most values.
    """
    if x is None:
        sizes = {name: runs[name].nunique() for name in names if name != "norm" and _is_number(runs, name)}
        best = max(sizes, key=lambda name: (sizes[name], name == "batch_size"), default=None)
        x = best if best is not None and sizes[best] > 1 else None
    rest = [name for name in names if name != x]
    colour = "norm" if "norm" in rest else next(iter(rest), None)
    return Axes(x, colour, tuple(name for name in rest if name != colour))


def _is_number(runs: pd.DataFrame, name: str) -> bool:
    return is_numeric_dtype(runs[name]) and not is_bool_dtype(runs[name])
