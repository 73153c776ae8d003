"""Estimands: pure functions of the records that give each claim its one number per seed.

A comparison (`REGISTRY`) takes differences of a measure (`MEASURES`) between arms within a seed; a claim's YAML reads
``{name: difference, args: {measure: {name: tuned_score}, treatment: {norm: batch}, control: {norm: none}}}``.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from normbench.claims.estimands.arguments import bound
from normbench.claims.estimands.comparisons import combination, difference, interaction, over_levels, slope
from normbench.claims.estimands.contrast import Contrast, Edge, MissingCells
from normbench.claims.estimands.evaluations import Evaluations
from normbench.claims.estimands.gap import matched_gap
from normbench.claims.estimands.records import Records
from normbench.claims.estimands.registry import MEASURES
from normbench.errors import ConfigError, nearest

__all__ = ["MEASURES", "OVER_LEVELS", "REGISTRY", "Contrast", "Edge", "MissingCells", "check", "evaluate"]

REGISTRY: Mapping[str, Callable[..., Contrast]] = {
    "combination": combination,
    "difference": difference,
    "interaction": interaction,
    "matched_gap": matched_gap,
    "over_levels": over_levels,
    "slope": slope,
}

DECIMALS = 6
"""Of the numbers a seed: the tables hold nine digits, so that equal differences of scores, times 100, are equal to 1e-7
only, and ties and zeros would pass for small differences."""

OVER_LEVELS = frozenset({"over_levels"})
"""Those that give one number per seed and level, as the form `equivalent` wants."""


def check(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an estimand, checked.

    Args:
        name: A name in `REGISTRY`.
        args: Its arguments, as a YAML has them.

    Raises:
        ConfigError: The name is unknown or an argument is wrong.
    """
    if name not in REGISTRY:
        raise ConfigError(f"estimand: unknown name '{name}'{nearest(name, REGISTRY)}")
    return bound(REGISTRY[name], args, "estimand.args")


def evaluate(name: str, args: Mapping[str, Any], runs: pd.DataFrame, curves: Evaluations) -> Contrast:
    """Return an estimand of the records.

    Args:
        name: A name in `REGISTRY`.
        args: Its arguments, as a YAML has them.
        runs: The claim's runs and no others, as `load_runs` returns them.
        curves: Their evaluations; rows of other runs do no harm.

    Raises:
        ConfigError: The name is unknown or an argument is wrong.
        MissingCells: Runs are missing or failed.
        StudyError: A run occurs twice, or the runs cannot answer the question.
    """
    contrast = REGISTRY[name](Records.of(runs, curves), **check(name, args))
    room = None if contrast.room is None else round(contrast.room, DECIMALS)
    # Zero is added so that no value is -0.
    return replace(contrast, values=contrast.values.round(DECIMALS) + 0.0, room=room)
