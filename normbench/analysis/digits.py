"""How many digits a number is shown with."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from normbench.analysis.metric_columns import metric_of

MISSING = "–"  # noqa: RUF001 - an en dash, as tables have it


def value_text(value: Any) -> str:
    """Return a config value or a count: booleans as in YAML, numbers without trailing digits, a dash for a missing."""
    if pd.isna(value):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def decimals(metric: str, *numbers: ArrayLike) -> int:
    """Return how many decimals show the first digit of the smallest number, within the metric's limits."""
    low, high = metric_of(metric).digits
    shown = np.abs(np.concatenate([np.asarray(column, dtype=np.float64) for column in numbers]))
    shown = shown[np.isfinite(shown) & (shown > 1e-9)]  # rounding leaves equal values an interval of 1e-17
    needed = math.ceil(-math.log10(shown.min())) if shown.size else low
    return min(max(needed, low), high)


def fixed(value: float, places: int, *, sign: str = "") -> str:
    """Return a number with `places` decimals, a huge one in short form, a dash for a missing one.

    Args:
        value: The number.
        places: Decimals.
        sign: `+` for numbers whose sign matters.
    """
    if math.isnan(value):
        return MISSING
    return f"{value:{sign}.{places}f}" if abs(value) < 1e6 else f"{value:{sign}.4g}"


def estimates(means: Iterable[float], halves: Iterable[float], places: int) -> list[str]:
    """Return each `mean ± half`, halves padded to one width so that right-aligned cells line up; no half, no ±."""
    centers = [fixed(mean, places) for mean in means]
    ends = [fixed(half, places) for half in halves]
    room = max(map(len, ends), default=0)
    return [
        center if end == MISSING else f"{center} ± {end:>{room}}" for center, end in zip(centers, ends, strict=True)
    ]
