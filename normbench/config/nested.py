"""Nested plain dicts, and their values by dotted path."""

from collections.abc import Mapping, Sequence
from typing import Any


def has(values: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Return whether a path has a value."""
    inner: Any = values
    for key in path:
        if not isinstance(inner, Mapping) or key not in inner:
            return False
        inner = inner[key]
    return True


def with_value(values: dict[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """Return a copy of `values` with one value set; everything off the path is shared."""
    head, *rest = path
    return {**values, head: with_value(values[head] or {}, rest, value) if rest else value}


def deleted(values: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `values` without the one at a path."""
    head, *rest = path
    if rest:
        return {**values, head: deleted(values[head], rest)}
    return {key: value for key, value in values.items() if key != head}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by dotted path; an empty dict is a value."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves
