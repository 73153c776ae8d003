"""Numbers and names as the page shows them."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from normbench.record.columns import cell_text

LONGEST = 80
"""Characters of a name that are shown; a tooltip has the full name."""

ZERO = 1e-9
"""Contrasts are of order 1, their rounding of order 1e-15."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def clean(text: object) -> str:
    """Return a text without control characters, which HTML does not allow."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def short(text: object, longest: int = LONGEST) -> str:
    """Return a text cut to what fits."""
    whole = clean(text)
    return whole if len(whole) <= longest else f"{whole[: longest - 1]}…"


def number(value: object) -> str:
    """Return a value as text: a number with four digits at most, an en dash where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001 - an en dash, as tables have it
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−").replace("inf", "∞")  # noqa: RUF001 - a minus sign
    return clean(value)


def tick(value: float) -> str:
    """Return the label of a tick: small powers of two as fractions, which are shorter and exact."""
    if 0 < value < 1 and math.frexp(value)[0] == 0.5:
        return f"1/{round(1 / value)}"
    return number(value)


def signed(value: float) -> str:
    """Return an effect with its sign and three digits; a rounding error counts as zero."""
    return "0" if abs(value) < ZERO else f"{value:+.3g}".replace("-", "−").replace("inf", "∞")  # noqa: RUF001 - a minus sign


def spread(low: float, high: float) -> str:
    """Return an interval of an effect."""
    return f"[{signed(low)}, {signed(high)}]"


def is_missing(value: Any) -> bool:
    """Return whether a cell of a table is empty."""
    return bool(pd.isna(value))


def setting(values: Mapping[str, Any]) -> str:
    """Return config values as text, without the missing ones."""
    return ", ".join(
        f"{key}={number(value) if isinstance(value, float) else clean(cell_text(value))}"
        for key, value in values.items()
        if not is_missing(value)
    )
