"""The rows of a cell's tables: the effect seed by seed, and every arm."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.intervals import Floats, t_interval
from normbench.claims.estimands.arms import MeasuredArm
from normbench.claims.estimands.contrast import in_words
from normbench.claims.estimands.measures import Measured
from normbench.claims.signed_rank import hodges_lehmann, interval
from normbench.report.design import MeasuredDesign
from normbench.report.palette import norm_style
from normbench.report.strip import Scale, strip
from normbench.report.text import number, setting, signed, spread

MOST_LISTED = 4000
"""Runs of an arm that are listed by id."""


@dataclass(frozen=True, eq=False)
class ArmRow:
    """A row of the table of arms."""

    label: str
    measured: str
    picture: str
    mean: float
    text: str
    n: int
    collapsed: int
    tuned: str
    edges: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class EffectRow:
    """The effect at a level, seed by seed."""

    label: str
    picture: str
    text: str
    n: int


def effect_row(label: str, values: Floats, judged: int, scale: Scale, unit: str) -> EffectRow:
    """Return the effect at a level: a dot for every seed, estimate and interval from those that were judged."""
    own = values[:judged] if judged else values
    low, high = (float(end) for end in interval(own))
    typical = float(hodges_lehmann(own))
    text = f"{signed(typical)} {spread(low, high)} {unit}"
    return EffectRow(label, strip(scale, values, typical, low, high, "ink", f"{label} {text}"), text, len(own))


def arm_row(seen: MeasuredArm, scale: Scale) -> ArmRow:
    """Return an arm that is compared: a dot for every seed, mean and interval."""
    runs = seen.measured.rows
    values = np.asarray(seen.measured.values, dtype=np.float64)
    mean, text, low, high = _summary(values)
    label = in_words(dict(seen.arm)) or "all runs"
    return ArmRow(
        label,
        seen.measured.words,
        strip(scale, values, mean, low, high, _colour(runs["norm"].unique().tolist()), f"{label}: {text}"),
        mean,
        text,
        len(values),
        int(seen.measured.collapsed.sum()),
        _tuned(seen.measured),
        ", ".join(f"{edge.end} end: {edge.seeds}" for edge in seen.measured.edges),
        tuple(runs["run_id"])[:MOST_LISTED],
    )


def _colour(norms: list[Any]) -> str:
    """Return the colour of an arm: its norm's, if it has a single one."""
    return norm_style(str(norms[0])).colour if len(norms) == 1 and norms[0] else "ink"


def _summary(values: Floats) -> tuple[float, str, float, float]:
    """Return the mean, it and its 95 % t interval in words, and the ends of that."""
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else np.nan
    low, high = (float(end) for end in t_interval(mean, sd, len(values)))
    return mean, f"{number(mean)} [{number(low)}, {number(high)}]", low, high


def surrounding_row(arm: dict[str, Any], own: pd.DataFrame, design: MeasuredDesign, scale: Scale) -> ArmRow:
    """Return an arm of the whole design, from its config values and its rows of the measured design."""
    values = own["value"].to_numpy(dtype=np.float64)
    mean, text, low, high = _summary(values)
    label = setting(arm) or "all runs"
    return ArmRow(
        label,
        design.words,
        strip(scale, values, mean, low, high, _colour([arm.get("norm", "")]), f"{label}: {text}"),
        mean,
        text,
        len(values),
        int(own["lost"].sum()),
        "",
        ", ".join(sorted(design.ends[tuple(arm.values())])),
        tuple(" ".join(own["run_id"]).split())[:MOST_LISTED],
    )


def _tuned(measured: Measured) -> str:
    """Return the values that most seeds choose, and how many do."""
    if not measured.chosen:
        return ""
    runs = measured.rows.to_dict("records")
    votes = Counter(in_words({name: _plain(run[name]) for name in measured.chosen}) for run in runs)
    (best, count), *_ = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return f"{best} ({count} of {len(runs)})"


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return f"{value:.4g}" if isinstance(value, float) else value
