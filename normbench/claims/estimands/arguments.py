"""Arguments of estimands as a claim's YAML has them, checked against the functions' own signatures."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from normbench.claims.estimands.choice import MetricName, ScoreColumn, ShareColumn, ValidationColumn
from normbench.claims.estimands.measures import Measured, Positive
from normbench.claims.estimands.records import Arm, Records, Threshold
from normbench.claims.estimands.registry import MEASURES
from normbench.errors import ConfigError, nearest
from normbench.metrics import METRICS

Arms = tuple[Arm, ...]
Sizes = tuple[float, ...]
"""Different positive numbers, two at least."""

Weighted = tuple[tuple[float, Arm], ...]
"""Weights and their arms; in a YAML a list of ``{weight, arm}``."""


@dataclass(frozen=True)
class Measure:
    """What is measured of each arm: a name in `MEASURES` and its arguments.

    Attributes:
        name: The name.
        args: Its checked arguments.
    """

    name: str
    args: Mapping[str, Any]

    def __call__(self, records: Records, arm: Arm) -> Measured:
        """Measure one arm."""
        return MEASURES[self.name](records, arm, **self.args)

    @property
    def tuned(self) -> str:
        """The first tuned column, or nothing."""
        over = self.argument("over")
        return str(over[0]) if over else ""

    def argument(self, name: str) -> Any:
        """Return an argument, its default where none is given, and None if the measure takes no such argument."""
        parameters = inspect.signature(MEASURES[self.name]).parameters
        return self.args.get(name, parameters[name].default) if name in parameters else None


def bound(function: Callable[..., Any], args: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the keyword arguments of a function, each checked by its annotation.

    Args:
        function: Its keyword-only parameters are what a YAML may give.
        args: What the YAML gives.
        where: The field's name, for messages.

    Raises:
        ConfigError: An argument is unknown, missing or of a wrong type.
    """
    hints = get_type_hints(function)
    own = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name in args:
        if name not in own:
            raise ConfigError(f"{where}: unknown argument '{name}'{nearest(str(name), own)}")
    for name, parameter in own.items():
        if parameter.default is inspect.Parameter.empty and name not in args:
            raise ConfigError(f"{where}: the argument '{name}' is missing")
    return {name: _checked(hints[name], value, f"{where}.{name}") for name, value in args.items()}


def measure(value: Any, where: str) -> Measure:
    """Return the measure that ``{name: ..., argument: ...}`` describes.

    Raises:
        ConfigError: The name is unknown or an argument is wrong.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise ConfigError(f"{where}: got {value!r}, expected a mapping with the name of a measure")
    name = value["name"]
    if name not in MEASURES:
        raise ConfigError(f"{where}: unknown measure '{name}'{nearest(name, MEASURES)}")
    given = {key: inner for key, inner in value.items() if key != "name"}
    return Measure(name, bound(MEASURES[name], given, where))


def _checked(hint: Any, value: Any, where: str) -> Any:
    """Return a value in the type of an annotation, lists as tuples."""
    if hint is Measure:
        return measure(value, where)
    if get_origin(hint) in (Union, UnionType):
        return _one_of(get_args(hint), value, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where}: unknown value '{value}'{nearest(str(value), get_args(hint))}")
        return value
    if hint in _COLUMNS:
        if value not in (known := _COLUMNS[hint]):
            raise ConfigError(f"{where}: unknown value '{value}'{nearest(str(value), known)}")
        return value
    if hint in (Positive, Threshold):
        return _positive(value, 1.0 if hint is Threshold else math.inf, where)
    if hint == Weighted:
        return tuple(_weighted(item, where) for item in _sequence(value, where))
    if hint == Sizes:
        return _sizes(value, where)
    if get_origin(hint) is tuple:
        return tuple(_checked(get_args(hint)[0], item, where) for item in _sequence(value, where))
    if hint == Arm:
        return _arm(value, where)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where}: got {value!r}, expected {_WORDS[hint]}")
    return value


_WORDS = {str: "a text", float: "a number", int: "an integer", bool: "true or false", type(None): "null"}


def _score_columns(names: Iterable[str]) -> tuple[str, ...]:
    known = tuple(names)
    return (
        *(f"{part}_{name}" for name in known for part in ("train", "val", "test")),
        *(f"test_{name}_{statistics}" for name in known for statistics in ("precise", "batch")),
    )


_COLUMNS: Mapping[Any, tuple[str, ...]] = {
    ScoreColumn: _score_columns(METRICS),
    ShareColumn: _score_columns(name for name, metric in METRICS.items() if (metric.low, metric.high) == (0, 1)),
    ValidationColumn: tuple(f"val_{name}" for name in METRICS),
    MetricName: tuple(METRICS),
}
"""What may be named where an argument is a metric, or the column of one."""


def _one_of(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return a value in the first of several types that takes it; the last error names what is wrong."""
    *others, last = [hint for hint in hints if hint is not type(None) or value is None]
    for hint in others:
        try:
            return _checked(hint, value, where)
        except ConfigError:
            continue
    return _checked(last, value, where)


def _sequence(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: got {value!r}, expected a list of at least one value")
    return value


def _sizes(value: Any, where: str) -> Sizes:
    sizes = tuple(_checked(float, item, where) for item in _sequence(value, where))
    if min(sizes) <= 0 or len(set(sizes)) < max(2, len(sizes)):
        raise ConfigError(f"{where}: got {value!r}, expected at least two different numbers above 0")
    return sizes


def _positive(value: Any, below: float, where: str) -> float:
    number = _checked(float, value, where)
    if not 0 < number < below:
        raise ConfigError(
            f"{where}: got {value!r}, expected a number above 0{'' if below == math.inf else f', below {below:g}'}"
        )
    return float(number)


def _weighted(value: Any, where: str) -> tuple[float, Arm]:
    if not isinstance(value, Mapping) or set(value) != {"weight", "arm"}:
        raise ConfigError(f"{where}: got {value!r}, expected mappings with weight and arm")
    return _checked(float, value["weight"], f"{where}.weight"), _arm(value["arm"], f"{where}.arm")


def _arm(value: Any, where: str) -> Arm:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{where}: got {value!r}, expected a mapping of config columns to values")
    for key, inner in value.items():
        for one in inner if isinstance(inner, list) else [inner]:
            if not (one is None or isinstance(one, str | bool | int | float)):
                raise ConfigError(f"{where}.{key}: got {one!r}, expected a single value or a list of them")
    return dict(value)
