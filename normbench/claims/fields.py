"""Fields of a claim's YAML, each checked: an error names the field, what it is, and what is allowed."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from normbench.errors import ConfigError, nearest


def section(field: str, value: object, names: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Return a mapping that has its fields and no others."""
    if not isinstance(value, dict):
        raise ConfigError(f"{field}: got {value!r}, expected a mapping with {', '.join(names)}.")
    known(value, names, [name for name in names if name not in optional], f" in {field}")
    return value


def known(values: Mapping[Any, Any], names: Collection[str], required: Collection[str], where: str) -> None:
    """Check that a mapping has only known fields, and all that are required."""
    for name in values:
        if name not in names:
            raise ConfigError(f"unknown field '{name}'{where}{nearest(str(name), names)}")
    for name in required:
        if values.get(name) is None:
            raise ConfigError(f"the field '{name}'{where} is missing.")


def items(field: str, values: Mapping[str, Any], *, required: bool = False) -> list[Any]:
    """Return the list in a field; empty where the field is absent."""
    value = values.get(field, [])
    if not isinstance(value, list) or (required and not value):
        raise ConfigError(f"{field}: got {value!r}, expected a list.")
    return value


def text(field: str, value: object) -> str:
    """Return a text as one line."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{field}: got {value!r}, expected a non-empty text.")
    return " ".join(value.split())


def choice(field: str, value: object, allowed: Collection[str]) -> str:
    """Return one of some names."""
    if not isinstance(value, str) or value not in allowed:
        raise ConfigError(f"{field}: unknown value {value!r}{nearest(str(value), allowed)}")
    return value


def number(field: str, value: object, low: float = -math.inf) -> float:
    """Return a finite number, at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < low:
        raise ConfigError(
            f"{field}: got {value!r}, expected a number{'' if low == -math.inf else f' of at least {low:g}'}."
        )
    return float(value)


def whole(field: str, value: object) -> int:
    """Return a whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{field}: got {value!r}, expected a whole number of at least 1.")
    return value
