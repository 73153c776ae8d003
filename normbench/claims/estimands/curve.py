"""Dose and response: one estimand, evaluated with several values of one of its arguments."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normbench.claims.estimands import check, evaluate
from normbench.claims.estimands.arguments import measure
from normbench.claims.estimands.contrast import Contrast
from normbench.claims.estimands.evaluations import Evaluations
from normbench.claims.estimands.registry import MEASURES
from normbench.errors import ConfigError, StudyError

Argument = Sequence[str | int]
"""Where a dose is among the arguments of an estimand: keys, which may contain dots, and places in lists."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True, eq=False)
class Dose:
    """One dose of a curve.

    Attributes:
        value: The dose.
        primary: Whether it is the primary contrast's own.
        contrast: Its contrast; None if the records do not have it.
        reason: Why they do not.
    """

    value: Scalar
    primary: bool
    contrast: Contrast | None = None
    reason: str = ""


def check_curve(name: str, args: Mapping[str, Any], argument: Argument, values: Sequence[Any]) -> None:
    """Check that a curve fits the estimand whose argument it varies.

    Args:
        name: The estimand.
        args: Its arguments, as a YAML has them, checked.
        argument: Where the dose is.
        values: The doses.

    Raises:
        ConfigError: There is no such argument, or the doses are not different values of its type that include the
            primary contrast's own; the message is one line that begins with the field.
    """
    own = _at(args, argument)
    if isinstance(own, Mapping | list | tuple):
        raise ConfigError(f"argument: got {list(argument)}, which is {own!r}, expected a single value")
    if not isinstance(values, list | tuple) or len(values) < 2:
        raise ConfigError(f"values: got {values!r}, expected a list of at least two values")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ConfigError(f"values: got {value!r} twice")
    kinds = {_kind(value) for value in (own, *values)} - {"null"}
    if len(kinds) > 1:
        raise ConfigError(f"values: got {list(values)}, expected values like the primary contrast's own, {own!r}")
    for value in values:
        try:
            check(name, replaced(args, argument, value))
        except ConfigError as error:
            raise ConfigError(f"values: {error}") from error
    if own not in values:
        raise ConfigError(f"values: got {list(values)}, expected the primary contrast's own, {own!r}, among them")


def curve(
    name: str,
    args: Mapping[str, Any],
    argument: Argument,
    values: Sequence[Scalar],
    runs: pd.DataFrame,
    curves: Evaluations,
) -> list[Dose]:
    """Return an estimand at each dose.

    Args:
        name: The estimand.
        args: Its arguments, as a YAML has them.
        argument: Where the dose is among them.
        values: The doses, as `check_curve` accepts them.
        runs: As `evaluate` takes them.
        curves: The same.

    Returns:
        One dose per value, in their order; one that the records cannot answer has the reason.
    """
    own = _at(args, argument)
    doses = []
    for value in values:
        try:
            contrast = evaluate(name, replaced(args, argument, value), runs, curves)
        except StudyError as error:
            doses.append(Dose(value, value == own, reason=str(error)))
        else:
            doses.append(Dose(value, value == own, contrast))
    return doses


def replaced(args: Mapping[str, Any], argument: Argument, value: Scalar) -> dict[str, Any]:
    """Return a copy of the arguments with another value at one place."""
    found = copy.deepcopy(dict(args))
    *way, last = argument
    holder: Any = found
    for step in way:
        holder = holder[step]
    holder[last] = value
    return found


def _at(args: Mapping[str, Any], argument: Argument) -> Any:
    """Return the value at a place; of an argument that a measure leaves out, its default.

    Raises:
        ConfigError: There is no such place.
    """
    if not isinstance(argument, list | tuple) or not argument:
        raise ConfigError(f"argument: got {argument!r}, expected a list of keys and places, such as [at, batch_size]")
    holder: Any = args
    for place, step in enumerate(argument):
        if _has(holder, step):
            holder = holder[step]
        elif place == len(argument) - 1 and (left := _left_out(holder, step)):
            return left[0]
        else:
            there = f"one of {', '.join(map(str, holder))}" if isinstance(holder, Mapping) else f"a place in {holder!r}"
            raise ConfigError(f"argument: got {step!r} in {list(argument)}, expected {there}")
    return holder


def _has(holder: Any, step: Any) -> bool:
    if isinstance(holder, list | tuple):
        return type(step) is int and 0 <= step < len(holder)
    return isinstance(holder, Mapping) and step in holder


def _left_out(holder: Any, step: Any) -> tuple[Any, ...]:
    """Return the default of a measure's argument, or nothing if it is no such argument or has none."""
    if not isinstance(holder, Mapping) or holder.get("name") not in MEASURES:
        return ()
    found = measure(holder, "measure").argument(step)
    return () if found is None else (found,)


def _kind(value: Any) -> str:
    """Return what kind of single value this is: null, text, number, true or false.

    Raises:
        ConfigError: It is none.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    raise ConfigError(f"values: got {value!r}, expected single values")
